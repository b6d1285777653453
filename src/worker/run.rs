//! The worker and its turn.
//!
//! A turn: take the kernel's events, step every connection they concern and every one those wake,
//! settle what steps leave behind, fire timers, then deal with the master. All state is owned here
//! and touched by one thread. A simulation calls [`Worker::turn`] with a clock of its own.

use super::accept::{Accepting, Door};
use super::conn::{Conn, ConnKey, Role};
use super::core::{Core, Effect, Heads, Tally};
use super::drain::Drain;
use super::link::MasterLink;
use super::live::Live;
use super::pools::{MemberKey, Pools};
use super::record::Records;
use super::work::XKey;
use super::{back, front};
use crate::base::buf::BufPool;
use crate::base::clock::{Clock, Time};
use crate::base::queue::OnceQueue;
use crate::base::seed::Seed;
use crate::base::slots::{Key, Slots};
use crate::base::wheel::Wheel;
use crate::io::poll::Poller;
use crate::io::ready::Ready;
use crate::io::splice::PipePool;
use crate::observe::{Counter, Gauge};
use crate::shared::{Board, Page, WorkerState};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The loop turns at least this often, so that its heartbeat shows life.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// Steps of one turn; what is left goes on in the next, after the kernel was asked again.
const STEPS_MAX: usize = 8_192;

/// How often memory at rest is looked at, and how many blocks may rest: 1 MiB.
const TIDY: Duration = Duration::from_secs(1);
const BLOCKS_KEPT: usize = 64;

/// Kinds of token, in the two highest bits of the lower half; the rest is an index.
const KIND: u64 = 0xc000_0000;
const KIND_DOOR: u64 = 0x4000_0000;
const KIND_OTHER: u64 = 0x8000_0000;
/// The link to the master.
pub(super) const TOKEN_LINK: u64 = KIND_OTHER;
/// The helper threads.
pub(super) const TOKEN_JOBS: u64 = KIND_OTHER | 1;

/// The word by which the kernel names a connection.
pub(super) fn token_of_conn(key: ConnKey) -> u64 {
    debug_assert!(key.to_u64() & KIND == 0, "more connections than a token can name");
    key.to_u64()
}

/// The word by which the kernel names a listening socket.
pub(super) fn token_of_door(index: usize) -> u64 {
    KIND_DOOR | index as u64
}

/// How a worker is made.
pub struct Settings {
    /// The board and this worker's page of it.
    pub board: Board,
    /// This worker's page.
    pub page: Page,
    /// The plan to begin with.
    pub live: Arc<Live>,
    /// Client connections at most.
    pub connections: u32,
    /// Seed of request ids and jitter.
    pub seed: u64,
    /// The time now.
    pub now: Time,
}

/// What a worker has taken from its stores: nothing, when it rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Blocks of buffers.
    pub blocks: usize,
    /// Heads.
    pub heads: usize,
}

/// One data plane: a loop, its connections, its pools.
pub struct Worker {
    pub(super) poller: Poller,
    pub(super) conns: Slots<Conn>,
    pub(super) core: Core,
    pub(super) doors: Vec<Door>,
    /// Names of listeners by their index in connections; grows only.
    pub(super) names: Vec<Arc<str>>,
    pub(super) accepting: Accepting,
    pub(super) fronts: usize,
    pub(super) fronts_max: usize,
    pub(super) backs: usize,
    /// Requests to the master for unix connections.
    pub(super) asked: HashMap<u64, (XKey, MemberKey)>,
    pub(super) due: Vec<ConnKey>,
    pub(super) link: Option<MasterLink>,
    pub(super) drain: Option<Drain>,
    /// When memory at rest was last looked at.
    tidied: Time,
    events: usize,
}

impl Worker {
    /// A worker that serves nothing yet.
    pub fn new(poller: Poller, settings: Settings) -> Worker {
        let Settings { board, page, live, connections, seed, now } = settings;
        let blocks = (connections as usize).saturating_mul(4).max(1_024);
        let mut pools = Pools::default();
        pools.apply(&live.plan, &board, &page);
        let records = Records::new(&live, &board, &page);
        page.set(Gauge::ConnectionsMax, u64::from(connections));
        page.set_state(WorkerState::Serving);
        Worker {
            poller,
            conns: Slots::new(),
            core: Core {
                now,
                live,
                doors: Vec::new(),
                work: Slots::new(),
                pools,
                bufs: BufPool::new(blocks),
                heads: Heads::default(),
                spare: Box::default(),
                kernel: PipePool::new((connections as usize / 4).clamp(16, 4_096)),
                run: OnceQueue::new(),
                effects: VecDeque::new(),
                wheel: Wheel::new(now),
                board,
                page,
                tally: Tally::default(),
                records,
                seed: Seed::new(seed),
                draining: false,
                splice_min: 32 * 1024,
                reports: Vec::new(),
                ask: 0,
            },
            doors: Vec::new(),
            names: Vec::new(),
            accepting: Accepting::In { patient: false },
            fronts: 0,
            fronts_max: connections as usize,
            backs: 0,
            asked: HashMap::new(),
            due: Vec::new(),
            link: None,
            drain: None,
            tidied: now,
            events: 0,
        }
    }

    /// Runs until the worker has drained.
    ///
    /// # Errors
    /// What epoll_wait(2) says: nothing can go on without it.
    pub fn run(&mut self) -> io::Result<()> {
        let mut now = Clock::now();
        while !self.is_over() {
            let timeout = self.timeout(now);
            self.wait(timeout)?;
            let woken = Clock::now();
            self.turn(woken);
            now = Clock::now();
            self.core.tally.add(Counter::LoopBusy, now.since(woken).as_micros() as u64);
        }
        Ok(())
    }

    /// Waits for events, at most `timeout`; the next [`Worker::turn`] deals with them.
    ///
    /// # Errors
    /// What epoll_wait(2) says.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.events = self.poller.wait(timeout)?;
        Ok(())
    }

    /// How long the loop may wait from `now` on.
    pub fn timeout(&mut self, now: Time) -> Duration {
        if !self.core.run.is_empty() || !self.core.effects.is_empty() {
            return Duration::ZERO;
        }
        let mut wait = SLEEP_MAX;
        if let Some(sleep) = self.core.wheel.sleep(now) {
            wait = wait.min(sleep);
        }
        if let Some(at) = self.review_at() {
            wait = wait.min(at.since(now));
        }
        if let Some(drain) = &self.drain {
            wait = wait.min(drain.until.since(now)).min(super::drain::LOOK);
        }
        wait
    }

    /// Deals with the events of the last [`Worker::wait`] and with all that follows from them.
    pub fn turn(&mut self, now: Time) {
        self.core.now = now;
        self.core.page.beat(now);
        self.core.tally.add(Counter::Turns, 1);
        let mut link = false;
        for n in 0..std::mem::take(&mut self.events) {
            let Some(event) = self.poller.event(n) else { break };
            match event.token & KIND {
                0 => self.on_ready(Key::from_u64(event.token), event.ready),
                KIND_DOOR => self.accept((event.token & !KIND) as usize),
                _ if event.token == TOKEN_LINK => link = true,
                _ => {}
            }
        }
        self.work();
        self.expire();
        self.work();
        self.control(link);
        self.review_accepting();
        self.review_drain();
        self.work();
        self.core.tally.flush(&self.core.page);
        self.core.records.flush(&self.core.page);
        self.tidy();
        self.core.page.set(Gauge::Exchanges, self.core.work.len() as u64);
        self.core.page.set(Gauge::Buffers, self.core.bufs.out() as u64);
        #[cfg(debug_assertions)]
        if let Err(wrong) = self.check_invariants() {
            debug_assert!(false, "{wrong}");
        }
    }

    fn on_ready(&mut self, key: ConnKey, ready: Ready) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.ready.set(ready);
            self.core.wake(key);
        }
    }

    /// Steps and settles until nothing is left, or the budget is.
    fn work(&mut self) {
        self.settle();
        for _ in 0..STEPS_MAX {
            let Some(key) = self.core.run.pop() else { return };
            let Some(conn) = self.conns.get_mut(key) else { continue };
            match conn.role {
                Role::Front { .. } => front::step(conn, key, &mut self.core),
                Role::Back { .. } => back::step(conn, key, &mut self.core),
            }
            self.settle();
        }
        self.core.count(Counter::TurnLimit);
    }

    /// Gives back, once a second, the memory of a burst that has passed.
    fn tidy(&mut self) {
        if self.core.now.since(self.tidied) >= TIDY {
            self.tidied = self.core.now;
            if self.core.bufs.resting() > BLOCKS_KEPT {
                self.core.bufs.trim(BLOCKS_KEPT);
            }
        }
    }

    /// The time at which accepting is to be looked at again.
    fn review_at(&self) -> Option<Time> {
        match self.accepting {
            Accepting::Out { until, .. } => Some(until),
            Accepting::In { .. } | Accepting::Never => None,
        }
    }

    /// Puts another plan into force. Exchanges keep the one they began under; connections of
    /// listeners that are gone end with their present exchange.
    pub fn apply(&mut self, live: Arc<Live>) {
        let close = self.core.pools.apply(&live.plan, &self.core.board, &self.core.page);
        close.into_iter().for_each(|key| self.core.leave(Effect::Close(key)));
        self.core.page.set_serial(live.serial);
        self.core.records.apply(&live, &self.core.board, &self.core.page);
        self.core.live = live;
        self.map_doors();
        let orphans: Vec<ConnKey> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.is_front() && self.core.listener_of(conn).is_none())
            .map(|(key, _)| key)
            .collect();
        orphans.into_iter().for_each(|key| self.retire(key));
        self.settle();
    }

    /// Finds out which listener of the plan each name means now.
    pub(super) fn map_doors(&mut self) {
        let plan = &self.core.live.plan;
        self.core.doors = self.names.iter().map(|name| plan.listener_index(name)).collect();
    }

    /// Closes a client's connection now if it rests, else after its exchange.
    pub(super) fn retire(&mut self, key: ConnKey) {
        let Some(conn) = self.conns.get(key) else { return };
        match conn.x {
            None => self.core.leave(Effect::Close(key)),
            Some(x) => {
                if let Some(work) = self.core.work.get_mut(x) {
                    work.closes = true;
                }
            }
        }
    }

    /// Client connections now.
    pub fn fronts(&self) -> usize {
        self.fronts
    }

    /// Backend connections now.
    pub fn backs(&self) -> usize {
        self.backs
    }

    /// Exchanges now.
    pub fn exchanges(&self) -> usize {
        self.core.work.len()
    }

    /// What is taken from the stores of this worker now.
    pub fn holdings(&self) -> Holdings {
        Holdings { blocks: self.core.bufs.out(), heads: self.core.heads.out() }
    }

    /// Bodies shorter than this are never spliced; `u64::MAX` switches splicing off.
    pub fn set_splice_min(&mut self, bytes: u64) {
        self.core.splice_min = bytes;
    }
}
