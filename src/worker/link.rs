//! The worker's end of the master's link: orders in, reports out, never blocking.
//!
//! The link outlives masters: whoever holds its other end may greet at any time and is answered with
//! what runs. Its end means that no master will come any more: the worker drains and exits, and an
//! alarm ends it should even that hang. Configurations are read and checked by a helper thread; the
//! loop only swaps what is ready.

use super::accept::Door;
use super::desk;
use super::jobs::Jobs;
use super::live::Live;
use super::pools::{MemberKey, PoolKey};
use super::record::take_sink;
use super::run::{Settings, TOKEN_JOBS, TOKEN_LINK, Worker};
use super::work::XKey;
use crate::base::clock::Clock;
use crate::config::plan::Address;
use crate::config::{self, CheckContext};
use crate::io::listen::Listener;
use crate::io::poll::Poller;
use crate::io::stream::Stream;
use crate::ipc::{
    Fds, Finding, FromWorker, Hello, Link, LinkError, MAX_DOCUMENT, PROTOCOL, Prepare,
    ResolvedName, Role, Severity, SocketGrant, Start, ToWorker,
};
use crate::observe::{Counter, Gauge, Sink};
use crate::shared::{Board, VERSION};
use crate::sys::{memfd, poll, signal};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long a worker whose master is gone for good goes on with what it has.
const ORPHAN_DRAIN: Duration = Duration::from_secs(60);

/// How long a worker waits for its start message.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Problems told in a refusal.
const FINDINGS_MAX: usize = 32;

/// What a helper thread makes of a document.
type Built = Result<Ready, Vec<Finding>>;

/// A configuration that could be put into force.
struct Ready {
    live: Arc<Live>,
    resolved: Vec<ResolvedName>,
}

/// A configuration between `Prepare` and `Commit`.
struct Prepared {
    serial: u64,
    doors: Vec<Grant>,
    connections: u32,
    /// Where access records go from the commit on; `None`: where they go now.
    access: Option<Option<Sink>>,
    built: Option<Ready>,
}

/// A listening socket that came with a message, or one that is here already.
struct Grant {
    id: u64,
    listener: String,
    fd: Option<OwnedFd>,
}

/// The link and what hangs on it.
pub struct MasterLink {
    link: Link,
    jobs: Jobs<Built>,
    prepared: Option<Prepared>,
    slot: u16,
    generation: u64,
    closed: bool,
}

/// The worker's program: waits for its start on `link`, then serves until told to stop.
pub fn main(link: OwnedFd) -> ExitCode {
    match serve(Link::new(link)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloudcup worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut link: Link) -> Result<(), LinkError> {
    let Some((start, fds)) = await_start(&mut link)? else { return Ok(()) };
    let mut worker = match build(link, start, fds)? {
        Some(worker) => worker,
        None => return Ok(()),
    };
    let outcome = worker.run();
    worker.core.records.close();
    outcome?;
    worker.say(&FromWorker::Drained);
    Ok(())
}

/// Greets and waits for the start message; `None` when the master went away before.
fn await_start(link: &mut Link) -> Result<Option<(Start, Fds)>, LinkError> {
    let until = Clock::now().after(START_PATIENCE);
    loop {
        match link.receive::<ToWorker>() {
            Ok(Some(received)) => match received.message {
                ToWorker::Hello(_) => {
                    link.send(&FromWorker::Hello(hello(0, 0, 0)), &[])?;
                }
                ToWorker::Start(start) => return Ok(Some((*start, received.fds))),
                ToWorker::Stop { .. } => return Ok(None),
                ToWorker::Ping { n } => link.send(&FromWorker::Pong { n }, &[])?,
                _ => {}
            },
            Ok(None) => {
                let left = until.since(Clock::now());
                if left.is_zero() {
                    return Err(LinkError::Malformed("no start message".to_owned()));
                }
                poll::wait_ready(link.as_fd(), false, left)?;
            }
            Err(LinkError::Closed) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

fn hello(slot: u16, generation: u64, serial: u64) -> Hello {
    Hello {
        role: Role::Worker,
        protocol: PROTOCOL,
        board_version: VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        slot,
        generation,
        serial,
    }
}

/// Makes the worker that a start message describes; `None` when it was refused.
fn build(mut link: Link, start: Start, mut fds: Fds) -> Result<Option<Worker>, LinkError> {
    let document = fds.take(start.document)?;
    let board = fds.take(start.board)?;
    let resolved = fds.take(start.resolved)?;
    let doors = take_grants(start.sockets, &mut fds)?;
    let access = take_sink(start.access, &mut fds)?;
    let board = Board::open_worker(board.as_fd(), start.slot);
    let (board, page) = match board {
        Ok(found) => found,
        Err(error) => return refuse(&mut link, start.serial, vec![finding(error.to_string())]),
    };
    let built = match read(start.serial, &document, &resolved) {
        Ok(built) => built,
        Err(problems) => return refuse(&mut link, start.serial, problems),
    };
    let now = Clock::now();
    page.start(std::process::id(), start.generation, start.serial, now);
    let poller = Poller::new()?;
    let waker = poller.waker(TOKEN_JOBS)?;
    let wake = Arc::new(move || {
        if let Some(waker) = &waker {
            // Only a full counter can fail, and then the loop is awake.
            let _ = waker.wake();
        }
    });
    let jobs = Jobs::start(usize::from(start.threads), wake)?;
    poller.add_reader(&link, TOKEN_LINK)?;
    let seed = Clock::wall().as_nanos() as u64 ^ (u64::from(std::process::id()) << 32);
    let settings =
        Settings { board, page, live: built.live, connections: start.connections, seed, now };
    let mut worker = Worker::new(poller, settings);
    worker.link = Some(MasterLink {
        link,
        jobs,
        prepared: None,
        slot: start.slot,
        generation: start.generation,
        closed: false,
    });
    worker.core.records.set_sink(access, &worker.core.live);
    worker.resolve(built.resolved);
    worker.open_doors(doors);
    worker.say(&FromWorker::Ready);
    Ok(Some(worker))
}

fn refuse(
    link: &mut Link,
    serial: u64,
    problems: Vec<Finding>,
) -> Result<Option<Worker>, LinkError> {
    link.send(&FromWorker::Refused { serial, problems }, &[])?;
    Ok(None)
}

fn take_grants(grants: Vec<SocketGrant>, fds: &mut Fds) -> Result<Vec<Grant>, LinkError> {
    grants
        .into_iter()
        .map(|grant| {
            let fd = grant.fd.map(|fd| fds.take(fd)).transpose()?;
            Ok(Grant { id: grant.id, listener: grant.listener, fd })
        })
        .collect()
}

/// Reads and checks a document and the names that go with it. Runs on a helper thread.
fn read(serial: u64, document: &OwnedFd, resolved: &OwnedFd) -> Built {
    let memory = |fd: &OwnedFd| {
        memfd::read_sealed(fd.as_fd(), MAX_DOCUMENT)
            .map_err(|error| vec![finding(format!("the master's memory file: {error}"))])
    };
    let text = memory(document)?;
    let names = memory(resolved)?;
    let resolved: Vec<ResolvedName> = serde_json::from_slice(&names)
        .map_err(|error| vec![finding(format!("the list of names: {error}"))])?;
    let checked = config::check(&text, &CheckContext::default());
    match checked.plan {
        Some(plan) => Ok(Ready { live: Arc::new(Live::new(serial, plan)), resolved }),
        None => Err(checked
            .problems
            .into_iter()
            .filter(|problem| problem.severity == config::Severity::Error)
            .take(FINDINGS_MAX)
            .map(|problem| Finding {
                severity: Severity::Error,
                id: problem.id,
                line: problem.line,
                column: problem.column,
                pointer: problem.pointer,
                message: problem.message,
            })
            .collect()),
    }
}

fn finding(message: String) -> Finding {
    Finding {
        severity: Severity::Error,
        id: "worker".to_owned(),
        line: 0,
        column: 0,
        pointer: String::new(),
        message,
    }
}

impl Worker {
    /// Sends a report, or counts it as dropped when the master doesn't read.
    pub(super) fn say(&mut self, message: &FromWorker) {
        self.say_with(message, Vec::new());
    }

    fn say_with(&mut self, message: &FromWorker, fds: Vec<OwnedFd>) {
        let Some(master) = &mut self.link else { return };
        if !master.closed && master.link.post(message, fds).is_err() {
            self.core.count(Counter::LinkLimit);
        }
    }

    /// Deals with the master: its orders when there are some, results of helper threads, reports.
    pub(super) fn control(&mut self, readable: bool) {
        if self.link.is_none() {
            return;
        }
        if readable {
            self.receive();
        }
        while let Some((serial, built)) = self.link.as_ref().and_then(|m| m.jobs.finished()) {
            self.on_built(serial, built);
        }
        for report in std::mem::take(&mut self.core.reports) {
            self.say(&FromWorker::MemberState {
                pool: report.pool.to_string(),
                address: report.address.to_string(),
                up: report.up,
                reason: report.reason.to_owned(),
            });
        }
        let Some(master) = &mut self.link else { return };
        if master.link.wants_write() && master.link.flush().is_err() {
            self.core.count(Counter::LinkLimit);
        }
    }

    fn receive(&mut self) {
        while let Some(master) = self.link.as_mut().filter(|master| !master.closed) {
            match master.link.receive::<ToWorker>() {
                Ok(Some(received)) => self.on_order(received.message, received.fds),
                Ok(None) => return,
                Err(error) => {
                    if !matches!(error, LinkError::Closed) {
                        eprintln!("cloudcup worker: the master's link: {error}");
                    }
                    return self.on_orphaned();
                }
            }
        }
    }

    /// No master will come any more.
    fn on_orphaned(&mut self) {
        if let Some(master) = &mut self.link {
            master.closed = true;
        }
        signal::arm_alarm(ORPHAN_DRAIN.as_secs() as u32 + 5);
        self.stop(false, ORPHAN_DRAIN);
    }

    fn on_order(&mut self, order: ToWorker, mut fds: Fds) {
        match order {
            ToWorker::Hello(_) => {
                // A new master knows nothing of what the last one was asked.
                self.asked.clear();
                let Some(master) = &self.link else { return };
                let (slot, generation) = (master.slot, master.generation);
                let hello = hello(slot, generation, self.core.live.serial);
                self.say(&FromWorker::Hello(hello));
            }
            ToWorker::Prepare(prepare) => self.on_prepare(*prepare, &mut fds),
            ToWorker::Commit { serial } => self.on_commit(serial),
            ToWorker::Drop { serial } => {
                if let Some(master) = &mut self.link {
                    master.prepared.take_if(|prepared| prepared.serial == serial);
                }
            }
            ToWorker::Resolved(names) => self.resolve(names),
            ToWorker::UnixConnected { request, fd, error: _ } => {
                let fd = fd.and_then(|fd| fds.take(fd).ok());
                let stream = fd.and_then(|fd| Stream::from_unix_fd(fd).ok());
                self.on_unix(request, stream);
            }
            ToWorker::Stop { hard, deadline_ms } => {
                let deadline = Duration::from_millis(deadline_ms);
                signal::arm_alarm(deadline.as_secs().min(86_400) as u32 + 5);
                self.stop(hard, deadline);
            }
            ToWorker::Query { id, kind } => self.on_query(id, kind),
            ToWorker::Ping { n } => self.say(&FromWorker::Pong { n }),
            // A second start means nothing to a worker that serves.
            // What a worker has to tell goes to the master or to the access records.
            ToWorker::Start(_) | ToWorker::SetLogLevel { .. } => {}
            ToWorker::ReopenLogs { access } => {
                if let Ok(sink) = take_sink(access, &mut fds) {
                    self.core.records.set_sink(sink, &self.core.live);
                }
            }
        }
    }

    fn on_query(&mut self, id: u64, kind: crate::ipc::QueryKind) {
        let text = desk::answer(self, kind);
        if let Ok(body) = memfd::sealed("answer", text.as_bytes()) {
            self.say_with(&FromWorker::Answer { id, body: crate::ipc::FdIndex(0) }, vec![body]);
        }
    }

    fn on_prepare(&mut self, prepare: Prepare, fds: &mut Fds) {
        let serial = prepare.serial;
        let taken = (|| {
            let document = fds.take(prepare.document)?;
            let resolved = fds.take(prepare.resolved)?;
            let access = take_sink(prepare.access, fds)?;
            let access = (!prepare.keep_access).then_some(access);
            Ok::<_, LinkError>((document, resolved, access, take_grants(prepare.sockets, fds)?))
        })();
        let Some(master) = &mut self.link else { return };
        let problem = match taken {
            Err(error) => error.to_string(),
            Ok((document, resolved, access, doors)) => {
                let connections = prepare.connections;
                master.prepared =
                    Some(Prepared { serial, doors, connections, access, built: None });
                if master.jobs.submit(serial, move || read(serial, &document, &resolved)) {
                    return;
                }
                master.prepared = None;
                self.core.count(Counter::JobsLimit);
                "the helper threads are busy".to_owned()
            }
        };
        self.say(&FromWorker::Refused { serial, problems: vec![finding(problem)] });
    }

    /// A helper thread has read a document.
    fn on_built(&mut self, serial: u64, built: Built) {
        let Some(master) = &mut self.link else { return };
        let Some(prepared) = master.prepared.as_mut().filter(|p| p.serial == serial) else {
            return;
        };
        match built {
            Ok(built) => {
                prepared.built = Some(built);
                self.say(&FromWorker::Prepared { serial });
            }
            Err(problems) => {
                master.prepared = None;
                self.say(&FromWorker::Refused { serial, problems });
            }
        }
    }

    fn on_commit(&mut self, serial: u64) {
        let Some(master) = &mut self.link else { return };
        let ready = |prepared: &mut Prepared| prepared.serial == serial && prepared.built.is_some();
        let Some(prepared) = master.prepared.take_if(ready) else {
            let problems = vec![finding("nothing is prepared under this serial".to_owned())];
            return self.say(&FromWorker::Refused { serial, problems });
        };
        let Some(built) = prepared.built else { return };
        self.fronts_max = prepared.connections as usize;
        self.core.page.set(Gauge::ConnectionsMax, u64::from(prepared.connections));
        self.resolve(built.resolved);
        self.apply(built.live);
        if let Some(sink) = prepared.access {
            self.core.records.set_sink(sink, &self.core.live);
        }
        self.open_doors(prepared.doors);
        self.say(&FromWorker::Committed { serial });
    }

    /// Names have these addresses now; who waited for them goes on.
    fn resolve(&mut self, names: Vec<ResolvedName>) {
        for name in names {
            let waiting = self.core.pools.resolve(&name.host, name.addresses);
            waiting.into_iter().for_each(|pool: PoolKey| self.wake_waiting(pool));
        }
    }

    /// Listens on exactly these sockets.
    fn open_doors(&mut self, grants: Vec<Grant>) {
        let mut old = std::mem::take(&mut self.doors);
        let was = std::mem::replace(&mut self.accepting, super::accept::Accepting::Never);
        old.iter().for_each(|door| self.poller.remove_listener(&door.listener));
        let mut doors = Vec::new();
        for grant in grants {
            let kept = old.iter().position(|door| door.id == grant.id);
            let listener = match (kept, grant.fd) {
                (Some(at), _) => old.swap_remove(at).listener,
                (None, Some(fd)) => match Listener::from_fd(fd) {
                    Ok(listener) => listener,
                    Err(_) => {
                        self.core.count(Counter::AcceptErrors);
                        continue;
                    }
                },
                (None, None) => continue,
            };
            let name = self.core.name_index(&mut self.names, &grant.listener);
            doors.push(Door { id: grant.id, listener, name });
        }
        self.doors = doors;
        self.map_doors();
        self.accepting = was;
        if matches!(was, super::accept::Accepting::In { .. }) {
            self.step_in(false);
        }
    }

    /// Asks the master for a connection to a member's unix socket. `false` when it can't be asked.
    pub(super) fn request_unix(&mut self, request: u64, x: XKey, member: MemberKey) -> bool {
        let Some(Address::Unix(path)) = self.core.pools.member(member).map(|m| &m.address) else {
            return false;
        };
        let message = FromWorker::WantUnix { request, path: path.clone() };
        let Some(master) = self.link.as_mut().filter(|master| !master.closed) else { return false };
        if master.link.post(&message, Vec::new()).is_err() {
            self.core.count(Counter::LinkLimit);
            return false;
        }
        self.asked.insert(request, (x, member));
        true
    }

    /// Listens on `listener` under a listener's name of the plan; for workers without a master.
    pub fn listen(&mut self, name: &str, listener: Listener) {
        let index = self.core.name_index(&mut self.names, name);
        let id = self.doors.len() as u64;
        self.doors.push(Door { id, listener, name: index });
        self.map_doors();
        let last = self.doors.len() - 1;
        if let Some(door) = self.doors.last()
            && self.poller.add_listener(&door.listener, super::run::token_of_door(last)).is_err()
        {
            self.core.count(Counter::AcceptErrors);
        }
    }
}

impl From<LinkError> for io::Error {
    fn from(error: LinkError) -> io::Error {
        io::Error::other(error.to_string())
    }
}
