//! A context is a set of values that goes where it is sent: set, reset, entered, copied (CTX-06 to
//! CTX-10).

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex};

use filch::{Context, ContextVar, ResetError, context_var};

// upstream: test.test_context.ContextTest.test_context_run_2
#[test]
fn run_gives_what_the_function_gives() {
    // CTX-09
    let context = Context::new();
    assert_eq!(context.run(|| ()), ());
    let mut given = vec![11];
    let got = context.run(|| {
        given.push(12);
        ("bar", given.len())
    });
    assert_eq!((got, given), (("bar", 2), vec![11, 12]));
}

// upstream: test.test_context.ContextTest.test_context_run_3
#[test]
fn failure_inside_leaves_the_context() {
    // CTX-09
    let context = Context::new();
    for _ in 0..3 {
        assert!(context.run(|| "x".parse::<u32>()).is_err());
        let panicked = catch_unwind(AssertUnwindSafe(|| context.run(|| panic!("inside"))));
        assert!(panicked.is_err());
    }
}

// upstream: test.test_context.ContextTest.test_context_run_4
#[test]
fn nested_runs_each_see_their_own() {
    // CTX-06, CTX-09
    context_var! { static VAR: &'static str; }
    let (one, two) = (Context::new(), Context::new());
    let copied = one.run(|| {
        assert_eq!(VAR.get(), None);
        VAR.set("spam");
        two.run(|| assert_eq!(VAR.get(), None));
        assert_eq!(VAR.get(), Some("spam"));
        let copied = Context::current();
        assert_eq!((copied.len(), copied.get(&VAR)), (1, Some("spam")));
        copied
    });
    assert_eq!((one.len(), one.get(&VAR)), (1, copied.get(&VAR)));
    assert_ne!(one, copied, "a copy is another context");
    assert!(two.is_empty());
}

// upstream: test.test_context.ContextTest.test_context_run_5
#[test]
fn what_a_failed_run_has_set_is_not_seen_outside() {
    // CTX-09
    context_var! { static VAR: &'static str; }
    let context = Context::new();
    let run = || {
        assert_eq!(VAR.get(), None);
        VAR.set("spam");
        panic!("after it was set")
    };
    assert!(catch_unwind(AssertUnwindSafe(|| context.run(run))).is_err());
    assert_eq!(VAR.get(), None);
    assert_eq!(context.get(&VAR), Some("spam"), "it stays in the context");
}

// upstream: test.test_context.ContextTest.test_context_run_6
#[test]
fn context_shows_what_is_set_inside_without_defaults() {
    // CTX-07, CTX-09
    context_var! { static VAR: u32 = 0; }
    let context = Context::new();
    context.run(|| {
        assert_eq!((VAR.get(), context.get(&VAR)), (Some(0), None));
        VAR.set(42);
        assert_eq!((VAR.get(), context.get(&VAR)), (Some(42), Some(42)));
    });
}

// upstream: test.test_context.ContextTest.test_context_run_7
#[test]
fn entered_context_is_not_entered_again() {
    // CTX-09
    let context = Context::new();
    context.run(|| {
        let error = context.try_run(|| panic!("entered twice")).unwrap_err();
        assert_eq!(error.to_string(), "context is entered already");
        let misuse = catch_unwind(AssertUnwindSafe(|| context.run(|| ()))).unwrap_err();
        assert_eq!(misuse.downcast_ref::<String>().unwrap(), "context is entered already");
    });
    assert!(context.try_run(|| ()).is_ok());
}

// upstream: test.test_context.ContextTest.test_context_getset_1
#[test]
fn set_and_reset_go_step_by_step() {
    // CTX-07, CTX-08: a token works once, because it is given away
    context_var! { static VAR: String; }
    Context::new().run(|| {
        assert_eq!(VAR.get(), None);
        assert_eq!(VAR.get().unwrap_or_else(|| "other".into()), "other");
        let first = VAR.set("42".into());
        assert_eq!(VAR.get().as_deref(), Some("42"));
        assert_eq!(first.old_value(), None);
        let second = VAR.set("spam".into());
        assert_eq!(VAR.get().as_deref(), Some("spam"));
        assert_eq!(second.old_value().as_deref(), Some("42"));
        VAR.reset(second).unwrap();
        assert_eq!(VAR.get().as_deref(), Some("42"));
        VAR.set("spam2".into());
        let before = Context::current();
        VAR.reset(first).unwrap();
        assert_eq!(VAR.get(), None);
        assert_eq!((before.len(), before.get(&VAR).as_deref()), (1, Some("spam2")));
        let after = Context::current();
        assert_eq!((after.len(), after.get(&VAR)), (0, None));
    });
}

// upstream: test.test_context.ContextTest.test_context_getset_2
#[test]
fn token_is_for_its_own_variable() {
    // CTX-08
    let (one, two) = (ContextVar::new("one"), ContextVar::<u32>::new("two"));
    let token = one.set(42);
    assert_eq!(two.reset(token), Err(ResetError::OtherVariable));
    assert_eq!((one.get(), two.get()), (Some(42), None));
}

// upstream: test.test_context.ContextTest.test_context_getset_3
#[test]
fn reset_makes_a_variable_unset_again() {
    // CTX-07
    context_var! { static VAR: u32 = 42; }
    let context = Context::new();
    context.run(|| {
        assert_eq!((VAR.get(), context.get(&VAR), context.len()), (Some(42), None, 0));
        let token = VAR.set(1);
        assert_eq!((context.get(&VAR), context.len()), (Some(1), 1));
        VAR.reset(token).unwrap();
        assert_eq!((VAR.get(), context.get(&VAR), context.len()), (Some(42), None, 0));
    });
}

// upstream: test.test_context.ContextTest.test_context_getset_4
#[test]
fn token_is_for_its_own_context() {
    // CTX-08
    context_var! { static VAR: u32 = 42; }
    let context = Context::new();
    let token = context.run(|| VAR.set(1));
    assert_eq!(VAR.reset(token), Err(ResetError::OtherContext));
    assert_eq!(context.get(&VAR), Some(1));
    let token = context.run(|| VAR.set(2));
    context.run(|| VAR.reset(token)).unwrap();
    assert_eq!(context.get(&VAR), Some(1));
}

// upstream: test.test_context.ContextTest.test_context_getset_5
#[test]
fn value_set_in_a_copy_stays_there() {
    // CTX-06
    context_var! { static VAR: Arc<Mutex<Vec<u32>>>; }
    let list = || VAR.with(|list| list.unwrap().lock().unwrap().clone());
    VAR.set(Arc::default());
    Context::current().run(|| {
        VAR.set(Arc::default());
        VAR.with(|list| list.unwrap().lock().unwrap().push(42));
        assert_eq!(list(), [42]);
    });
    assert_eq!(list(), [] as [u32; 0]);
}

// upstream: test.test_context.ContextTest.test_context_copy_1
#[test]
fn copies_are_independent() {
    // CTX-06
    context_var! { static VAR: u32 = 42; }
    let one = Context::new();
    one.run(|| {
        VAR.set(10);
        let two = one.copy();
        assert_eq!(two.get(&VAR), Some(10));
        VAR.set(20);
        assert_eq!((one.get(&VAR), two.get(&VAR)), (Some(20), Some(10)));
        two.run(|| {
            assert_eq!(VAR.get(), Some(10));
            VAR.set(30);
            assert_eq!(VAR.get(), Some(30));
        });
        assert_eq!((one.get(&VAR), two.get(&VAR)), (Some(20), Some(30)));
    });
}

// upstream: test.test_context.ContextTest.test_context_threads_1
#[test]
fn threads_do_not_mix_values() {
    // CTX-10
    context_var! { static VAR: usize; }
    VAR.set(99);
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let barrier = &barrier;
            scope.spawn(move || {
                assert_eq!(VAR.get(), None, "a thread begins with an empty context");
                for step in 0..10 {
                    VAR.set(number + step);
                    barrier.wait();
                    assert_eq!(VAR.get(), Some(number + step));
                }
            });
        }
    });
    assert_eq!(VAR.get(), Some(99));
}

#[test]
fn many_variables_are_told_apart() {
    let variables: Vec<ContextVar<usize>> = (0..100).map(|_| ContextVar::new("one of")).collect();
    let context = Context::new();
    context.run(|| {
        for (number, variable) in variables.iter().enumerate().rev() {
            variable.set(number);
        }
        let found: Vec<_> = variables.iter().filter_map(ContextVar::get).collect();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
    });
    assert_eq!(context.len(), 100);
}

#[test]
fn values_are_dropped_outside_all_locks() {
    // FUT-19: a destructor may use the variable that it leaves
    context_var! { static VAR: Arc<Touchy>; }
    struct Touchy(&'static str, Arc<Mutex<Vec<(&'static str, usize)>>>);
    impl Drop for Touchy {
        fn drop(&mut self) {
            let seen = VAR.with(|value| value.map_or(0, |value| value.0.len()));
            self.1.lock().unwrap().push((self.0, seen));
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let value = |name| Arc::new(Touchy(name, log.clone()));
    let context = Context::new();
    context.run(|| {
        drop(VAR.set(value("a")));
        drop(VAR.set(value("bbb")));
    });
    drop(context);
    assert_eq!(*log.lock().unwrap(), [("a", 3), ("bbb", 0)]);
}
