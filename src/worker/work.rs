//! An exchange as the worker holds it: the pure machine and what ties it to this worker.

use super::conn::ConnKey;
use super::live::Live;
use super::pools::{MemberKey, PoolKey};
use crate::base::slots::Key;
use crate::config::plan::PoolIndex;
use crate::exchange::fault::Fault;
use crate::exchange::{Exchange, Leg};
use crate::io::splice::{KernelPipe, PipePool};
use crate::proto::h1::Offence;
use crate::route::RuleId;
use std::net::IpAddr;
use std::sync::Arc;

/// Names an exchange.
pub type XKey = Key<Work>;

/// The members of a pool that this request has tried, by position; those past 63 share the last bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried(u64);

impl Tried {
    /// Notes the member at `index`.
    pub fn add(&mut self, index: usize) {
        self.0 |= 1 << index.min(63);
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0 = 0;
    }

    /// Whether the member at `index` was noted.
    pub fn has(self, index: usize) -> bool {
        self.0 & (1 << index.min(63)) != 0
    }
}

/// The rest of an answer from memory.
pub struct LocalBody {
    /// All of it.
    pub bytes: Arc<[u8]>,
    /// How much went into the pipe.
    pub done: usize,
}

/// One exchange.
pub struct Work {
    /// The machine.
    pub x: Exchange,
    /// The plan it began under; names and rules are looked up here for as long as it lives.
    pub live: Arc<Live>,
    /// Its rule in that plan.
    pub rule: Option<RuleId>,
    /// The pool it picks from.
    pub pool: Option<PoolKey>,
    /// The pool's position in the plan.
    pub pool_index: Option<PoolIndex>,
    /// The position in the pool of the member it was sent to last.
    pub member_index: Option<u32>,
    /// The member it was sent to last.
    pub member: Option<MemberKey>,
    /// Members it shall not be sent to again.
    pub tried: Tried,
    /// It holds the one trial of `member`, whose outcome is still owed.
    pub on_trial: bool,
    /// The answer from memory.
    pub local: Option<LocalBody>,
    /// Kernel pipe of the request's body.
    pub up_kernel: Option<Box<KernelPipe>>,
    /// Kernel pipe of the response's body.
    pub down_kernel: Option<Box<KernelPipe>>,
    /// Bytes of the request's body so far.
    pub received: u64,
    /// Bytes of the response's body so far.
    pub sent: u64,
    /// The client's address, behind trusted proxies.
    pub client: Option<IpAddr>,
    /// What went wrong last, made good or not.
    pub last_fault: Option<Fault>,
    /// What a peer did against its protocol.
    pub offence: Option<Offence>,
    /// The rest of the request is thrown away.
    pub discard: bool,
    /// Only a connection of its own will do: a kept-alive one has just died.
    pub fresh: bool,
    /// The client's connection ends with this exchange.
    pub closes: bool,
    /// The client's side has more, but the pipe or the backend must go first.
    pub up_blocked: bool,
    /// The backend's side has more, but the pipe or the client must go first.
    pub down_blocked: bool,
    /// The client can tell the end of the response by the end of the connection only.
    pub unframed: bool,
    /// Number of the request for a unix connection that the master is making; 0 = none.
    pub asked: u64,
}

impl Work {
    /// An exchange that has just begun.
    pub fn new(x: Exchange, live: Arc<Live>) -> Work {
        Work {
            x,
            live,
            rule: None,
            pool: None,
            pool_index: None,
            member_index: None,
            member: None,
            tried: Tried::default(),
            on_trial: false,
            local: None,
            up_kernel: None,
            down_kernel: None,
            received: 0,
            sent: 0,
            client: None,
            last_fault: None,
            offence: None,
            discard: false,
            fresh: false,
            closes: false,
            up_blocked: false,
            down_blocked: false,
            unframed: false,
            asked: 0,
        }
    }

    /// Gives both kernel pipes back, whatever they hold.
    pub fn drop_kernel(&mut self, pool: &mut PipePool) {
        for kernel in [self.up_kernel.take(), self.down_kernel.take()].into_iter().flatten() {
            pool.give(*kernel);
        }
    }

    /// The client's connection.
    pub fn front(&self) -> Option<ConnKey> {
        conn_of(self.x.front)
    }

    /// The backend's connection.
    pub fn back(&self) -> Option<ConnKey> {
        conn_of(self.x.back)
    }
}

/// The connection that a leg means.
fn conn_of(leg: Leg) -> Option<ConnKey> {
    match leg {
        Leg::Conn(word) => Some(ConnKey::from_u64(word)),
        Leg::None | Leg::Local => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_past_the_last_bit_count_as_one() {
        let mut tried = Tried::default();
        tried.add(3);
        assert!(tried.has(3) && !tried.has(4));
        tried.add(200);
        assert!(tried.has(63) && tried.has(1_000));
    }

    #[test]
    fn an_exchange_stays_within_its_size() {
        let size = size_of::<Work>();
        assert!(size <= 768, "Work has grown to {size} bytes");
    }
}
