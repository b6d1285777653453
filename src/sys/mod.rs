//! System calls and descriptors: the only room with unsafe code.
//!
//! What it is: thin, safe, non-blocking wrappers over Linux calls that std and mio lack. What it is
//! not: policy. It decides nothing, logs nothing and knows no other room but `base`.
//!
//! Invariants: every descriptor that leaves this room is an `OwnedFd`; every descriptor made here has
//! `FD_CLOEXEC`; every `unsafe` block states why it is sound; errors are `io::Error` with the errno.

pub mod fd;
pub mod map;
pub mod memfd;
pub mod message;
pub mod peer;
pub mod pipe;
pub mod poll;
pub mod process;
pub mod signal;
pub mod socket;
