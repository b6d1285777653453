//! What all connections of a worker share: everything but the connections themselves.
//!
//! A step borrows one connection and this; the other side of an exchange is only ever reached by
//! key, by waking it ([`Core::wake`]) or by leaving an [`Effect`] that is settled after the step.

use super::conn::{Conn, ConnKey};
use super::live::Live;
use super::pools::Pools;
use super::record::Records;
use super::work::{Work, XKey};
use crate::base::buf::BufPool;
use crate::base::clock::Time;
use crate::base::queue::OnceQueue;
use crate::base::seed::Seed;
use crate::base::slots::Slots;
use crate::base::wheel::{TimerId, Wheel};
use crate::exchange::fault::Fault;
use crate::io::splice::PipePool;
use crate::msg::Head;
use crate::observe::Counter;
use crate::route::ListenerIndex;
use crate::shared::{Board, Page};
use std::collections::VecDeque;
use std::sync::Arc;

/// Something that a step leaves to be done when no connection is borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// Find a connection for this exchange.
    Pick(XKey),
    /// Something went wrong in this exchange: try again, answer, or give up.
    Fail(XKey, Fault),
    /// Both messages are complete: record it and let go.
    Finish(XKey),
    /// The exchange no longer needs this connection, which is clean: make it idle or hand it on.
    Release(ConnKey),
    /// Close this connection.
    Close(ConnKey),
}

/// Reports that may wait for the master.
const REPORTS_MAX: usize = 256;

/// A backend went down or came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReport {
    /// Its pool's name.
    pub pool: Arc<str>,
    /// Its address as the configuration has it.
    pub address: Arc<str>,
    /// Whether it takes traffic.
    pub up: bool,
    /// Why.
    pub reason: &'static str,
}

/// See the file's header.
pub struct Core {
    /// The time of this turn.
    pub now: Time,
    /// The plan in force.
    pub live: Arc<Live>,
    /// Which listener of the plan in force each door's name means; `None` = no longer one.
    pub doors: Vec<Option<ListenerIndex>>,
    /// All exchanges.
    pub work: Slots<Work>,
    /// Upstream pools.
    pub pools: Pools,
    /// Blocks for buffers.
    pub bufs: BufPool,
    /// Heads at rest.
    pub heads: Heads,
    /// Where codecs put the next head.
    pub spare: Box<Head>,
    /// Pipes for splicing.
    pub kernel: PipePool,
    /// Connections to step.
    pub run: OnceQueue<Conn>,
    /// What steps have left to do.
    pub effects: VecDeque<Effect>,
    /// One timer for each connection that has one.
    pub wheel: Wheel<ConnKey>,
    /// The board of all workers.
    pub board: Board,
    /// This worker's page of it.
    pub page: Page,
    /// What was counted in this turn and is not on the page yet.
    pub tally: Tally,
    /// Access records and what is counted by route.
    pub records: Records,
    /// Randomness for request ids and jitter.
    pub seed: Seed,
    /// No new exchange on any connection after its present one.
    pub draining: bool,
    /// Bodies longer than this that stay in plain sockets are spliced.
    pub splice_min: u64,
    /// Backends whose state this worker has seen change, to be told to the master.
    pub reports: Vec<MemberReport>,
    /// The next number of a request for a unix connection.
    pub ask: u64,
}

impl Core {
    /// Runs `key` in this turn.
    pub fn wake(&mut self, key: ConnKey) {
        self.run.push(key);
    }

    /// Counts one.
    pub fn count(&mut self, counter: Counter) {
        self.tally.add(counter, 1);
    }

    /// Notes that a backend went down or came up.
    pub fn report_member(
        &mut self,
        pool: Arc<str>,
        address: Arc<str>,
        up: bool,
        reason: &'static str,
    ) {
        self.count(if up { Counter::MemberUp } else { Counter::MemberDown });
        if self.reports.len() < REPORTS_MAX {
            self.reports.push(MemberReport { pool, address, up, reason });
        } else {
            self.count(Counter::LinkLimit);
        }
    }

    /// Leaves something to be settled.
    pub fn leave(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Makes sure that the connection's timer fires no later than `at`. Does nothing when it fires
    /// earlier: it is then set again.
    pub fn arm(&mut self, conn: &mut Conn, key: ConnKey, at: Time) {
        if conn.armed <= at {
            return;
        }
        self.wheel.cancel(conn.timer);
        conn.timer = self.wheel.arm(at, key);
        conn.armed = at;
    }

    /// Takes the connection's timer out of the wheel.
    pub fn disarm(&mut self, conn: &mut Conn) {
        self.wheel.cancel(conn.timer);
        conn.timer = TimerId::NONE;
        conn.armed = Time::NEVER;
    }
}

/// Counts of one turn: an addition here costs a fraction of one on the shared page.
pub struct Tally([u64; Counter::COUNT]);

impl Default for Tally {
    fn default() -> Tally {
        Tally([0; Counter::COUNT])
    }
}

impl Tally {
    /// Counts `n` more.
    #[inline]
    pub fn add(&mut self, counter: Counter, n: u64) {
        if let Some(count) = self.0.get_mut(counter.index()) {
            *count += n;
        }
    }

    /// Puts everything on the page.
    pub fn flush(&mut self, page: &Page) {
        for (counter, count) in Counter::ALL.iter().zip(&mut self.0) {
            if *count > 0 {
                page.add(*counter, std::mem::take(count));
            }
        }
    }
}

/// Heads at rest, so that steady traffic allocates none.
#[derive(Default)]
pub struct Heads {
    // Boxed, because an exchange passes them on as boxes: a pointer moves, not two hundred bytes.
    #[allow(clippy::vec_box)]
    free: Vec<Box<Head>>,
    out: usize,
}

/// Heads kept at rest.
const RESTING: usize = 1_024;
/// Memory a resting head may keep.
const BLOCK_KEPT: usize = 4 * 1024;
const FIELDS_KEPT: usize = 128;

impl Heads {
    /// An empty head.
    pub fn take(&mut self) -> Box<Head> {
        self.out += 1;
        self.free.pop().unwrap_or_default()
    }

    /// Takes a head back.
    pub fn give(&mut self, mut head: Box<Head>) {
        self.out = self.out.saturating_sub(1);
        head.clear();
        if self.free.len() < RESTING {
            head.shrink(BLOCK_KEPT, FIELDS_KEPT);
            self.free.push(head);
        }
    }

    /// Takes a head back, if there is one.
    pub fn give_opt(&mut self, head: Option<Box<Head>>) {
        if let Some(head) = head {
            self.give(head);
        }
    }

    /// Heads in use.
    pub fn out(&self) -> usize {
        self.out
    }
}
