//! The master's dealings with its workers: start, messages, end.

use super::child::{self, Child};
use super::events::Event;
use super::run::Master;
use super::supervisor::{Generation, KillReason, is_accident};
use crate::base::clock::{Clock, Time};
use crate::config::plan::Address;
use crate::ipc::{FdIndex, FromWorker, Hello, LinkError, PROTOCOL, Received, Start, ToWorker};
use crate::observe::ids;
use crate::sys::{fd, process, socket};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// Descriptors kept free in a worker beside its connections.
const RESERVED_FDS: u64 = 512;
/// Messages taken from one worker in one turn, so that a babbling one can't hold the loop.
const MESSAGES_PER_TURN: usize = 256;

/// How long a unix backend whose queue is full is asked again, and how many requests may wait so.
const UNIX_PATIENCE: Duration = Duration::from_secs(1);
const MAX_UNIX_WAITS: usize = 1024;

/// A connection to a unix backend that couldn't be opened yet.
#[derive(Debug)]
pub struct UnixWait {
    generation: Generation,
    request: u64,
    path: String,
    until: Time,
}

impl Master {
    /// Starts a worker and gives it all that it needs.
    pub(super) fn spawn_worker(&mut self, generation: Generation, slot: u16) -> io::Result<()> {
        self.board.clear_worker(slot);
        let hello = child::hello(self.running.serial);
        let mut child =
            Child::spawn(&self.program, generation, hello, &self.notifier, &mut self.watch)?;
        tracing::info!(
            MESSAGE_ID = ids::WORKER_STARTED,
            CUP_WORKER = slot,
            CUP_PID = child.pid,
            "worker {slot} started as process {}",
            child.pid
        );
        let sent = self.send_start(&mut child, generation, slot);
        self.children.insert(generation, child);
        sent?;
        self.join_apply(generation);
        Ok(())
    }

    fn send_start(
        &mut self,
        child: &mut Child,
        generation: Generation,
        slot: u16,
    ) -> io::Result<()> {
        // While an apply commits, its configuration is the one to start with.
        let next = self.applying.as_ref().filter(|applying| applying.machine.is_committing());
        let (serial, document, sockets, plan, access) = match next {
            Some(applying) => (
                applying.machine.serial,
                applying.document.as_fd(),
                applying.sockets.clone(),
                applying.plan.clone(),
                applying.access.as_ref().unwrap_or(&self.access),
            ),
            None => (
                self.running.serial,
                self.running.document.as_fd(),
                self.running.sockets.clone(),
                self.running.plan.clone(),
                &self.access,
            ),
        };
        let mut fds: Vec<OwnedFd> =
            vec![fd::duplicate(document)?, fd::duplicate(self.board_fd.as_fd())?];
        fds.push(self.errands.resolved_file()?);
        let access = access.grant(&mut fds)?;
        let start = Start {
            slot,
            generation: generation.0,
            serial,
            document: FdIndex(0),
            board: FdIndex(1),
            resolved: FdIndex(2),
            sockets: child.grant(&sockets, &mut fds)?,
            access,
            connections: self.connections_for(&plan),
            threads: plan.workers.threads.unwrap_or(1),
            log_level: self.log_level_word(&plan),
        };
        self.tallies.worker_starts += 1;
        child.set_granted(&sockets);
        child.started = true;
        child.serial = serial;
        child.post(&ToWorker::Start(Box::new(start)), fds);
        Ok(())
    }

    /// The level of the workers' own lines.
    pub(super) fn log_level_word(&self, plan: &crate::config::Plan) -> String {
        match self.options.log_level {
            Some(level) => level.word().to_owned(),
            None => plan.log.level.clone(),
        }
    }

    /// Most front connections of each worker: its share of the configured number, else what its
    /// descriptors allow with splice pipes in use (a quarter: two sockets and two pipe ends).
    pub(super) fn connections_for(&self, plan: &crate::config::Plan) -> u32 {
        let hard = process::descriptor_limits().map_or(1024, |(_, hard)| hard);
        let fits = u32::try_from(hard.saturating_sub(RESERVED_FDS) / 4).unwrap_or(u32::MAX).max(16);
        match plan.limits.connections {
            Some(all) => (all / u32::from(self.worker_count(plan)).max(1)).clamp(1, fits),
            None => fits,
        }
    }

    /// How many workers a plan asks for.
    pub(super) fn worker_count(&self, plan: &crate::config::Plan) -> u16 {
        let cpus = u16::try_from(process::allowed_cpus()).unwrap_or(32);
        self.options.workers.or(plan.workers.count).unwrap_or(cpus).clamp(1, 32)
    }

    /// Takes what a worker has sent.
    pub(super) fn hear_worker(&mut self, generation: Generation) {
        for _ in 0..MESSAGES_PER_TURN {
            let Some(child) = self.children.get_mut(&generation) else { return };
            let Some(link) = &mut child.link else { return };
            if let Err(error) = link.flush() {
                tracing::debug!(%error, pid = child.pid, "a worker's link is broken");
                child.lose_link(&mut self.watch);
                return;
            }
            match link.receive::<FromWorker>() {
                Ok(Some(received)) => self.on_message(generation, received),
                Ok(None) => return,
                Err(LinkError::Closed) => {
                    child.lose_link(&mut self.watch);
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, pid = child.pid, "a worker sent nonsense");
                    child.lose_link(&mut self.watch);
                    let mut actions = Vec::new();
                    self.supervisor.on_unruly(generation, Clock::now(), &mut actions);
                    self.carry_out(actions);
                    return;
                }
            }
        }
        // More may wait, and the edge is spent: after the others have had their turn.
        self.unheard.insert(generation);
    }

    /// One message of a worker.
    pub(super) fn on_message(&mut self, generation: Generation, received: Received<FromWorker>) {
        let Received { message, mut fds } = received;
        match message {
            FromWorker::Hello(hello) => self.on_hello(generation, &hello),
            FromWorker::Ready => self.on_ready(generation),
            FromWorker::Prepared { serial } => self.on_prepared(generation, serial),
            FromWorker::Refused { serial, problems } => {
                self.on_refused(generation, serial, problems);
            }
            FromWorker::Committed { serial } => self.on_committed(generation, serial),
            FromWorker::WantUnix { request, path } => {
                let until = Clock::now().after(UNIX_PATIENCE);
                self.connect_unix(generation, request, &path, until);
            }
            FromWorker::Answer { id, body } => match fds.take(body) {
                Ok(file) => self.on_answer(generation, id, &file),
                Err(error) => tracing::warn!(%error, "a worker's answer came without its file"),
            },
            FromWorker::MemberState { pool, address, up, reason } => {
                self.on_member_state(pool, address, up, reason);
            }
            FromWorker::Drained => tracing::debug!(generation = generation.0, "drained"),
            FromWorker::Pong { .. } => {}
        }
    }

    fn on_hello(&mut self, generation: Generation, hello: &Hello) {
        let Some(child) = self.children.get_mut(&generation) else { return };
        child.version.clone_from(&hello.version);
        if hello.protocol != PROTOCOL || hello.board_version != crate::shared::VERSION {
            tracing::error!(
                pid = child.pid,
                protocol = hello.protocol,
                "a worker speaks another version of the link: is the installed program newer?"
            );
            let mut actions = Vec::new();
            self.supervisor.on_unruly(generation, Clock::now(), &mut actions);
            self.carry_out(actions);
        }
    }

    fn on_ready(&mut self, generation: Generation) {
        let mut actions = Vec::new();
        self.supervisor.on_ready(generation, Clock::now(), &mut actions);
        if let (Some(worker), Some(child)) =
            (self.supervisor.worker(generation), self.children.get(&generation))
        {
            tracing::debug!(CUP_WORKER = worker.slot, "worker {} is ready", worker.slot);
            let event =
                Event::WorkerStarted { worker: worker.slot, pid: child.pid, adopted: false };
            self.hub.send(&event);
        }
        self.carry_out(actions);
    }

    fn on_member_state(&mut self, pool: String, address: String, up: bool, reason: String) {
        if up {
            tracing::info!(
                MESSAGE_ID = ids::BACKEND_UP,
                CUP_POOL = pool,
                CUP_BACKEND = address,
                "backend {address} of pool {pool} is up again"
            );
        } else {
            tracing::warn!(
                MESSAGE_ID = ids::BACKEND_DOWN,
                CUP_POOL = pool,
                CUP_BACKEND = address,
                "backend {address} of pool {pool} is down: {reason}"
            );
        }
        self.hub.send(&Event::BackendStateChanged { pool, address, up, reason });
    }

    /// Opens a connection to a unix-socket backend for a worker, if the configuration has such a one.
    fn connect_unix(&mut self, generation: Generation, request: u64, path: &str, until: Time) {
        let now = Clock::now();
        let known = |plan: &crate::config::Plan| {
            plan.pools
                .iter()
                .flat_map(|pool| &pool.members)
                .any(|member| matches!(&member.address, Address::Unix(known) if known == path))
        };
        let allowed = known(&self.running.plan)
            || self.applying.as_ref().is_some_and(|applying| known(&applying.plan));
        let result = match allowed {
            true => socket::connect_unix(Path::new(path)),
            false => Err(io::Error::from_raw_os_error(libc::EACCES)),
        };
        // A full queue at the backend: it is asked again for a while, as TCP would do by itself.
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            if now < until && self.unix_waits.len() < MAX_UNIX_WAITS {
                let path = path.to_owned();
                self.unix_waits.push(UnixWait { generation, request, path, until });
                return;
            }
        }
        let Some(child) = self.children.get_mut(&generation) else { return };
        match result {
            Ok(connected) => {
                let message = ToWorker::UnixConnected { request, fd: Some(FdIndex(0)), error: 0 };
                child.post(&message, vec![connected]);
            }
            Err(error) => {
                let error = error.raw_os_error().unwrap_or(libc::EIO);
                child.post(&ToWorker::UnixConnected { request, fd: None, error }, Vec::new());
            }
        }
    }

    /// Asks busy unix backends again.
    pub(super) fn tick_unix(&mut self) {
        for wait in std::mem::take(&mut self.unix_waits) {
            self.connect_unix(wait.generation, wait.request, &wait.path, wait.until);
        }
    }

    /// Tells a worker to go.
    pub(super) fn stop_worker(&mut self, generation: Generation, hard: bool, patience: Duration) {
        self.leave_apply(generation);
        if let Some(child) = self.children.get_mut(&generation) {
            let deadline_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
            child.post(&ToWorker::Stop { hard, deadline_ms }, Vec::new());
        }
    }

    /// Kills a worker.
    pub(super) fn kill_worker(&mut self, generation: Generation, reason: KillReason) {
        self.leave_apply(generation);
        let Some(child) = self.children.get(&generation) else { return };
        let slot = self.supervisor.worker(generation).map_or(u16::MAX, |worker| worker.slot);
        let (pid, why) = (child.pid, reason.text());
        if reason == KillReason::Hung {
            tracing::error!(
                MESSAGE_ID = ids::WORKER_HUNG,
                CUP_WORKER = slot,
                CUP_PID = pid,
                "killing worker {slot} (process {pid}): {why}"
            );
        } else {
            tracing::warn!(
                CUP_WORKER = slot,
                CUP_PID = pid,
                "killing worker {slot} (process {pid}): {why}"
            );
        }
        if let Err(error) = process::kill(child.pidfd.as_fd())
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            tracing::error!(%error, pid = child.pid, "cannot kill a worker");
        }
    }

    /// A worker's process has ended.
    pub(super) fn bury_worker(&mut self, generation: Generation) {
        // What it sent before its end still counts (a refusal tells why it left).
        self.hear_worker(generation);
        let Some(child) = self.children.remove(&generation) else { return };
        let now = Clock::now();
        let pid = child.pid;
        let exit = child.bury(&self.notifier, &mut self.watch);
        let worker = self.supervisor.worker(generation).cloned();
        let mut actions = Vec::new();
        self.supervisor.on_exit(generation, now, &mut actions);
        if let Some(worker) = worker {
            self.board.clear_worker(worker.slot);
            let accident = is_accident(worker.phase, exit);
            let slot = worker.slot;
            if accident {
                self.tallies.worker_deaths += 1;
                tracing::error!(
                    MESSAGE_ID = ids::WORKER_DIED,
                    CUP_WORKER = slot,
                    CUP_PID = pid,
                    "worker {slot} (process {pid}) ended unexpectedly: {exit}"
                );
            } else {
                tracing::info!(
                    CUP_WORKER = slot,
                    CUP_PID = pid,
                    "worker {slot} (process {pid}) has stopped"
                );
            }
            let reason = exit.to_string();
            let expected = !accident;
            self.hub.send(&Event::WorkerExited { worker: slot, pid, reason, expected });
        }
        self.carry_out(actions);
        self.leave_apply(generation);
    }
}
