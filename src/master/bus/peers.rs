//! The callers of the control socket: accepted within bounds, each served on a connection of its
//! own.

use super::Service;
use super::access::Way;
use super::endpoint::{Endpoint, serve};
use super::pump::Roster;
use super::shared::Shared;
use super::socket::{PeerSocket, caller};
use super::tree::Nodes;
use crate::control::names;
use crate::control::rights::Caller;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zbus::connection::Builder;
use zruntime::{AsyncIo, SharedRuntime};

/// Longest time a caller may take for the handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// Wait after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Objects up to this number are published to each caller at once; more of them only to callers that
/// list them (`GetManagedObjects`), since most never use one.
const EAGER_MAX: usize = 64;
/// Messages of one caller that may be read and not yet looked at.
const QUEUE: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// Who is connected: the number of connections of each uid.
#[derive(Debug, Default)]
struct Seats(Mutex<HashMap<u32, usize>>);

/// One connection's seat; free again when this is dropped.
#[derive(Debug)]
struct Seat {
    seats: Arc<Seats>,
    shared: Arc<Shared>,
    uid: u32,
}

impl Seats {
    /// A seat for `uid`; `None` when [`names::PEERS_MAX`] are taken, or [`names::PEERS_PER_UID_MAX`]
    /// by this uid (root excepted, so that nobody can lock root out).
    fn take(self: &Arc<Seats>, uid: u32, shared: &Arc<Shared>) -> Option<Seat> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = seats.values().sum();
        let of_root = seats.get(&0).copied().unwrap_or(0);
        let own = seats.entry(uid).or_insert(0);
        let free = match uid {
            0 => all < names::PEERS_MAX,
            _ => all - of_root < names::PEERS_MAX / 2 && *own < names::PEERS_PER_UID_MAX,
        };
        if !free {
            shared.counters.peers_limit_hit_total.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *own += 1;
        shared.counters.peers.store(all as u64 + 1, Ordering::Relaxed);
        Some(Seat { seats: Arc::clone(self), shared: Arc::clone(shared), uid })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = seats.get_mut(&self.uid) {
            *own -= 1;
        }
        seats.retain(|_, own| *own > 0);
        let all: usize = seats.values().sum();
        self.shared.counters.peers.store(all as u64, Ordering::Relaxed);
    }
}

impl Service {
    /// Serves callers of the control socket until the task is dropped.
    pub(super) async fn serve_peers(
        &self,
        listener: UnixListener,
        runtime: &SharedRuntime,
        roster: &Roster,
    ) {
        let listener = match AsyncIo::new(runtime, listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the control socket cannot be served");
                return;
            }
        };
        let guid = zbus::Guid::generate();
        let seats = Arc::<Seats>::default();
        loop {
            let stream = match listener.read_with(UnixListener::accept).await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a caller of the control socket is lost");
                    runtime.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(caller) = caller(&stream) else { continue };
            let Some(seat) = seats.take(caller.uid, &self.shared) else {
                tracing::warn!(uid = caller.uid, "too many callers on the control socket");
                continue;
            };
            let (service, roster, guid) = (self.clone(), roster.clone(), guid.to_owned());
            let runtime = runtime.clone();
            zruntime::spawn(async move {
                if let Err(error) =
                    service.serve_peer(stream, caller, guid.into(), &runtime, &roster).await
                {
                    tracing::debug!(%error, "a caller of the control socket was dropped");
                }
                drop(seat);
            })
            .detach();
        }
    }

    async fn serve_peer(
        &self,
        stream: UnixStream,
        caller: Caller,
        guid: zbus::OwnedGuid,
        runtime: &SharedRuntime,
        roster: &Roster,
    ) -> zbus::Result<()> {
        let id = self.number();
        let socket = PeerSocket::new(runtime, stream, caller.uid)?;
        let way = Way::Peer { id, caller };
        let view = self.view().await;
        let all = view.nodes(&self.shared);
        let few = all.len() <= EAGER_MAX;
        let none = Nodes::new();
        let nodes = if few { all } else { &none };
        let builder = Builder::socket(socket).server(guid).p2p().max_queued(QUEUE);
        let build = serve(builder, &self.shared, &way, roster, nodes).build();
        let connection = match runtime.timeout(HANDSHAKE_WAIT, build).await {
            Ok(connection) => connection?,
            Err(_) => return Err(zbus::Error::Handshake("it took too long".to_owned())),
        };
        roster.joined(Endpoint::new(id, connection.clone(), &self.shared, &way, view, few));
        connection.closed().await;
        roster.left(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::Access;
    use super::*;
    use crate::control::rights::Mode;

    #[test]
    fn seats_are_bounded_and_root_is_never_locked_out() {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (commands, _requests) = crate::master::command::channel(waker);
        let access = Access::new(super::super::rules(Mode::User));
        let shared = Arc::new(Shared::new(commands, access));
        let counters = &shared.counters;
        let seats = Arc::<Seats>::default();
        let take = |uid| seats.take(uid, &shared);
        let mut taken: Vec<Seat> = std::iter::from_fn(|| take(1000)).collect();
        assert_eq!(taken.len(), names::PEERS_PER_UID_MAX);
        taken.extend(std::iter::from_fn(|| take(1001)));
        taken.extend(std::iter::from_fn(|| take(1002)));
        assert_eq!(taken.len(), names::PEERS_MAX / 2);
        let of_root: Vec<Seat> = std::iter::from_fn(|| take(0)).collect();
        assert_eq!(of_root.len(), names::PEERS_MAX / 2);
        assert_eq!(counters.peers_limit_hit_total.load(Ordering::Relaxed), 4);
        assert_eq!(counters.peers.load(Ordering::Relaxed), names::PEERS_MAX as u64);
        drop(taken);
        drop(of_root);
        assert_eq!(counters.peers.load(Ordering::Relaxed), 0);
        assert!(take(1000).is_some());
    }
}
