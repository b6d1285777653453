//! Descriptors that were handed over at exec: sockets of units, and the store of an earlier master.

use super::notify::StoredName;
use super::sockets::{Origin, Sockets};
use crate::config::Plan;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// Descriptors of the start, sorted by what they are.
#[derive(Debug, Default)]
pub struct Inherited {
    listeners: Vec<(Option<String>, OwnedFd)>,
    bound: Vec<(String, OwnedFd)>,
    /// The board of an earlier master.
    pub board: Option<OwnedFd>,
    /// Process id, link and pidfd of each worker that may still live.
    pub workers: Vec<(u32, OwnedFd, OwnedFd)>,
}

impl Inherited {
    /// Sorts what was passed.
    pub fn take(list: Vec<(Option<StoredName>, OwnedFd)>) -> Inherited {
        let mut inherited = Inherited::default();
        let mut links = BTreeMap::new();
        let mut pidfds = BTreeMap::new();
        for (name, fd) in list {
            match name {
                Some(StoredName::Link(pid)) => drop(links.insert(pid, fd)),
                Some(StoredName::Pidfd(pid)) => drop(pidfds.insert(pid, fd)),
                Some(StoredName::Board) => inherited.board = Some(fd),
                Some(StoredName::Bound(listener)) => inherited.bound.push((listener, fd)),
                Some(StoredName::Listener(name)) => inherited.listeners.push((Some(name), fd)),
                None => inherited.listeners.push((None, fd)),
            }
        }
        for (pid, link) in links {
            // A link without a pidfd: its worker has ended and was reaped.
            if let Some(pidfd) = pidfds.remove(&pid) {
                inherited.workers.push((pid, link, pidfd));
            }
        }
        inherited
    }

    /// Whether a socket unit passed any socket.
    pub fn has_listeners(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Names of the passed sockets; a nameless one counts as `http`.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .listeners
            .iter()
            .map(|(name, _)| name.clone().unwrap_or_else(|| "http".to_owned()))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Hands the sockets over. Nameless ones belong to the only listener there is.
    pub fn give_sockets(&mut self, sockets: &mut Sockets, plan: &Plan) {
        let only = match plan.listeners.as_slice() {
            [listener] => listener.name.clone(),
            _ => "unknown".to_owned(),
        };
        for (name, fd) in self.listeners.drain(..) {
            sockets.take(name.as_deref().unwrap_or(&only), Origin::Systemd, fd);
        }
        for (name, fd) in self.bound.drain(..) {
            sockets.take(&name, Origin::Bound, fd);
        }
        sockets.close_unnamed(plan);
    }
}
