//! From the command line to a running master: what is checked, received, chosen and started, in order.

use super::access::AccessSink;
use super::child::{self, Child};
use super::choose::{Chosen, choose};
use super::command;
use super::document::{self, Checked};
use super::errands::Errands;
use super::events::{Event, EventHub};
use super::history::{Entry, History, hash_of};
use super::inherit::Inherited;
use super::logs::{self, LogHandle};
use super::notify::{Notifier, StoredName};
use super::options::{LogLevel, Options};
use super::queries::Queries;
use super::run::{Master, Running, Tallies};
use super::showcase::Showcase;
use super::snapshot::LastApply;
use super::sockets::{self, BindError, Listening, Sockets};
use super::supervisor::{Action, Generation, Supervisor};
use super::surfaces::{Surfaces, control_path};
use super::watch::{Source, Watch};
use crate::base::clock::{Clock, Time};
use crate::ipc::Severity;
use crate::observe::alarm::Alarms;
use crate::observe::ids;
use crate::shared::{Board, Shape, WorkerState};
use crate::sys::{memfd, process, signal};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// Time that draining workers get. systemd's TimeoutStopSec is longer.
const DRAIN: Duration = Duration::from_secs(30);
/// How long stored workers may take to answer a new master.
const GREETING: Duration = Duration::from_millis(500);

/// Why the service can't start.
#[derive(Debug)]
pub struct Fatal(pub(super) String);

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts words before an error.
pub(super) fn fatal<E: fmt::Display>(what: &str) -> impl Fn(E) -> Fatal + '_ {
    move |error| Fatal(format!("{what}: {error}"))
}

/// Runs the program that the command line asks for. Call it from `main`, before any thread exists.
pub fn main(options: Options) -> ExitCode {
    if options.schema {
        return print(&crate::config::schema());
    }
    if options.check {
        return check(options.config_path());
    }
    match serve(options) {
        Ok(code) => code,
        Err(error) => {
            if tracing::enabled!(tracing::Level::ERROR) {
                tracing::error!("{error}");
            } else {
                eprintln!("cloudcup: {error}");
            }
            ExitCode::from(1)
        }
    }
}

fn print(text: &str) -> ExitCode {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

/// `--check`: every problem, one line each, on standard output.
fn check(path: &Path) -> ExitCode {
    let bytes = match document::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(1);
        }
    };
    let (plan, findings) = document::findings(&bytes);
    let mut text = String::new();
    for finding in &findings {
        text.push_str(&document::line(finding, Some(path)));
        text.push('\n');
    }
    let count = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    match plan {
        Some(_) => text.push_str(&format!("{}: valid\n", path.display())),
        None => {
            let s = if count == 1 { "" } else { "s" };
            text.push_str(&format!("{}: {count} error{s}\n", path.display()));
        }
    }
    let printed = print(&text);
    if plan.is_some() { printed } else { ExitCode::from(1) }
}

fn serve(mut options: Options) -> Result<ExitCode, Fatal> {
    let level = options.log_level.unwrap_or(LogLevel::Info);
    let log = logs::begin(options.log_target, level).map_err(fatal("cannot log"))?;
    let signals = signal::open().map_err(fatal("cannot receive signals"))?;
    if let Err(error) = process::raise_descriptor_limit() {
        tracing::warn!(%error, "cannot raise the limit of open descriptors");
    }
    let mut inherited = Inherited::take(sockets::receive());
    let notifier = Notifier::from_environment();
    let managed = notifier.has_store() || inherited.has_listeners();
    let history = if options.demo { History::in_memory() } else { open_history(&options) };
    let control = control_path(&options, managed);
    let (showcase, demo_text) = match options.demo {
        true => {
            options.workers.get_or_insert(2);
            let (showcase, text) =
                Showcase::new(control.clone()).map_err(fatal("cannot set up the demo"))?;
            (Some(showcase), Some(text))
        }
        false => (None, None),
    };
    let mut sockets = Sockets::default();
    let chosen = match demo_text {
        Some(text) => Chosen::demo(&text)?,
        None => choose(&options, &history, &inherited.names(), managed)?,
    };
    inherited.give_sockets(&mut sockets, &chosen.checked.plan);
    let mut master =
        build(options, log, signals, notifier, history, sockets, chosen, inherited.board.take())?;
    master.showcase = showcase;
    master.begin(inherited.workers, control, managed)
}

/// The history in the service's state folder; from a shell in the user's, apart for each file. One that
/// can't be used doesn't stop the start.
fn open_history(options: &Options) -> History {
    let service = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let folder = service.or_else(|| {
        let state = PathBuf::from(std::env::var_os("XDG_STATE_HOME")?);
        let file = std::path::absolute(options.config_path()).ok()?;
        let name: String = hash_of(&file.to_string_lossy()).chars().take(16).collect();
        Some(state.join("cloudcup").join(name))
    });
    let Some(folder) = folder else { return History::in_memory() };
    History::open(&folder).unwrap_or_else(|error| {
        let folder = folder.display();
        tracing::error!(%error, "cannot use the state folder {folder}: nothing is remembered");
        History::in_memory()
    })
}

// Length: one value with all the parts of the master, which is best read in one list.
#[allow(clippy::too_many_arguments)] // The parts of the master, each made by another step.
fn build(
    options: Options,
    log: LogHandle,
    signals: OwnedFd,
    notifier: Notifier,
    mut history: History,
    sockets: Sockets,
    chosen: Chosen,
    board: Option<OwnedFd>,
) -> Result<Master, Fatal> {
    let Chosen { checked, serial, source, fresh, reason } = chosen;
    let Checked { text, plan, warnings } = checked;
    let (listening, unbound) = sockets.for_start(&plan);
    let reason = judge_sockets(&listening, &unbound, notifier.has_store(), reason)?;
    let at_unix = Clock::wall().as_secs();
    if fresh {
        record(&mut history, serial, &source, &text);
    }
    let (board, board_fd) = open_board(board).map_err(fatal("cannot make the board"))?;
    let access = AccessSink::open(&plan.log.access).unwrap_or_else(|error| {
        tracing::error!("cannot open the access log, access records are off: {error}");
        AccessSink::off()
    });
    let document = memfd::sealed("configuration", text.as_bytes())
        .map_err(fatal("cannot make a memory file"))?;
    let (watch, waker) = Watch::new().map_err(fatal("cannot wait for events"))?;
    let (door, requests) = command::channel(waker);
    let message = if reason.is_empty() { "started" } else { reason.as_str() }.to_owned();
    let accepted = reason.is_empty();
    let now = Clock::now();
    let mut master = Master {
        program: program().map_err(fatal("cannot find the program's own file"))?,
        options,
        log,
        watch,
        signals,
        door,
        requests,
        notifier,
        hub: EventHub::default(),
        supervisor: Supervisor::new(1, DRAIN, now),
        children: BTreeMap::new(),
        sockets,
        board,
        board_fd,
        history,
        running: Running { serial, text, document, plan, sockets: listening, warnings },
        access,
        applying: None,
        wishes: VecDeque::new(),
        errands: Errands::default(),
        queries: Queries::default(),
        showcase: None,
        tallies: Tallies::default(),
        alarms: Alarms::default(),
        alarms_at: Time::ZERO,
        unix_waits: Vec::new(),
        unheard: BTreeSet::new(),
        last_apply: LastApply { accepted, serial, at_unix, source, message },
        reason,
        started: now,
        was_ready: false,
        finished: false,
    };
    let count = master.worker_count(&master.running.plan);
    master.supervisor = Supervisor::new(count, DRAIN, now);
    Ok(master)
}

/// Puts a configuration that is about to run into the history.
fn record(history: &mut History, serial: u64, source: &str, text: &str) {
    let (at_unix, hash) = (Clock::wall().as_secs(), hash_of(text));
    let entry = Entry { serial, at_unix, source: source.to_owned(), hash };
    if let Err(error) = history.record(entry, text) {
        tracing::error!("cannot record the configuration in the state folder: {error}");
    }
}

/// Whether the sockets are enough to start with. A service that can serve some of its addresses does so,
/// degraded: it would only be started again and again otherwise.
fn judge_sockets(
    listening: &[Rc<Listening>],
    unbound: &[BindError],
    managed: bool,
    reason: String,
) -> Result<String, Fatal> {
    let Some(first) = unbound.first() else { return Ok(reason) };
    if listening.is_empty() || !managed {
        let lines: Vec<String> = unbound.iter().map(ToString::to_string).collect();
        return Err(Fatal(lines.join("; ")));
    }
    for error in unbound {
        tracing::error!(MESSAGE_ID = ids::SOCKET_FAILED, CUP_LISTENER = error.listener, "{error}");
    }
    Ok(if reason.is_empty() { first.to_string() } else { reason })
}

/// The program's own file, also when it was replaced since.
fn program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let text = path.to_string_lossy();
    Ok(match text.strip_suffix(" (deleted)") {
        Some(plain) => PathBuf::from(plain),
        None => path,
    })
}

/// The stored board when it is one of ours, else a new one.
fn open_board(stored: Option<OwnedFd>) -> io::Result<(Board, OwnedFd)> {
    if let Some(fd) = stored {
        match Board::open(fd.as_fd()) {
            Ok(board) => return Ok((board, fd)),
            Err(error) => {
                tracing::warn!(%error, "the stored board is of no use: a new one is made")
            }
        }
    }
    let shape = Shape::STANDARD;
    let fd = memfd::shared("board", Board::bytes(shape))?;
    let board = Board::create(fd.as_fd(), shape).map_err(io::Error::other)?;
    Ok((board, fd))
}

impl Master {
    fn begin(
        mut self,
        stored: Vec<(u32, OwnedFd, OwnedFd)>,
        control: PathBuf,
        managed: bool,
    ) -> Result<ExitCode, Fatal> {
        self.watch
            .add(self.signals.as_fd(), Source::Signals)
            .map_err(fatal("cannot wait for signals"))?;
        // Stored under its name once: an earlier one is replaced.
        self.notifier.unstore(&StoredName::Board.text());
        self.notifier.store(&StoredName::Board.text(), self.board_fd.as_fd());
        // Not kept beyond this call: a socket must close when a later configuration drops it.
        self.commit_sockets(&self.running.sockets.clone());
        if let Some(showcase) = &mut self.showcase {
            showcase
                .start(&self.program, &mut self.watch)
                .map_err(fatal("cannot start the demo's backends"))?;
        }
        // Before READY=1: whoever waits for that may ask at once.
        let _surfaces = Surfaces::open(&mut self, control, managed);
        let mut actions = Vec::new();
        self.adopt(stored, &mut actions);
        self.supervisor.fill(Clock::now(), &mut actions);
        self.carry_out(actions);
        self.errands.prepare(&self.running.plan);
        self.start_clerk();
        self.follow_plan();
        self.level_workers();
        self.run().map_err(fatal("the loop ended"))
    }

    /// Greets stored workers and takes those that answer sensibly.
    fn adopt(&mut self, stored: Vec<(u32, OwnedFd, OwnedFd)>, actions: &mut Vec<Action>) {
        if stored.is_empty() {
            return;
        }
        let hello = child::hello(self.running.serial);
        for found in child::greet(stored, &hello, GREETING, &self.notifier) {
            let usable = found.is_usable() && self.board_is_theirs(&found);
            let fallback = self.children.keys().last().map_or(1 << 32, |last| last.0 + 1);
            let told = found.hello.as_ref().map(|hello| hello.generation);
            let fresh = told.filter(|told| !self.children.contains_key(&Generation(*told)));
            let generation = Generation(fresh.unwrap_or(fallback));
            let slot = found.hello.as_ref().map_or(u16::MAX, |hello| hello.slot);
            let child::Found { pid, pidfd, link, hello, backlog, .. } = found;
            let mut child = match Child::watch(pid, pidfd, link, generation, &mut self.watch) {
                Ok(child) => child,
                Err(error) => {
                    tracing::error!(%error, pid, "cannot watch a stored worker");
                    continue;
                }
            };
            child.started = true;
            child.serial = hello.as_ref().map_or(0, |hello| hello.serial);
            child.version = hello.map(|hello| hello.version).unwrap_or_default();
            self.children.insert(generation, child);
            tracing::info!(
                MESSAGE_ID = ids::WORKER_ADOPTED,
                CUP_WORKER = slot,
                CUP_PID = pid,
                "worker process {pid} outlived its master: {}",
                if usable { "adopted" } else { "not of this version or this board, it drains" }
            );
            let now = Clock::now();
            self.supervisor.adopt(generation, slot, usable, now, actions);
            self.hub.send(&Event::WorkerStarted { worker: slot, pid, adopted: true });
            for message in backlog {
                self.on_message(generation, message);
            }
        }
    }

    /// Whether a worker's page is on our board (with a new board, old workers write elsewhere), and says
    /// that it serves.
    fn board_is_theirs(&self, found: &child::Found) -> bool {
        let Some(hello) = &found.hello else { return false };
        let page = self.board.read_worker(hello.slot, Clock::now());
        // One that its last master told to go will go, and is nobody to count on.
        page.is_some_and(|page| {
            page.pid == found.pid
                && page.generation == hello.generation
                && page.state != WorkerState::Draining.name()
        })
    }
}
