//! The master itself: one thread, one loop over links, pidfds, signals, the door and the clock.
//!
//! What it is: the hands of [`Supervisor`] and [`Apply`](super::apply::Apply). What it is not: a place
//! for decisions; those are in the pure machines. It never blocks but in its poll.
//!
//! Invariants: whatever a child says is checked before it is believed; the loop wakes at least four times
//! a second, so that hung workers are seen in time.

use super::access::AccessSink;
use super::applying::{Applying, Wish};
use super::child::Child;
use super::command::{Command, CommandSender, Request};
use super::errands::Errands;
use super::events::{Event, EventHub};
use super::history::History;
use super::logs::LogHandle;
use super::notify::Notifier;
use super::options::Options;
use super::queries::Queries;
use super::showcase::Showcase;
use super::snapshot::LastApply;
use super::sockets::{Listening, Sockets};
use super::supervisor::{Action, Generation, Supervisor};
use super::watch::{Source, Watch};
use super::workers::UnixWait;
use crate::base::clock::{Clock, Time};
use crate::config::Plan;
use crate::observe::alarm::Alarms;
use crate::observe::{Gauge, ids};
use crate::shared::Board;
use crate::sys::signal::{self, Signal};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// The longest sleep of the loop.
const TICK: Duration = Duration::from_millis(250);
/// The pause between two tries to connect to a busy unix backend.
const UNIX_PAUSE: Duration = Duration::from_millis(20);
/// How often the counters of limits are looked at.
const ALARMS: Duration = Duration::from_secs(5);
/// A worker whose link broke is given this long to end before it is killed.
const LOST_GRACE: Duration = Duration::from_millis(500);

/// The configuration that runs.
#[derive(Debug)]
pub struct Running {
    /// Its serial; 0 when none was ever accepted.
    pub serial: u64,
    /// Its text.
    pub text: String,
    /// Its text as a sealed memory file, for workers.
    pub document: OwnedFd,
    /// What it means.
    pub plan: Arc<Plan>,
    /// Its sockets.
    pub sockets: Vec<Rc<Listening>>,
    /// Its warnings.
    pub warnings: Vec<String>,
}

/// What the master counts itself, over its life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tallies {
    /// Workers started.
    pub worker_starts: u64,
    /// Workers that ended unasked.
    pub worker_deaths: u64,
    /// Configurations accepted.
    pub applies_accepted: u64,
    /// Configurations refused.
    pub applies_refused: u64,
}

/// The control plane.
#[derive(Debug)]
pub struct Master {
    pub(super) options: Options,
    pub(super) program: PathBuf,
    pub(super) log: LogHandle,
    pub(super) watch: Watch,
    pub(super) signals: OwnedFd,
    pub(super) door: CommandSender,
    pub(super) requests: Receiver<Request>,
    pub(super) notifier: Notifier,
    pub(super) hub: EventHub,
    pub(super) supervisor: Supervisor,
    pub(super) children: BTreeMap<Generation, Child>,
    pub(super) sockets: Sockets,
    pub(super) board: Board,
    pub(super) board_fd: OwnedFd,
    pub(super) history: History,
    pub(super) running: Running,
    pub(super) access: AccessSink,
    pub(super) applying: Option<Applying>,
    pub(super) wishes: VecDeque<Wish>,
    pub(super) errands: Errands,
    pub(super) queries: Queries,
    pub(super) showcase: Option<Showcase>,
    pub(super) tallies: Tallies,
    pub(super) alarms: Alarms,
    /// When the counters of limits are looked at next.
    pub(super) alarms_at: Time,
    pub(super) unix_waits: Vec<UnixWait>,
    /// Workers that had more to say than one turn takes.
    pub(super) unheard: BTreeSet<Generation>,
    pub(super) last_apply: LastApply,
    /// Why the service is degraded; empty when it isn't.
    pub(super) reason: String,
    pub(super) started: Time,
    pub(super) was_ready: bool,
    pub(super) finished: bool,
}

impl Master {
    /// Serves until stopped.
    pub fn run(&mut self) -> io::Result<ExitCode> {
        while !self.finished {
            let now = Clock::now();
            let until = match self.unheard.is_empty() {
                true => self.next_deadline(now),
                false => Duration::ZERO,
            };
            for source in self.watch.wait(until)? {
                self.dispatch(source);
            }
            for generation in std::mem::take(&mut self.unheard) {
                self.hear_worker(generation);
            }
            self.tick(Clock::now());
        }
        self.end_clerk();
        self.sockets.remove_files();
        Ok(ExitCode::SUCCESS)
    }

    fn next_deadline(&self, now: Time) -> Duration {
        let machines = [
            self.supervisor.next_deadline(),
            self.applying.as_ref().map(|applying| applying.machine.deadline()),
            self.errands.next_deadline(),
            self.queries.next_deadline(),
            (!self.unix_waits.is_empty()).then(|| now.after(UNIX_PAUSE)),
        ];
        let next = machines.into_iter().flatten().min().unwrap_or(Time::NEVER);
        // One millisecond more than asked: poll counts in milliseconds and must not spin below one.
        next.since(now).saturating_add(Duration::from_millis(1)).min(TICK)
    }

    fn dispatch(&mut self, source: Source) {
        match source {
            Source::Door => self.take_requests(),
            Source::Signals => self.take_signals(),
            Source::Link(generation) => self.hear_worker(generation),
            Source::End(generation) => self.bury_worker(generation),
            Source::ClerkLink => self.hear_clerk(),
            Source::ClerkEnd => self.bury_clerk(),
            Source::DemoLink(index) => self.hear_demo(index),
            Source::DemoEnd(index) => self.bury_demo(index),
        }
    }

    fn take_requests(&mut self) {
        // The waker's event stands for any number of requests.
        while let Ok(request) = self.requests.try_recv() {
            self.command(request);
        }
    }

    fn take_signals(&mut self) {
        loop {
            match signal::next(self.signals.as_fd()) {
                Ok(Some(signal)) => self.on_signal(signal),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot read signals");
                    return;
                }
            }
        }
    }

    fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Term | Signal::Int => {
                // A second Ctrl-C is an impatient person.
                let hard = signal == Signal::Int && self.supervisor.is_stopping();
                self.stop(hard);
            }
            Signal::Quit => self.stop(true),
            Signal::Hup => self.wish(Wish::reload(None)),
            Signal::Usr1 => self.reopen_logs(),
            // Children are seen by their pidfds.
            Signal::Chld => {}
        }
    }

    /// Begins to stop.
    pub(super) fn stop(&mut self, hard: bool) {
        let now = Clock::now();
        tracing::info!(
            MESSAGE_ID = ids::STOPPING,
            "{}",
            if hard { "stopping at once" } else { "stopping: draining connections" }
        );
        self.hub.send(&Event::Stopping { hard });
        self.notifier.stopping("Stopping: draining connections");
        self.abort_apply("the service is stopping");
        let mut actions = Vec::new();
        self.supervisor.stop(hard, now, &mut actions);
        self.carry_out(actions);
    }

    fn tick(&mut self, now: Time) {
        for worker in self.supervisor.workers().to_vec() {
            let Some(child) = self.children.get(&worker.generation) else { continue };
            let reading = self.board.read_worker(worker.slot, now);
            // A page that another worker left behind is nobody's heartbeat.
            if let Some(reading) = reading.filter(|reading| reading.pid == child.pid) {
                let beat = reading.heartbeat.as_nanos();
                self.supervisor.on_beat(worker.generation, beat, now);
            }
        }
        let mut actions = Vec::new();
        self.supervisor.tick(now, &mut actions);
        self.carry_out(actions);
        self.end_the_lost(now);
        self.tick_apply(now);
        self.tick_errands(now);
        self.tick_queries(now);
        self.tick_demo(now);
        self.tick_unix();
        self.tick_alarms(now);
        if !self.supervisor.is_stopping() && self.was_ready {
            let line = self.status_line();
            self.notifier.status(&line, now);
        }
        if self.supervisor.makes_progress(now) {
            self.notifier.feed_watchdog(now);
        }
    }

    /// Tells of limits that were hit.
    fn tick_alarms(&mut self, now: Time) {
        if now < self.alarms_at {
            return;
        }
        self.alarms_at = now.after(ALARMS);
        for alarm in self.alarms.look(&self.board.read(now).counters, now) {
            let limit = alarm.limit();
            tracing::warn!(
                MESSAGE_ID = alarm.message_id(),
                CUP_LIMIT = limit,
                "the limit of {limit} was hit {} times",
                alarm.times
            );
        }
    }

    /// Workers without a link that go on living can't be led: they are killed.
    fn end_the_lost(&mut self, now: Time) {
        let lost: Vec<Generation> = self
            .children
            .iter()
            .filter(|(_, child)| child.lost_at.is_some_and(|at| now.since(at) > LOST_GRACE))
            .map(|(generation, _)| *generation)
            .collect();
        let mut actions = Vec::new();
        for generation in lost {
            self.supervisor.on_unruly(generation, now, &mut actions);
        }
        self.carry_out(actions);
    }

    /// Carries out what the supervisor decided, and what follows from that.
    pub(super) fn carry_out(&mut self, actions: Vec<Action>) {
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            let mut more = Vec::new();
            match action {
                Action::Spawn { generation, slot } => {
                    if let Err(error) = self.spawn_worker(generation, slot) {
                        tracing::error!(%error, slot, "cannot start a worker");
                        self.supervisor.on_spawn_failed(generation, Clock::now(), &mut more);
                    }
                }
                Action::Stop { generation, hard, patience } => {
                    self.stop_worker(generation, hard, patience);
                }
                Action::Kill { generation, reason } => self.kill_worker(generation, reason),
                Action::KeepsDying { seat, deaths, pause } => tracing::error!(
                    MESSAGE_ID = ids::WORKERS_KEEP_DYING,
                    CUP_WORKER = seat,
                    "worker {seat} keeps dying: {deaths} deaths in a row, the next start is in {} ms",
                    pause.as_millis()
                ),
                Action::AllReady => self.on_all_ready(),
                Action::Finished => {
                    tracing::info!("stopped");
                    self.finished = true;
                }
            }
            queue.extend(more);
        }
    }

    fn on_all_ready(&mut self) {
        let line = self.status_line();
        if self.was_ready {
            return;
        }
        self.was_ready = true;
        self.notifier.ready(&line);
        tracing::info!(
            MESSAGE_ID = ids::READY,
            CUP_SERIAL = self.running.serial,
            CUP_WORKERS = self.supervisor.workers().len(),
            "ready: {line}"
        );
        for socket in &self.running.sockets {
            tracing::info!(
                CUP_LISTENER = socket.listener,
                "listening on {} ({})",
                socket.address_text(),
                socket.origin.word()
            );
        }
        tracing::info!(
            "each worker may hold {} client connections",
            self.connections_for(&self.running.plan)
        );
        self.say_demo();
    }

    /// The one line of `STATUS=`.
    pub(super) fn status_line(&self) -> String {
        let now = Clock::now();
        let workers = self.supervisor.workers();
        let pages = workers.iter().filter_map(|worker| self.board.read_worker(worker.slot, now));
        let connections: u64 = pages.map(|page| page.gauge(Gauge::FrontConnections)).sum();
        let workers = workers.len();
        let serial = self.running.serial;
        let mut line = match serial {
            0 => "No configuration; answering 503".to_owned(),
            _ => format!("Serial {serial}"),
        };
        line.push_str(&format!("; {workers} workers; {connections} connections"));
        if !self.reason.is_empty() {
            line.push_str("; ");
            line.push_str(&self.reason);
        } else if !self.last_apply.accepted && !self.last_apply.message.is_empty() {
            line.push_str("; last reload refused: ");
            line.push_str(&self.last_apply.message);
        }
        line
    }

    /// A command through the door.
    pub(super) fn command(&mut self, request: Request) {
        let Request { command, reply } = request;
        if self.supervisor.is_stopping() && !matches!(command, Command::Stop { .. }) {
            let _gone = reply.send(Err(super::commands::stopping()));
            return;
        }
        self.answer(command, reply);
    }
}
