//! Has the system refuse calls of one thread, and of the threads it starts, for good.
//!
//! A filter on system calls (seccomp) does it, so what is refused is what the kernel itself would
//! refuse: nothing in the program knows of it, and no other thread is touched.

#![allow(dead_code)]

use std::io;
use std::thread;

use libc::{c_long, sock_filter, sock_fprog};
use rustix::io::Errno;

/// A call that is to fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    call: c_long,
    /// Only if this argument, counted from zero, has one of these bits.
    only: Option<(u32, u32)>,
    error: Errno,
}

impl Refusal {
    pub(crate) fn of(call: c_long, error: Errno) -> Self {
        Refusal { call, only: None, error }
    }

    /// Only if that argument, counted from zero, has one of these bits.
    pub(crate) fn if_set(self, argument: u32, bits: u32) -> Self {
        Refusal { only: Some((argument, bits)), ..self }
    }

    /// Whoever gets this far has made another call; one step past the end is the refusal.
    fn program(self) -> Vec<sock_filter> {
        let at =
            |offset: usize| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32);
        let refusal = libc::SECCOMP_RET_ERRNO | self.error.raw_os_error() as u32;
        let refuse = statement(libc::BPF_RET | libc::BPF_K, refusal);
        let call = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        let mut program = vec![at(std::mem::offset_of!(libc::seccomp_data, nr))];
        match self.only {
            None => program.push(jump(call, self.call as u32, 1)),
            Some((argument, bits)) => {
                let arguments = std::mem::offset_of!(libc::seccomp_data, args);
                // The lower half of it.
                let half = if cfg!(target_endian = "big") { 4 } else { 0 };
                program.push(jump(call, self.call as u32, 3));
                program.push(at(arguments + 8 * argument as usize + half));
                program.push(jump(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, bits, 1));
            }
        }
        program.push(refuse);
        program
    }
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Goes on with the next if it holds, and else leaves out so many.
fn jump(code: u32, k: u32, over: u8) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: over, k }
}

/// From now on, this thread and those it starts are refused these calls.
pub(crate) fn refuse(refusals: &[Refusal]) {
    let mut program: Vec<_> = refusals.iter().flat_map(|refusal| refusal.program()).collect();
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let filter = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: plain numbers, and a program that is there during the call.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &filter) != 0
    };
    assert!(!refused, "the system filters no calls: {}", io::Error::last_os_error());
}

/// Does it on a thread that is refused these calls.
pub(crate) fn without<T: Send>(refusals: &[Refusal], act: impl FnOnce() -> T + Send) -> T {
    let refused = || {
        refuse(refusals);
        act()
    };
    thread::scope(|scope| scope.spawn(refused).join()).unwrap_or_else(|payload| {
        std::panic::resume_unwind(payload);
    })
}
