//! A runtime is kept by the references that a thread lends, and freed with the last one.

use super::common::Deserted;
use crate::runtime::lender::Held;
use crate::sys::thread;

/// The thread leaves while another one gives back, and one is given back here. Breaks if the
/// thread takes what it lent for given back when it leaves, or if `drop`
/// does not ask whose the reference is.
#[test]
fn a_reference_outlives_its_thread() {
    loom::model(|| {
        let runtime = Deserted::new();
        let entered = runtime.handle.enter();
        let [theirs, ours] = [(); 2].map(|()| Held::present().unwrap());
        let user = thread::spawn(move || {
            assert_eq!(theirs.timers().next(), None);
            drop(theirs);
        });
        drop(ours);
        drop(entered);
        drop(runtime);
        user.join().unwrap();
    });
}
