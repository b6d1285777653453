//! Signals as readable descriptors, and the signal state of children.

use super::fd::{check, wrap_new};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// The signals that the master reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: stop softly.
    Term,
    /// SIGINT: stop softly (Ctrl-C).
    Int,
    /// SIGQUIT: stop hard.
    Quit,
    /// SIGHUP: read the configuration file again.
    Hup,
    /// SIGUSR1: reopen log files.
    Usr1,
    /// SIGCHLD: a child ended.
    Chld,
}

const MASTER: [(i32, Signal); 6] = [
    (libc::SIGTERM, Signal::Term),
    (libc::SIGINT, Signal::Int),
    (libc::SIGQUIT, Signal::Quit),
    (libc::SIGHUP, Signal::Hup),
    (libc::SIGUSR1, Signal::Usr1),
    (libc::SIGCHLD, Signal::Chld),
];

/// Blocks the master's signals in this thread (and in all that it starts later) and returns a
/// non-blocking descriptor that becomes readable when one arrives. Call it before any thread exists.
pub fn open() -> io::Result<OwnedFd> {
    let mut set = empty();
    for (number, _) in MASTER {
        // SAFETY: `set` is a live signal set, the number a valid signal.
        unsafe { libc::sigaddset(&raw mut set, number) };
    }
    // SAFETY: `set` is initialised; the old mask isn't asked for.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    // SAFETY: -1 asks for a new descriptor; `set` is initialised.
    wrap_new(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })
}

/// The next signal that waits at the descriptor of [`open`], or `None`.
pub fn next(fd: BorrowedFd<'_>) -> io::Result<Option<Signal>> {
    loop {
        // SAFETY: the struct is plain integers; all zeros is a valid value.
        let mut info: libc::signalfd_siginfo = unsafe { mem::zeroed() };
        let size = mem::size_of_val(&info);
        // SAFETY: `info` is live, writable and `size` bytes large.
        let got = unsafe { libc::read(fd.as_raw_fd(), (&raw mut info).cast(), size) };
        if got < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::WouldBlock {
                return Ok(None);
            }
            return Err(error);
        }
        let number = info.ssi_signo as i32;
        if let Some((_, signal)) = MASTER.iter().find(|(known, _)| *known == number) {
            return Ok(Some(*signal));
        }
    }
}

/// Ignores the signals that are meant for the master, for workers and helpers: `systemctl kill` and a
/// terminal's Ctrl-C reach the whole group, but a child ends by its link only. SIGQUIT keeps its
/// default, so that a stuck child can still be made to dump core by hand.
pub fn ignore_in_child() -> io::Result<()> {
    for number in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGPIPE] {
        // SAFETY: SIG_IGN installs no handler, so no code runs at signal time.
        if unsafe { libc::signal(number, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Arms a timer that ends the process with SIGALRM after `seconds` unless it has exited by itself:
/// the last word when a child has lost its master and may hang while draining.
pub fn arm_alarm(seconds: u32) {
    // SAFETY: alarm takes an integer; the default action of SIGALRM ends the process.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(seconds);
    }
}

/// Unblocks every signal in the calling thread. Async-signal-safe: used between fork and exec.
pub(super) fn unblock_all() -> io::Result<()> {
    let set = empty();
    // SAFETY: `set` is initialised; the old mask isn't asked for.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

fn empty() -> libc::sigset_t {
    // SAFETY: sigset_t is plain integers; sigemptyset then initialises it properly.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        set
    }
}

/// Sends `signal` to the process of a pidfd (`pidfd_send_signal`). `ESRCH` when it is gone.
pub(super) fn send_to(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the call takes integers and a null siginfo.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result as libc::c_int).map(drop)
}
