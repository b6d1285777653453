//! Processes: exec with descriptors, pidfds, exit status, CPU count, descriptor limits.

use super::fd::{self, check, wrap_new};
use super::signal;
use std::ffi::OsString;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The descriptor number at which every child finds its link.
pub const LINK_FD: i32 = 3;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Not known: not our child, and the kernel is too old to tell (before 6.15).
    Unknown,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(number) => write!(f, "signal {number}"),
            Exit::Unknown => f.write_str("unknown status"),
        }
    }
}

/// A process that has just been started.
#[derive(Debug)]
pub struct Spawned {
    /// Its process id.
    pub pid: u32,
    /// Its pidfd: readable once it has ended, and the only safe way to signal it.
    pub pidfd: OwnedFd,
}

/// Runs `program` (fork and exec, never a bare fork) in its own process group with `link` as descriptor
/// 3, standard input from /dev/null, no blocked signal, and no other descriptor of ours.
pub fn spawn(program: &Path, arguments: &[OsString], link: OwnedFd) -> io::Result<Spawned> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).process_group(0);
    // The master's dialogue with systemd is the master's alone.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS"] {
        command.env_remove(name);
    }
    command.env_remove("LISTEN_FDNAMES");
    // If 3 is free, std's own error pipe would land there and be overwritten: take it ourselves.
    // SAFETY: F_GETFD touches no memory; any integer is allowed.
    let free = unsafe { libc::fcntl(LINK_FD, libc::F_GETFD) } < 0;
    let link = if free { fd::duplicate(link.as_fd())? } else { link };
    let raw = link.as_raw_fd();
    // SAFETY: the closure runs between fork and exec and makes only async-signal-safe calls on plain
    // integers: fcntl, dup2, close_range and the signal mask. It allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            if raw == LINK_FD {
                check(libc::fcntl(raw, libc::F_SETFD, 0))?;
            } else {
                check(libc::dup2(raw, LINK_FD))?;
            }
            // Descriptors leaked to us without close-on-exec stay out of the child too. Old kernels
            // refuse the call; everything opened by us has the flag anyway.
            libc::syscall(libc::SYS_close_range, LINK_FD + 1, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            signal::unblock_all()
        });
    }
    let child = command.spawn()?;
    drop(link);
    let pid = child.id();
    let pidfd = open_pid(pid)?;
    Ok(Spawned { pid, pidfd })
}

/// Opens a pidfd. For one's own unreaped child the number can't have been reused.
pub fn open_pid(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers.
    wrap_new(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as libc::c_int)
}

/// Ends a process at once (SIGKILL). `ESRCH` when it is gone already.
pub fn kill(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    signal::send_to(pidfd, libc::SIGKILL)
}

/// The process id behind a pidfd, from /proc/self/fdinfo; `None` when it has ended and been reaped.
pub fn pid_of(pidfd: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix("Pid:")).map(str::trim);
    match value.map(str::parse::<i64>) {
        Some(Ok(pid)) => Ok(u32::try_from(pid).ok().filter(|pid| *pid > 0)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not a pidfd")),
    }
}

/// How the ended process of a readable pidfd ended, reaping it when it is our child.
pub fn reap(pidfd: BorrowedFd<'_>) -> Exit {
    // SAFETY: siginfo_t is plain integers; all zeros is a valid value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG;
    // SAFETY: `info` is live and writable.
    let result = unsafe {
        libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, &raw mut info, options)
    };
    if result != 0 {
        return adopted_exit(pidfd);
    }
    // SAFETY: waitid succeeded, so the fields of a SIGCHLD siginfo are set (or all zero).
    let (code, status) = unsafe { (info.si_code, info.si_status()) };
    match code {
        libc::CLD_EXITED => Exit::Code(status),
        libc::CLD_KILLED | libc::CLD_DUMPED => Exit::Signal(status),
        _ => Exit::Unknown,
    }
}

/// The kernel's `struct pidfd_info`, first version (64 bytes).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// How long the status of somebody else's child is waited for.
const REAPED_WITHIN_MS: libc::c_int = 20;

/// PIDFD_INFO_EXIT, kernel 6.15.
const INFO_EXIT: u64 = 1 << 3;

/// Exit status of a process that isn't our child (PID 1 has reaped it).
fn adopted_exit(pidfd: BorrowedFd<'_>) -> Exit {
    // The status is there once PID 1 has reaped it, which POLLHUP tells; that is a matter of
    // microseconds, and no more than this is waited.
    let mut entry = libc::pollfd { fd: pidfd.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one live pollfd, count 1.
    unsafe { libc::poll(&raw mut entry, 1, REAPED_WITHIN_MS) };
    let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
    // _IOWR(0xFF, 11, struct pidfd_info).
    let request = (3_u64 << 30) | ((mem::size_of::<PidfdInfo>() as u64) << 16) | (0xFF << 8) | 11;
    // SAFETY: the request number carries the struct's size, and the struct is live and writable.
    let result = unsafe {
        libc::ioctl(pidfd.as_raw_fd(), request as libc::Ioctl, (&raw mut info).cast::<u8>())
    };
    if result != 0 || info.mask & INFO_EXIT == 0 {
        return Exit::Unknown;
    }
    if libc::WIFEXITED(info.exit_code) {
        Exit::Code(libc::WEXITSTATUS(info.exit_code))
    } else if libc::WIFSIGNALED(info.exit_code) {
        Exit::Signal(libc::WTERMSIG(info.exit_code))
    } else {
        Exit::Unknown
    }
}

/// Number of CPUs that this process may run on, at least 1.
pub fn allowed_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The soft and hard limit of open descriptors.
pub fn descriptor_limits() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and writable.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = descriptor_limits()?;
    if soft < hard {
        let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: `limit` is a live struct that the kernel reads.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(hard)
}

/// The effective user id of this process.
pub fn effective_uid() -> u32 {
    // SAFETY: geteuid always succeeds and touches no memory.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::message::receive;
    use crate::sys::poll::wait_ready;
    use crate::sys::socket::seqpacket_pair;
    use std::time::Duration;

    fn shell(script: &str, link: OwnedFd) -> Spawned {
        spawn(Path::new("/bin/sh"), &["-c".into(), script.into()], link).unwrap()
    }

    #[test]
    fn a_child_gets_its_link_as_three_and_no_other() {
        let (ours, theirs) = seqpacket_pair().unwrap();
        let child = shell("echo here >&3; ls /proc/self/fd | sort -n | tr '\\n' ' ' >&3", theirs);
        assert!(wait_ready(child.pidfd.as_fd(), false, Duration::from_secs(10)).unwrap());
        assert_eq!(reap(child.pidfd.as_fd()), Exit::Code(0));
        let mut buffer = [0; 100];
        let got = receive(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!(&buffer[..got.length], b"here\n");
        let got = receive(ours.as_fd(), &mut buffer).unwrap();
        // 0-3, and the one by which `ls` reads the folder.
        assert_eq!(&buffer[..got.length], b"0 1 2 3 4 ");
    }

    #[test]
    fn exits_are_told_apart() {
        let (_ours, theirs) = seqpacket_pair().unwrap();
        let child = shell("exit 7", theirs);
        assert!(wait_ready(child.pidfd.as_fd(), false, Duration::from_secs(10)).unwrap());
        assert_eq!(reap(child.pidfd.as_fd()), Exit::Code(7));
        let (_ours, theirs) = seqpacket_pair().unwrap();
        let child = shell("exec sleep 60", theirs);
        assert_eq!(pid_of(child.pidfd.as_fd()).unwrap(), Some(child.pid));
        kill(child.pidfd.as_fd()).unwrap();
        assert!(wait_ready(child.pidfd.as_fd(), false, Duration::from_secs(10)).unwrap());
        assert_eq!(reap(child.pidfd.as_fd()), Exit::Signal(libc::SIGKILL));
        assert_eq!(pid_of(child.pidfd.as_fd()).unwrap(), None);
        assert!(pid_of(std::io::stderr().as_fd()).is_err());
    }

    #[test]
    fn limits_and_cpus_are_sane() {
        assert!(allowed_cpus() >= 1);
        let hard = raise_descriptor_limit().unwrap();
        assert_eq!(descriptor_limits().unwrap(), (hard, hard));
    }
}
