//! Applies in the master: from a text to a running configuration, one at a time.

use super::access::AccessSink;
use super::apply::{Apply, Step};
use super::command::{Answer, ControlError, ErrorKind, Reply};
use super::document::{self, Checked};
use super::events::Event;
use super::history::{self, Entry};
use super::notify::StoredName;
use super::options::LogLevel;
use super::run::{Master, Running};
use super::snapshot::LastApply;
use super::sockets::Listening;
use super::supervisor::{Generation, Phase};
use crate::base::clock::{Clock, Time};
use crate::config::Plan;
use crate::ipc::{FdIndex, Finding, Prepare, Severity, ToWorker};
use crate::observe::ids;
use crate::shared::Tag;
use crate::sys::{fd, memfd};
use futures_channel::oneshot;
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

/// The source of an apply that only brings adopted workers to what runs.
const LEVEL: &str = "adoption";

/// Most applies that wait for the one under way.
const MAX_WISHES: usize = 16;

/// Somebody wants a configuration applied.
#[derive(Debug)]
pub struct Wish {
    /// The document; `None`: the configuration file as it is by then.
    pub text: Option<String>,
    /// Refuse unless this serial runs.
    pub expected_serial: Option<u64>,
    /// `file` or `api:UID`.
    pub source: String,
    /// Who waits for the outcome; a signal doesn't.
    pub reply: Option<oneshot::Sender<Reply>>,
}

impl Wish {
    /// The configuration file again.
    pub fn reload(reply: Option<oneshot::Sender<Reply>>) -> Wish {
        Wish { text: None, expected_serial: None, source: "file".to_owned(), reply }
    }
}

/// The apply under way.
#[derive(Debug)]
pub struct Applying {
    /// Its state.
    pub machine: Apply,
    /// The text as a sealed memory file.
    pub document: OwnedFd,
    /// What it means.
    pub plan: Arc<Plan>,
    /// Its sockets; new ones are bound already.
    pub sockets: Vec<Rc<Listening>>,
    /// Its sink of access records, when it is another one.
    pub access: Option<AccessSink>,
    text: String,
    warnings: Vec<String>,
    source: String,
    reply: Option<oneshot::Sender<Reply>>,
}

impl Master {
    /// Applies now, or after the applies that came before.
    pub(super) fn wish(&mut self, wish: Wish) {
        if self.wishes.len() >= MAX_WISHES {
            let error = ControlError::new(ErrorKind::Busy, "too many applies wait");
            self.reply(wish.reply, Err(error));
            return;
        }
        self.wishes.push_back(wish);
        self.next_wish();
    }

    fn next_wish(&mut self) {
        while self.applying.is_none() && !self.supervisor.is_stopping() {
            let Some(mut wish) = self.wishes.pop_front() else { return };
            let reply = wish.reply.take();
            let source = wish.source.clone();
            match self.begin_apply(wish) {
                Ok(Begun::Nothing) => {
                    self.reply(reply, Ok(Answer::Serial(self.running.serial)));
                }
                Ok(Begun::Steps(steps)) => {
                    if let Some(applying) = &mut self.applying {
                        applying.reply = reply;
                    }
                    self.take_steps(steps);
                }
                Err(error) => {
                    self.refuse(&source, &error);
                    self.reply(reply, Err(error));
                }
            }
        }
    }

    fn begin_apply(&mut self, wish: Wish) -> Result<Begun, ControlError> {
        if wish.expected_serial.is_some_and(|serial| serial != self.running.serial) {
            let text = format!("serial {} runs, not the expected one", self.running.serial);
            return Err(ControlError::new(ErrorKind::Conflict, text));
        }
        let bytes = match wish.text {
            Some(text) => text.into_bytes(),
            None => document::read(self.options.config_path())
                .map_err(|why| ControlError::new(ErrorKind::Refused, why))?,
        };
        let file = (wish.source == "file").then(|| self.options.config_path());
        let checked = document::check(&bytes, file)?;
        if self.reason.is_empty()
            && checked.text == self.running.text
            && self.is_as_meant(&wish.source, &checked.text)
        {
            self.last_apply = self.apply_record(true, &wish.source, "nothing has changed");
            let line = self.status_line();
            self.notifier.status_now(&line);
            return Ok(Begun::Nothing);
        }
        let serial = self.history.next_serial().max(self.running.serial + 1);
        self.prepare_apply(checked, serial, wish.source)
    }

    /// Whether the running document also is what the history holds for this source.
    fn is_as_meant(&self, source: &str, text: &str) -> bool {
        let hash = history::hash_of(text);
        let last = match source {
            "file" => self.history.last_from_file(),
            _ => self.history.last(),
        };
        self.running.serial != 0 && last.is_some_and(|entry| entry.hash == hash)
    }

    fn prepare_apply(
        &mut self,
        checked: Checked,
        serial: u64,
        source: String,
    ) -> Result<Begun, ControlError> {
        let Checked { text, plan, warnings } = checked;
        let failed = |what: &str, error: io::Error| {
            ControlError::new(ErrorKind::Failed, format!("{what}: {error}"))
        };
        let access = if plan.log.access == self.access.log {
            None
        } else {
            let opened = AccessSink::open(&plan.log.access);
            Some(opened.map_err(|error| failed("cannot open the access log", error))?)
        };
        let document = memfd::sealed("configuration", text.as_bytes())
            .map_err(|error| failed("cannot make a memory file", error))?;
        let sockets = self.sockets.for_plan(&plan).map_err(|errors| {
            let findings: Vec<Finding> = errors.iter().map(document::bind_finding).collect();
            let message =
                errors.first().map_or_else(|| "cannot listen".to_owned(), ToString::to_string);
            ControlError { kind: ErrorKind::Refused, message, findings }
        })?;
        self.notifier.reloading();
        self.errands.prepare(&plan);
        let workers: Vec<Generation> = self
            .supervisor
            .workers()
            .iter()
            .filter(|worker| matches!(worker.phase, Phase::Starting | Phase::Ready))
            .map(|worker| worker.generation)
            .collect();
        let mut steps = Vec::new();
        let machine = Apply::begin(serial, &workers, Clock::now(), &mut steps);
        self.applying = Some(Applying {
            machine,
            document,
            plan,
            sockets,
            access,
            text,
            warnings,
            source,
            reply: None,
        });
        Ok(Begun::Steps(steps))
    }

    /// Brings adopted workers that run another serial to the running one.
    pub(super) fn level_workers(&mut self) {
        let behind = self.supervisor.workers().iter().any(|worker| {
            worker.adopted
                && worker.phase == Phase::Ready
                && self
                    .children
                    .get(&worker.generation)
                    .is_some_and(|child| child.serial != self.running.serial)
        });
        if behind {
            let text = self.running.text.clone();
            let warnings = self.running.warnings.clone();
            let checked = Checked { text, plan: self.running.plan.clone(), warnings };
            match self.prepare_apply(checked, self.running.serial, LEVEL.to_owned()) {
                Ok(Begun::Steps(steps)) => self.take_steps(steps),
                Ok(Begun::Nothing) => {}
                Err(error) => tracing::error!(%error, "cannot bring adopted workers up to date"),
            }
        }
    }

    fn take_steps(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Prepare(generation) => self.send_prepare(generation),
                Step::Commit(workers) => self.send_commit(&workers),
                Step::Drop(workers) => {
                    let Some(serial) = self.applying.as_ref().map(|a| a.machine.serial) else {
                        continue;
                    };
                    for generation in workers {
                        self.post(generation, &ToWorker::Drop { serial });
                    }
                }
                Step::Unruly(generation) => {
                    let mut actions = Vec::new();
                    self.supervisor.on_unruly(generation, Clock::now(), &mut actions);
                    self.carry_out(actions);
                }
                Step::Done => self.finish_apply(),
                Step::Failed { message, findings } => self.fail_apply(message, findings),
            }
        }
    }

    fn post(&mut self, generation: Generation, message: &ToWorker) {
        if let Some(child) = self.children.get_mut(&generation) {
            child.post(message, Vec::new());
        }
    }

    fn send_prepare(&mut self, generation: Generation) {
        if let Err(error) = self.try_send_prepare(generation) {
            tracing::error!(%error, "cannot give a worker the new configuration");
        }
    }

    fn try_send_prepare(&mut self, generation: Generation) -> io::Result<()> {
        let Some(applying) = &self.applying else { return Ok(()) };
        let mut fds =
            vec![fd::duplicate(applying.document.as_fd())?, self.errands.resolved_file()?];
        let access = match &applying.access {
            Some(sink) => sink.grant(&mut fds)?,
            None => None,
        };
        let connections = self.connections_for(&applying.plan);
        let Some(child) = self.children.get_mut(&generation) else { return Ok(()) };
        let prepare = Prepare {
            serial: applying.machine.serial,
            document: FdIndex(0),
            resolved: FdIndex(1),
            sockets: child.grant(&applying.sockets, &mut fds)?,
            access,
            keep_access: applying.access.is_none(),
            connections,
        };
        child.post(&ToWorker::Prepare(Box::new(prepare)), fds);
        Ok(())
    }

    /// All are prepared: the serial becomes durable, then everybody swaps.
    fn send_commit(&mut self, workers: &[Generation]) {
        let Some(applying) = &self.applying else { return };
        let serial = applying.machine.serial;
        if applying.source != LEVEL {
            let entry = Entry {
                serial,
                at_unix: Clock::wall().as_secs(),
                source: applying.source.clone(),
                hash: history::hash_of(&applying.text),
            };
            if let Err(error) = self.history.record(entry, &applying.text) {
                tracing::error!(
                    %error,
                    serial,
                    "cannot record the configuration in the state folder: a restart would not find it"
                );
            }
        }
        for generation in workers {
            let Some(child) = self.children.get_mut(generation) else { continue };
            child.set_granted(&applying.sockets);
            child.post(&ToWorker::Commit { serial }, Vec::new());
        }
    }

    fn finish_apply(&mut self) {
        let Some(applying) = self.applying.take() else { return };
        let serial = applying.machine.serial;
        self.commit_sockets(&applying.sockets);
        if let Some(sink) = applying.access {
            self.access = sink;
        }
        self.running = Running {
            serial,
            text: applying.text,
            document: applying.document,
            plan: applying.plan,
            sockets: applying.sockets,
            warnings: applying.warnings,
        };
        self.follow_plan();
        if applying.source == LEVEL {
            tracing::info!(CUP_SERIAL = serial, "adopted workers run serial {serial} now");
        } else {
            self.tell_applied(serial, applying.source);
        }
        let line = self.status_line();
        self.notifier.ready(&line);
        self.reply(applying.reply, Ok(Answer::Serial(serial)));
        self.next_wish();
    }

    /// Keeps the books of an accepted configuration.
    fn tell_applied(&mut self, serial: u64, source: String) {
        self.reason.clear();
        self.last_apply = self.apply_record(true, &source, "applied");
        tracing::info!(
            MESSAGE_ID = ids::CONFIG_APPLIED,
            CUP_SERIAL = serial,
            "serial {serial} runs (from {source})"
        );
        for warning in &self.running.warnings {
            tracing::warn!(MESSAGE_ID = ids::CONFIG_WARNING, CUP_SERIAL = serial, "{warning}");
        }
        self.hub.send(&Event::Applied { serial, source });
    }

    /// What else a new plan changes: number of workers, log level, names to resolve, board lines.
    pub(super) fn follow_plan(&mut self) {
        let plan = self.running.plan.clone();
        if self.options.log_level.is_none()
            && let Some(level) = LogLevel::parse(&plan.log.level)
        {
            self.log.set(level);
        }
        self.errands.follow(&plan);
        self.sweep_board(&plan);
        let count = self.worker_count(&plan);
        let mut actions = Vec::new();
        self.supervisor.resize(count, Clock::now(), &mut actions);
        self.carry_out(actions);
    }

    /// Frees lines of the board that no pool, backend or rule has any more, once it fills up. Not before:
    /// a backend that comes back soon finds its numbers.
    fn sweep_board(&self, plan: &Plan) {
        if self.board.lines_used() <= self.board.shape().lines / 2 {
            return;
        }
        let pools = plan.pools.iter().map(|pool| Tag::pool(&pool.name));
        let members = plan.pools.iter().flat_map(|pool| &pool.members);
        let rules = plan.rules.iter().map(|rule| Tag::route(&rule.name));
        let live: HashSet<Tag> =
            pools.chain(members.map(|member| Tag::member(member.id.0))).chain(rules).collect();
        let swept = self.board.sweep(&live);
        tracing::debug!(swept, "lines of the board are free again");
    }

    fn fail_apply(&mut self, message: String, findings: Vec<Finding>) {
        let Some(applying) = self.applying.take() else { return };
        self.sockets.discard(&applying.sockets);
        let error = ControlError { kind: ErrorKind::Refused, message, findings };
        self.refuse(&applying.source, &error);
        let line = self.status_line();
        self.notifier.ready(&line);
        self.reply(applying.reply, Err(error));
        self.next_wish();
    }

    /// Keeps the books of a refusal; the running configuration stays.
    fn refuse(&mut self, source: &str, error: &ControlError) {
        let serial = self.running.serial;
        self.last_apply = self.apply_record(false, source, &error.message);
        tracing::error!(
            MESSAGE_ID = ids::CONFIG_REFUSED,
            CUP_SERIAL = serial,
            "configuration refused, serial {serial} stays: {}",
            error.message
        );
        for finding in error.findings.iter().filter(|f| f.severity == Severity::Error) {
            tracing::error!("{}", document::line(finding, None));
        }
        let (message, findings) = (error.message.clone(), error.findings.clone());
        let source = source.to_owned();
        self.hub.send(&Event::ApplyFailed { serial, source, message, findings });
        let line = self.status_line();
        self.notifier.status_now(&line);
    }

    fn apply_record(&mut self, accepted: bool, source: &str, message: &str) -> LastApply {
        match accepted {
            true => self.tallies.applies_accepted += 1,
            false => self.tallies.applies_refused += 1,
        }
        LastApply {
            accepted,
            serial: self.running.serial,
            at_unix: Clock::wall().as_secs(),
            source: source.to_owned(),
            message: message.to_owned(),
        }
    }

    fn reply(&self, to: Option<oneshot::Sender<Reply>>, reply: Reply) {
        if let Some(to) = to {
            // Whoever asked may have gone; that's no concern of the apply.
            let _gone = to.send(reply);
        }
    }

    /// Calls the machine of the apply under way and takes the steps that follow.
    fn with_apply(&mut self, call: impl FnOnce(&mut Apply, &mut Vec<Step>)) {
        let Some(applying) = &mut self.applying else { return };
        let mut steps = Vec::new();
        call(&mut applying.machine, &mut steps);
        self.take_steps(steps);
    }

    pub(super) fn tick_apply(&mut self, now: Time) {
        self.with_apply(|apply, steps| apply.tick(now, steps));
    }

    pub(super) fn abort_apply(&mut self, message: &str) {
        self.with_apply(|apply, steps| apply.abort(message, steps));
        for wish in std::mem::take(&mut self.wishes) {
            self.reply(wish.reply, Err(super::commands::stopping()));
        }
    }

    pub(super) fn join_apply(&mut self, generation: Generation) {
        self.with_apply(|apply, steps| apply.join(generation, steps));
    }

    pub(super) fn leave_apply(&mut self, generation: Generation) {
        self.with_apply(|apply, steps| apply.on_gone(generation, Clock::now(), steps));
    }

    pub(super) fn on_prepared(&mut self, generation: Generation, serial: u64) {
        self.with_apply(|apply, steps| {
            apply.on_prepared(generation, serial, Clock::now(), steps);
        });
    }

    pub(super) fn on_refused(
        &mut self,
        generation: Generation,
        serial: u64,
        problems: Vec<Finding>,
    ) {
        for problem in &problems {
            tracing::error!(serial, "a worker refused it: {}", document::line(problem, None));
        }
        self.with_apply(|apply, steps| apply.on_refused(generation, serial, problems, steps));
    }

    pub(super) fn on_committed(&mut self, generation: Generation, serial: u64) {
        if let Some(child) = self.children.get_mut(&generation) {
            child.serial = serial;
        }
        self.with_apply(|apply, steps| {
            apply.on_committed(generation, serial, Clock::now(), steps);
        });
    }

    /// These sockets serve now. Those that we bound outlive us in the store; those that serve no longer
    /// must leave it, or clients would go on connecting to them.
    pub(super) fn commit_sockets(&mut self, sockets: &[Rc<Listening>]) {
        for listener in self.sockets.commit(sockets) {
            let name = StoredName::Bound(listener.clone()).text();
            self.notifier.unstore(&name);
            for socket in self.sockets.bound_for(&listener) {
                self.notifier.store(&name, socket.fd.as_fd());
            }
        }
    }

    /// SIGUSR1: the access log's file is opened anew, and the workers write to that.
    pub(super) fn reopen_logs(&mut self) {
        match AccessSink::open(&self.access.log) {
            Ok(sink) => self.access = sink,
            Err(error) => {
                tracing::error!(%error, "cannot reopen the access log: the old file stays open");
                return;
            }
        }
        for child in self.children.values_mut().filter(|child| child.started) {
            let mut fds = Vec::new();
            match self.access.grant(&mut fds) {
                Ok(access) => child.post(&ToWorker::ReopenLogs { access }, fds),
                Err(error) => tracing::error!(%error, "cannot pass the access log on"),
            }
        }
        tracing::info!("log files reopened");
    }
}

/// How an apply began.
enum Begun {
    /// There is nothing to do.
    Nothing,
    /// These are its first steps.
    Steps(Vec<Step>),
}
