//! The descriptor store of a service manager, as far as Cloud Cup uses it (sd_notify(3), FDSTORE).

use cloudcup::sys::poll;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Stored descriptors by name.
#[derive(Clone, Default)]
pub struct Store(Arc<Mutex<Vec<(String, OwnedFd)>>>);

impl Store {
    /// Takes a message of the service.
    pub fn take(&self, text: &str, fds: Vec<OwnedFd>) {
        let mut kept = self.0.lock().unwrap();
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
        if text.lines().any(|line| line == "FDSTOREREMOVE=1") {
            kept.retain(|(known, _)| known != name);
        }
        if text.lines().any(|line| line == "FDSTORE=1") {
            kept.extend(fds.into_iter().map(|fd| (name.to_string(), fd)));
        }
    }

    /// Copies of all that is stored, newest first; links whose other end is gone are dropped, as
    /// systemd does on EPOLLHUP.
    pub fn living(&self) -> Vec<(String, OwnedFd)> {
        let mut kept = self.0.lock().unwrap();
        kept.retain(|(name, fd)| !(name.starts_with("w-") && is_hung_up(fd)));
        let copies = kept.iter().rev().map(|(name, fd)| (name.clone(), fd.try_clone().unwrap()));
        copies.collect()
    }
}

fn is_hung_up(link: &OwnedFd) -> bool {
    // A link with nothing to read and an end: the peer is gone.
    let ready = poll::wait_ready(link.as_fd(), false, Duration::ZERO).unwrap_or(true);
    let mut byte = [0u8; 1];
    ready
        && matches!(
            nix::sys::socket::recv(
                std::os::fd::AsRawFd::as_raw_fd(link),
                &mut byte,
                nix::sys::socket::MsgFlags::MSG_PEEK | nix::sys::socket::MsgFlags::MSG_DONTWAIT,
            ),
            Ok(0)
        )
}
