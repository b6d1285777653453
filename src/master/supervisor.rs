//! Who runs, who is to be started, stopped or killed: the life of the workers as a pure machine.
//!
//! What it is: events in, actions out, time as a value. What it is not: it starts, signals and reads
//! nothing itself; `run` carries its actions out and tells it what happened.
//!
//! Invariants: a *seat* has at most one worker that isn't draining; a slot of the board belongs to one
//! living worker; a worker leaves the books only by [`Supervisor::on_exit`] (its pidfd), never because
//! its link broke; every state that waits has a deadline.

use crate::base::clock::Time;
use crate::sys::process::Exit;
use std::time::Duration;

/// Most workers at one time, draining ones included: the board's columns.
pub const MAX_SLOTS: u16 = 64;

/// A ready worker whose heartbeat stands still for longer is hung. With a tick every quarter second and
/// an immediate respawn the replacement serves within 2 s.
const HUNG_AFTER: Duration = Duration::from_millis(1500);
/// Time to become ready after the start.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A worker that dies younger than this "keeps dying".
const YOUNG: Duration = Duration::from_secs(3);
/// Deaths of young workers in a row that are bad luck: they are replaced at once.
const LUCK: u32 = 2;
/// First pause after that; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A tick that comes later than this means that we didn't run: nobody is judged by that gap.
const TICK_GAP: Duration = Duration::from_millis(750);
/// How long a killed worker may take to go before it is told again.
const KILL_AGAIN: Duration = Duration::from_secs(5);

/// Names a worker for all time: counted up over the life of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Started (or found in the store), not yet ready.
    Starting,
    /// Serving.
    Ready,
    /// Told to stop; killed when `until` has passed.
    Draining {
        /// The end of its patience.
        until: Time,
    },
    /// Killed; its exit is awaited.
    Killed,
}

impl Phase {
    /// The word that `status` shows.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::Draining { .. } => "draining",
            Phase::Killed => "killed",
        }
    }
}

/// A worker on the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its name.
    pub generation: Generation,
    /// Its column of the board.
    pub slot: u16,
    /// The seat that it fills, also while draining.
    pub seat: u16,
    /// Where it stands.
    pub phase: Phase,
    /// When it was started or adopted.
    pub since: Time,
    /// It outlived an earlier master.
    pub adopted: bool,
    /// Deaths in this seat before it, over the master's life.
    pub restarts: u64,
    beat: u64,
    beat_at: Time,
    killed_at: Time,
}

/// Why a worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillReason {
    /// Its heartbeat stands still.
    Hung,
    /// It didn't become ready in time.
    NeverReady,
    /// It outlived its drain deadline.
    DrainDeadline,
    /// The service stops at once.
    HardStop,
    /// It broke the protocol or didn't follow an apply.
    Unruly,
}

impl KillReason {
    /// A few words for the journal.
    pub fn text(self) -> &'static str {
        match self {
            KillReason::Hung => "it made no progress",
            KillReason::NeverReady => "it did not become ready in time",
            KillReason::DrainDeadline => "it did not drain in time",
            KillReason::HardStop => "the service stops at once",
            KillReason::Unruly => "it did not follow the protocol",
        }
    }
}

/// What the caller has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a worker under this name in this slot; then [`Supervisor::on_spawn_failed`] if it can't be.
    Spawn {
        /// Its name.
        generation: Generation,
        /// Its column of the board.
        slot: u16,
    },
    /// Send STOP.
    Stop {
        /// Whom.
        generation: Generation,
        /// Close everything at once.
        hard: bool,
        /// What it is told about its patience.
        patience: Duration,
    },
    /// Kill by pidfd.
    Kill {
        /// Whom.
        generation: Generation,
        /// Why.
        reason: KillReason,
    },
    /// Write the record that a seat's workers keep dying.
    KeepsDying {
        /// The seat.
        seat: u16,
        /// Young deaths in a row.
        deaths: u32,
        /// Pause before the next start.
        pause: Duration,
    },
    /// All seats have ready workers for the first time, or again after a gap.
    AllReady,
    /// Stopping, and the last worker has gone.
    Finished,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    young_deaths: u32,
    restarts: u64,
    respawn_at: Option<Time>,
}

/// The books.
#[derive(Debug)]
pub struct Supervisor {
    seats: Vec<Seat>,
    workers: Vec<Worker>,
    next_generation: u64,
    drain: Duration,
    stopping: bool,
    all_ready: bool,
    finished: bool,
    last_tick: Time,
}

impl Supervisor {
    /// Books for `seats` workers (1 to 32); stopped workers get `drain` to finish.
    pub fn new(seats: u16, drain: Duration, now: Time) -> Supervisor {
        Supervisor {
            seats: vec![Seat::default(); usize::from(seats.clamp(1, MAX_SLOTS / 2))],
            workers: Vec::new(),
            next_generation: 1,
            drain,
            stopping: false,
            all_ready: false,
            finished: false,
            last_tick: now,
        }
    }

    /// All workers on the books.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// One worker.
    pub fn worker(&self, generation: Generation) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.generation == generation)
    }

    /// Whether the service is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether every seat has a ready worker now.
    pub fn is_complete(&self) -> bool {
        self.free_seat().is_none()
            && self.workers.iter().all(|worker| worker.phase != Phase::Starting)
    }

    /// Whether every worker makes progress, or is being replaced for not doing so: what the watchdog
    /// of systemd may be told. A worker that even SIGKILL doesn't end within 5 s counts against us.
    pub fn makes_progress(&self, now: Time) -> bool {
        self.workers.iter().all(|worker| match worker.phase {
            Phase::Killed => now.since(worker.killed_at) < KILL_AGAIN,
            Phase::Ready => now.since(worker.beat_at) < HUNG_AFTER + KILL_AGAIN,
            Phase::Starting | Phase::Draining { .. } => true,
        })
    }

    /// A worker that outlived an earlier master joins. `None`: no seat or slot is free for it as an
    /// active worker (or `usable` is false: another version), so it must drain; it is on the books
    /// either way, and the slot says where its gauges stand.
    pub fn adopt(
        &mut self,
        generation: Generation,
        slot: u16,
        usable: bool,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        self.next_generation = self.next_generation.max(generation.0 + 1);
        let clash = self.workers.iter().any(|worker| worker.slot == slot);
        let seat = self.free_seat();
        let mut worker = Worker {
            generation,
            slot,
            seat: seat.unwrap_or(0),
            phase: Phase::Ready,
            since: now,
            adopted: true,
            restarts: 0,
            beat: 0,
            beat_at: now,
            killed_at: Time::ZERO,
        };
        let keep = usable && !clash && slot < MAX_SLOTS && seat.is_some() && !self.stopping;
        if !keep {
            worker.phase = Phase::Draining { until: now.after(self.drain) };
            actions.push(Action::Stop { generation, hard: false, patience: self.drain });
        }
        self.workers.push(worker);
        self.settle(actions);
    }

    /// Fills free seats whose time has come. Call it at the start, after adoptions, and by the tick.
    pub fn fill(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.stopping {
            return;
        }
        for index in 0..self.seats.len() {
            let due = match self.seats.get(index) {
                Some(seat) => seat.respawn_at.is_none_or(|at| at <= now),
                None => false,
            };
            if due && self.seat_is_free(index as u16) {
                self.spawn(index as u16, now, actions);
            }
        }
    }

    fn spawn(&mut self, seat: u16, now: Time, actions: &mut Vec<Action>) {
        let Some(slot) = self.free_slot() else { return };
        let generation = Generation(self.next_generation);
        self.next_generation += 1;
        let restarts = match self.seats.get_mut(usize::from(seat)) {
            Some(entry) => {
                entry.respawn_at = None;
                entry.restarts
            }
            None => 0,
        };
        self.workers.push(Worker {
            generation,
            slot,
            seat,
            phase: Phase::Starting,
            since: now,
            adopted: false,
            restarts,
            beat: 0,
            beat_at: now,
            killed_at: Time::ZERO,
        });
        actions.push(Action::Spawn { generation, slot });
    }

    /// The start of a worker failed before there was a process.
    pub fn on_spawn_failed(
        &mut self,
        generation: Generation,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        // As if it had died at once; the pause keeps a full process table from becoming a busy loop.
        if let Some(worker) = self.worker(generation) {
            let index = usize::from(worker.seat);
            if let Some(seat) = self.seats.get_mut(index) {
                seat.young_deaths = seat.young_deaths.max(LUCK);
            }
        }
        self.on_exit(generation, now, actions);
    }

    /// A worker says that it serves.
    pub fn on_ready(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        if let Some(worker) = self.find(generation)
            && worker.phase == Phase::Starting
        {
            worker.phase = Phase::Ready;
            worker.beat_at = now;
        }
        self.settle(actions);
    }

    /// A worker's heartbeat as the board has it.
    pub fn on_beat(&mut self, generation: Generation, beat: u64, now: Time) {
        if let Some(worker) = self.find(generation)
            && worker.beat != beat
        {
            worker.beat = beat;
            worker.beat_at = now;
        }
    }

    /// A worker broke the rules, or its link is gone while it lives: it can't be led any more.
    pub fn on_unruly(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        self.kill(generation, KillReason::Unruly, now, actions);
    }

    /// A worker should go in peace and be replaced at once.
    pub fn retire(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        let patience = self.drain;
        if let Some(worker) = self.find(generation)
            && matches!(worker.phase, Phase::Starting | Phase::Ready)
        {
            worker.phase = Phase::Draining { until: now.after(patience) };
            actions.push(Action::Stop { generation, hard: false, patience });
            self.fill(now, actions);
        }
    }

    /// A process has ended.
    pub fn on_exit(&mut self, generation: Generation, now: Time, actions: &mut Vec<Action>) {
        let Some(at) = self.workers.iter().position(|worker| worker.generation == generation)
        else {
            return;
        };
        let worker = self.workers.swap_remove(at);
        let drained = matches!(worker.phase, Phase::Draining { .. });
        if self.stopping {
            self.settle(actions);
            return;
        }
        // A worker that was told to go has a successor already.
        if !drained && self.seat_is_free(worker.seat) {
            self.book_death(&worker, now, actions);
        }
        self.fill(now, actions);
        self.settle(actions);
    }

    fn book_death(&mut self, worker: &Worker, now: Time, actions: &mut Vec<Action>) {
        let Some(seat) = self.seats.get_mut(usize::from(worker.seat)) else { return };
        seat.restarts += 1;
        let young = now.since(worker.since) < YOUNG;
        seat.young_deaths = if young { seat.young_deaths.saturating_add(1) } else { 0 };
        let pause = match seat.young_deaths {
            0..=LUCK => Duration::ZERO,
            n => PAUSE.saturating_mul(1 << (n - LUCK - 1).min(16)).min(PAUSE_MAX),
        };
        seat.respawn_at = Some(now.after(pause));
        if seat.young_deaths > LUCK {
            let deaths = seat.young_deaths;
            actions.push(Action::KeepsDying { seat: worker.seat, deaths, pause });
        }
    }

    /// Changes the number of seats: surplus workers drain, missing ones are started.
    pub fn resize(&mut self, seats: u16, now: Time, actions: &mut Vec<Action>) {
        let seats = seats.clamp(1, MAX_SLOTS / 2);
        self.seats.resize(usize::from(seats), Seat::default());
        let surplus: Vec<Generation> = self
            .workers
            .iter()
            .filter(|worker| worker.seat >= seats)
            .map(|worker| worker.generation)
            .collect();
        for generation in surplus {
            self.retire(generation, now, actions);
        }
        self.fill(now, actions);
        self.settle(actions);
    }

    /// Changes the patience with draining workers, from the next STOP on.
    pub fn set_drain(&mut self, drain: Duration) {
        self.drain = drain;
    }

    /// The service stops. A second, hard stop may follow a soft one.
    pub fn stop(&mut self, hard: bool, now: Time, actions: &mut Vec<Action>) {
        self.stopping = true;
        let until = now.after(self.drain);
        let names: Vec<Generation> = self.workers.iter().map(|worker| worker.generation).collect();
        for generation in names {
            if hard {
                self.kill(generation, KillReason::HardStop, now, actions);
                continue;
            }
            let patience = self.drain;
            if let Some(worker) = self.find(generation)
                && matches!(worker.phase, Phase::Starting | Phase::Ready)
            {
                worker.phase = Phase::Draining { until };
                actions.push(Action::Stop { generation, hard, patience });
            }
        }
        self.settle(actions);
    }

    /// Time passes: deadlines, hung workers, delayed starts. Call it at least four times a second.
    pub fn tick(&mut self, now: Time, actions: &mut Vec<Action>) {
        if now.since(self.last_tick) > TICK_GAP {
            for worker in &mut self.workers {
                worker.beat_at = now;
            }
        }
        self.last_tick = now;
        let verdicts: Vec<(Generation, KillReason)> = self
            .workers
            .iter()
            .filter_map(|worker| Some((worker.generation, verdict(worker, now)?)))
            .collect();
        for (generation, reason) in verdicts {
            self.kill(generation, reason, now, actions);
        }
        self.fill(now, actions);
    }

    /// When [`Supervisor::tick`] is needed next at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        let respawns = self.seats.iter().filter_map(|seat| seat.respawn_at);
        let drains = self.workers.iter().filter_map(|worker| match worker.phase {
            Phase::Draining { until } => Some(until),
            _ => None,
        });
        respawns.chain(drains).min()
    }

    fn kill(
        &mut self,
        generation: Generation,
        reason: KillReason,
        now: Time,
        actions: &mut Vec<Action>,
    ) {
        if let Some(worker) = self.find(generation) {
            let again = worker.phase == Phase::Killed;
            if again && now.since(worker.killed_at) < KILL_AGAIN {
                return;
            }
            worker.phase = Phase::Killed;
            worker.killed_at = now;
            actions.push(Action::Kill { generation, reason });
        }
    }

    /// Says once what has become true.
    fn settle(&mut self, actions: &mut Vec<Action>) {
        if self.stopping {
            if self.workers.is_empty() && !self.finished {
                self.finished = true;
                actions.push(Action::Finished);
            }
            return;
        }
        let complete = self.is_complete();
        if complete && !self.all_ready {
            actions.push(Action::AllReady);
        }
        self.all_ready = complete;
    }

    fn find(&mut self, generation: Generation) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.generation == generation)
    }

    fn free_seat(&self) -> Option<u16> {
        (0..self.seats.len() as u16).find(|seat| self.seat_is_free(*seat))
    }

    fn seat_is_free(&self, seat: u16) -> bool {
        !self
            .workers
            .iter()
            .any(|worker| worker.seat == seat && !matches!(worker.phase, Phase::Draining { .. }))
    }

    fn free_slot(&self) -> Option<u16> {
        (0..MAX_SLOTS).find(|slot| self.workers.iter().all(|worker| worker.slot != *slot))
    }
}

/// Whether a worker's time is over.
fn verdict(worker: &Worker, now: Time) -> Option<KillReason> {
    match worker.phase {
        Phase::Starting if now.since(worker.since) > START_LIMIT => Some(KillReason::NeverReady),
        Phase::Ready if now.since(worker.beat_at) > HUNG_AFTER => Some(KillReason::Hung),
        Phase::Draining { until } if now >= until => Some(KillReason::DrainDeadline),
        // One that has never beaten on this board may be of another version: it has its deadline only.
        Phase::Draining { .. } if worker.beat != 0 && now.since(worker.beat_at) > HUNG_AFTER => {
            Some(KillReason::Hung)
        }
        Phase::Killed if now.since(worker.killed_at) >= KILL_AGAIN => Some(KillReason::Unruly),
        _ => None,
    }
}

/// Whether an exit was an accident: anything but code 0 on request.
pub fn is_accident(phase: Phase, exit: Exit) -> bool {
    !(matches!(phase, Phase::Draining { .. }) && exit == Exit::Code(0))
}

#[cfg(test)]
mod tests;
