//! The clerk: a helper process for outbound errands (name resolution, probes) that neither master nor
//! workers may run.
//!
//! One loop owns the books and speaks with the master; the errands themselves block, so each runs in a
//! thread of a bounded set. The end of the link is the end of the clerk, at once: nothing it does needs
//! to be finished.

mod names;
mod probe;

use crate::base::clock::{Clock, Time};
use crate::ipc::{
    FdIndex, Fds, FromClerk, Hello, Link, LinkError, MAX_DOCUMENT, PROTOCOL, ProbeResult,
    ProbeTarget, ResolvedName, Role, ToClerk,
};
use crate::sys::memfd;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use names::Schedule;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// Most look-ups at one time.
const MAX_LOOKUPS: usize = 8;
/// Most probes at one time.
const MAX_PROBES: usize = 32;
/// Most names that are kept resolved.
const MAX_NAMES: usize = 4096;
/// Most probes that wait for their turn.
const MAX_WAITING: usize = 4096;
/// Names in one message to the master.
const NAMES_PER_MESSAGE: usize = 64;

const LINK: Token = Token(0);
const DONE: Token = Token(1);

/// What a thread brings back.
enum Done {
    Looked { host: String, found: Result<Vec<IpAddr>, String> },
    Probed { id: u64, result: ProbeResult },
}

/// Runs the clerk over its link until the master has gone.
pub fn main(link: OwnedFd) -> ExitCode {
    match Clerk::new(link).and_then(|mut clerk| clerk.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the clerk ends: {error}");
            ExitCode::from(1)
        }
    }
}

struct Clerk {
    link: Link,
    poll: Poll,
    schedule: Schedule,
    lookups: usize,
    probes: usize,
    waiting: VecDeque<(u64, ProbeTarget)>,
    done: Receiver<Done>,
    report: Sender<Done>,
    waker: Arc<mio::Waker>,
    /// What didn't go out, because the master doesn't read: the newest word about a name counts.
    unsent: Vec<ResolvedName>,
}

impl Clerk {
    fn new(link: OwnedFd) -> io::Result<Clerk> {
        let poll = Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), DONE)?);
        let raw = link.as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut SourceFd(&raw), LINK, interest)?;
        let (report, done) = mpsc::channel();
        Ok(Clerk {
            link: Link::new(link),
            poll,
            schedule: Schedule::new(u64::from(std::process::id())),
            lookups: 0,
            probes: 0,
            waiting: VecDeque::new(),
            done,
            report,
            waker,
            unsent: Vec::new(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(8);
        loop {
            let now = Clock::now();
            let next = self.schedule.next_due().unwrap_or(Time::NEVER);
            let sleep = next.since(now).saturating_add(Duration::from_millis(1));
            match self.poll.poll(&mut events, Some(sleep.min(Duration::from_secs(60)))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            match self.hear() {
                Ok(()) => {}
                Err(LinkError::Closed) => return Ok(()),
                Err(error) => return Err(io::Error::other(error)),
            }
            self.collect();
            self.start_lookups();
            self.start_probes();
            self.tell_names();
        }
    }

    fn hear(&mut self) -> Result<(), LinkError> {
        self.link.flush()?;
        while let Some(received) = self.link.receive::<ToClerk>()? {
            match received.message {
                ToClerk::Hello(_) => self.link.post(&FromClerk::Hello(hello()), Vec::new())?,
                ToClerk::Names(file) => self.take_names(file, received.fds)?,
                ToClerk::Probe { id, target } => {
                    if self.waiting.len() < MAX_WAITING {
                        self.waiting.push_back((id, target));
                    } else {
                        self.tell_probe(id, probe::failed("too many probes wait"));
                    }
                }
            }
        }
        Ok(())
    }

    fn take_names(&mut self, file: FdIndex, mut fds: Fds) -> Result<(), LinkError> {
        let bytes = memfd::read_sealed(fds.take(file)?.as_fd(), MAX_DOCUMENT)?;
        let mut list: Vec<String> = serde_json::from_slice(&bytes)
            .map_err(|error| LinkError::Malformed(error.to_string()))?;
        if list.len() > MAX_NAMES {
            tracing::warn!(count = list.len(), "too many names: only {MAX_NAMES} are resolved");
            list.truncate(MAX_NAMES);
        }
        self.schedule.set_names(list, Clock::now());
        Ok(())
    }

    /// Takes what the threads have brought back.
    fn collect(&mut self) {
        while let Ok(done) = self.done.try_recv() {
            match done {
                Done::Looked { host, found } => {
                    self.lookups -= 1;
                    if let Err(error) = &found {
                        tracing::debug!(host, "cannot resolve {host}: {error}");
                    }
                    let news = self.schedule.on_result(&host, found.ok(), Clock::now());
                    self.unsent.extend(news);
                }
                Done::Probed { id, result } => {
                    self.probes -= 1;
                    self.tell_probe(id, result);
                }
            }
        }
    }

    fn start_lookups(&mut self) {
        while self.lookups < MAX_LOOKUPS {
            let Some(host) = self.schedule.take_due(Clock::now()) else { return };
            let name = host.clone();
            let started = self.spawn("lookup", move || {
                let found = names::look_up(&name);
                Done::Looked { host: name, found }
            });
            match started {
                Ok(()) => self.lookups += 1,
                Err(error) => {
                    tracing::error!(%error, "cannot start a thread");
                    let _unchanged = self.schedule.on_result(&host, None, Clock::now());
                }
            }
        }
    }

    fn start_probes(&mut self) {
        while self.probes < MAX_PROBES {
            let Some((id, target)) = self.waiting.pop_front() else { return };
            let started = self.spawn("probe", move || {
                let result = probe::run(&target);
                Done::Probed { id, result }
            });
            match started {
                Ok(()) => self.probes += 1,
                Err(error) => self.tell_probe(id, probe::failed(&error)),
            }
        }
    }

    fn spawn(&self, name: &str, errand: impl FnOnce() -> Done + Send + 'static) -> io::Result<()> {
        let report = self.report.clone();
        let waker = Arc::clone(&self.waker);
        std::thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024).spawn(
            move || {
                // The loop lives as long as the process: it always takes the result.
                if report.send(errand()).is_ok()
                    && let Err(error) = waker.wake()
                {
                    tracing::error!(%error, "cannot wake the clerk's loop");
                }
            },
        )?;
        Ok(())
    }

    fn tell_probe(&mut self, id: u64, result: ProbeResult) {
        if let Err(error) = self.link.post(&FromClerk::Probed { id, result }, Vec::new()) {
            tracing::warn!(%error, "a probe's result is lost");
        }
    }

    fn tell_names(&mut self) {
        while !self.unsent.is_empty() {
            let count = self.unsent.len().min(NAMES_PER_MESSAGE);
            let part: Vec<ResolvedName> = self.unsent.iter().take(count).cloned().collect();
            // A full link: the rest goes out with the next turn.
            match self.link.post(&FromClerk::Resolved(part), Vec::new()) {
                Ok(()) => drop(self.unsent.drain(..count)),
                Err(_) => return,
            }
        }
    }
}

fn hello() -> Hello {
    Hello {
        role: Role::Clerk,
        protocol: PROTOCOL,
        board_version: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        slot: 0,
        generation: 0,
        serial: 0,
    }
}

impl fmt::Debug for Clerk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clerk").field("lookups", &self.lookups).finish_non_exhaustive()
    }
}
