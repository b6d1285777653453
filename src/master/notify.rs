//! The dialogue with systemd: sd_notify(3) and the descriptor store.
//!
//! Without `NOTIFY_SOCKET` nothing is sent and the store is absent. A message that can't be sent is
//! logged and forgotten: the service must not fall because its manager is deaf.

use crate::base::clock::{Clock, Time};
use sd_notify::NotifyState;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// The least time between two live status lines.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// One service's voice towards systemd.
#[derive(Debug)]
pub struct Notifier {
    enabled: bool,
    status: String,
    status_at: Option<Time>,
    watchdog: Option<Duration>,
    fed_at: Option<Time>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET` and `WATCHDOG_USEC` of the environment.
    pub fn from_environment() -> Notifier {
        Notifier {
            enabled: std::env::var_os("NOTIFY_SOCKET").is_some(),
            status: String::new(),
            status_at: None,
            watchdog: sd_notify::watchdog_enabled(),
            fed_at: None,
        }
    }

    /// Whether a manager listens, so that it can keep descriptors for us.
    pub fn has_store(&self) -> bool {
        self.enabled
    }

    /// READY=1 with a status line.
    pub fn ready(&mut self, status: &str) {
        self.remember(status);
        self.send(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// RELOADING=1: an apply begins; [`Notifier::ready`] ends it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(stamp) => self.send(&[NotifyState::Reloading, stamp]),
            Err(error) => tracing::warn!(%error, "cannot read the monotonic clock"),
        }
    }

    /// STOPPING=1 with a status line.
    pub fn stopping(&mut self, status: &str) {
        self.remember(status);
        self.send(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// The live status line: sent when it has changed, at most once a second.
    pub fn status(&mut self, status: &str, now: Time) {
        let early = self.status_at.is_some_and(|at| now.since(at) < STATUS_EVERY);
        if self.status != status && !early {
            self.remember(status);
            self.send(&[NotifyState::Status(status)]);
        }
    }

    /// A status line that can't wait: why something was refused.
    pub fn status_now(&mut self, status: &str) {
        self.remember(status);
        self.send(&[NotifyState::Status(status)]);
    }

    /// WATCHDOG=1 when a third of its interval has passed. Call it only while all make progress.
    pub fn feed_watchdog(&mut self, now: Time) {
        let Some(interval) = self.watchdog else { return };
        if self.fed_at.is_none_or(|at| now.since(at) >= interval / 3) {
            self.fed_at = Some(now);
            self.send(&[NotifyState::Watchdog]);
        }
    }

    /// Puts a descriptor into the store under a name. Nothing tells whether it had room.
    pub fn store(&self, name: &str, fd: BorrowedFd<'_>) {
        if !self.enabled {
            return;
        }
        let states = [NotifyState::FdStore, NotifyState::FdName(name)];
        if let Err(error) = sd_notify::notify_with_fds(&states, &[fd]) {
            tracing::warn!(%error, name, "cannot store a descriptor with systemd");
        }
    }

    /// Takes all descriptors of this name out of the store.
    pub fn unstore(&self, name: &str) {
        self.send(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
    }

    fn remember(&mut self, status: &str) {
        status.clone_into(&mut self.status);
        self.status_at = Some(Clock::now());
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        if self.enabled
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::warn!(%error, "cannot notify systemd");
        }
    }
}

/// What the descriptors that systemd hands over at start are, by their name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredName {
    /// Our end of the link of the worker with this process id.
    Link(u32),
    /// The pidfd of the worker with this process id.
    Pidfd(u32),
    /// The board.
    Board,
    /// A listening socket that an earlier master bound for this listener.
    Bound(String),
    /// A socket of this listener, from a socket unit.
    Listener(String),
}

impl StoredName {
    /// Reads a name. What isn't one of ours is a listener's.
    pub fn parse(name: &str) -> StoredName {
        let pid =
            |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.parse::<u32>().ok());
        if let Some(pid) = pid("w-") {
            StoredName::Link(pid)
        } else if let Some(pid) = pid("p-") {
            StoredName::Pidfd(pid)
        } else if name == "b-board" {
            StoredName::Board
        } else if let Some(listener) = name.strip_prefix("l-") {
            StoredName::Bound(listener.to_owned())
        } else {
            StoredName::Listener(name.to_owned())
        }
    }

    /// The name as systemd gets it.
    pub fn text(&self) -> String {
        match self {
            StoredName::Link(pid) => format!("w-{pid}"),
            StoredName::Pidfd(pid) => format!("p-{pid}"),
            StoredName::Board => "b-board".to_owned(),
            StoredName::Bound(listener) => format!("l-{listener}"),
            StoredName::Listener(listener) => listener.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in ["w-12", "p-12", "b-board", "l-http", "http", "w-x", "p-"] {
            assert_eq!(StoredName::parse(text).text(), text);
        }
        assert_eq!(StoredName::parse("w-12"), StoredName::Link(12));
        assert_eq!(StoredName::parse("w-x"), StoredName::Listener("w-x".to_owned()));
        assert_eq!(StoredName::parse("l-http"), StoredName::Bound("http".to_owned()));
    }
}
