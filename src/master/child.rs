//! A worker process as the master holds it: its link, its pidfd, what it was given.

use super::notify::{Notifier, StoredName};
use super::sockets::Listening;
use super::supervisor::Generation;
use super::watch::{Source, Watch};
use crate::base::clock::{Clock, Time};
use crate::ipc::{FdIndex, Hello, Link, LinkError, PROTOCOL, Role, SocketGrant, ToWorker};
use crate::shared;
use crate::sys::{fd, poll, process};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// One worker.
#[derive(Debug)]
pub struct Child {
    /// Its process id.
    pub pid: u32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// Our end of its link; `None` once it is broken.
    pub link: Option<Link>,
    /// When the link broke.
    pub lost_at: Option<Time>,
    /// Serial that it runs, as far as it has told.
    pub serial: u64,
    /// It was given a configuration.
    pub started: bool,
    /// Version of its program, once it has told.
    pub version: String,
    granted: BTreeSet<u64>,
    tokens: (usize, usize),
}

impl Child {
    /// Starts a worker: exec, both ends stored with systemd before it gets anything, hello.
    pub fn spawn(
        program: &Path,
        generation: Generation,
        hello: Hello,
        notifier: &Notifier,
        watch: &mut Watch,
    ) -> io::Result<Child> {
        let (link, theirs) = Link::pair()?;
        let spawned = process::spawn(program, &arguments("worker"), theirs)?;
        notifier.store(&StoredName::Link(spawned.pid).text(), link.as_fd());
        notifier.store(&StoredName::Pidfd(spawned.pid).text(), spawned.pidfd.as_fd());
        let mut child = Child::watch(spawned.pid, spawned.pidfd, link, generation, watch)?;
        child.post(&ToWorker::Hello(hello), Vec::new());
        Ok(child)
    }

    /// Takes over a worker that an earlier master has started.
    pub fn watch(
        pid: u32,
        pidfd: OwnedFd,
        link: Link,
        generation: Generation,
        watch: &mut Watch,
    ) -> io::Result<Child> {
        let tokens = (
            watch.add(link.as_fd(), Source::Link(generation))?,
            watch.add(pidfd.as_fd(), Source::End(generation))?,
        );
        Ok(Child {
            pid,
            pidfd,
            link: Some(link),
            lost_at: None,
            serial: 0,
            started: false,
            version: String::new(),
            granted: BTreeSet::new(),
            tokens,
        })
    }

    /// Sends a message, now or when the worker has room. A broken link is noted, nothing more: the
    /// worker's end is seen by its pidfd.
    pub fn post(&mut self, message: &ToWorker, fds: Vec<OwnedFd>) {
        let Some(link) = &mut self.link else { return };
        if let Err(error) = link.post(message, fds) {
            if !matches!(error, LinkError::Closed) {
                tracing::warn!(pid = self.pid, %error, "cannot send to a worker");
            }
            self.lost_at.get_or_insert(Clock::now());
        }
    }

    /// The link is of no use any more.
    pub fn lose_link(&mut self, watch: &mut Watch) {
        if let Some(link) = self.link.take() {
            watch.remove(link.as_fd(), self.tokens.0);
        }
        self.lost_at.get_or_insert(Clock::now());
    }

    /// The process has ended: out of the watch and out of the store.
    pub fn bury(mut self, notifier: &Notifier, watch: &mut Watch) -> process::Exit {
        let exit = process::reap(self.pidfd.as_fd());
        self.lose_link(watch);
        watch.remove(self.pidfd.as_fd(), self.tokens.1);
        notifier.unstore(&StoredName::Link(self.pid).text());
        notifier.unstore(&StoredName::Pidfd(self.pid).text());
        exit
    }

    /// The whole set of sockets for a message; descriptors only of those that it doesn't have.
    pub fn grant(
        &mut self,
        sockets: &[Rc<Listening>],
        fds: &mut Vec<OwnedFd>,
    ) -> io::Result<Vec<SocketGrant>> {
        let mut grants = Vec::with_capacity(sockets.len());
        for socket in sockets {
            let fd = if self.granted.contains(&socket.id) {
                None
            } else {
                let index = u8::try_from(fds.len()).map_err(io::Error::other)?;
                fds.push(fd::duplicate(socket.fd.as_fd())?);
                Some(FdIndex(index))
            };
            grants.push(SocketGrant { id: socket.id, listener: socket.listener.clone(), fd });
        }
        Ok(grants)
    }

    /// The worker has these sockets now, and only these.
    pub fn set_granted(&mut self, sockets: &[Rc<Listening>]) {
        self.granted = sockets.iter().map(|socket| socket.id).collect();
    }
}

/// The command line of a child.
pub fn arguments(role: &str) -> Vec<OsString> {
    vec![role.into(), format!("--link={}", process::LINK_FD).into()]
}

/// Our hello.
pub fn hello(serial: u64) -> Hello {
    Hello {
        role: Role::Master,
        protocol: PROTOCOL,
        board_version: shared::VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        slot: 0,
        generation: 0,
        serial,
    }
}

/// A worker found in the store.
#[derive(Debug)]
pub struct Found {
    /// Its process id.
    pub pid: u32,
    /// Its end.
    pub pidfd: OwnedFd,
    /// The link to it.
    pub link: Link,
    /// What it answered; `None` when it didn't in time.
    pub hello: Option<Hello>,
    /// It has answered us, and not only an earlier master.
    pub answered: bool,
    /// What it said before that.
    pub backlog: Vec<crate::ipc::Received<crate::ipc::FromWorker>>,
}

/// Greets workers from the store and waits until all have answered, at most `patience`. The dead are
/// left out and forgotten.
pub fn greet(
    pairs: Vec<(u32, OwnedFd, OwnedFd)>,
    hello: &Hello,
    patience: Duration,
    notifier: &Notifier,
) -> Vec<Found> {
    let mut found = Vec::new();
    for (pid, socket, pidfd) in pairs {
        let ended = poll::wait_ready(pidfd.as_fd(), false, Duration::ZERO).unwrap_or(true);
        let mut link = Link::new(socket);
        // What the worker said to the earlier master may still wait here, an older hello too: the
        // echo of our number tells where the answer to us ends.
        let greeted = !ended
            && link.post(&ToWorker::Hello(hello.clone()), Vec::new()).is_ok()
            && link.post(&ToWorker::Ping { n: u64::from(hello.pid) }, Vec::new()).is_ok();
        if greeted {
            let (hello, backlog) = (None, Vec::new());
            found.push(Found { pid, pidfd, link, hello, answered: false, backlog });
        } else {
            notifier.unstore(&StoredName::Link(pid).text());
            notifier.unstore(&StoredName::Pidfd(pid).text());
        }
    }
    let end = Clock::now().after(patience);
    for worker in &mut found {
        while !worker.answered {
            let left = end.since(Clock::now());
            let ready = poll::wait_ready(worker.link.as_fd(), false, left);
            if !ready.unwrap_or(false) || !worker.listen(hello.pid) {
                break;
            }
        }
    }
    found
}

impl Found {
    /// Takes one message. False when the link is broken.
    fn listen(&mut self, number: u32) -> bool {
        match self.link.receive::<crate::ipc::FromWorker>() {
            Ok(Some(received)) => {
                match received.message {
                    crate::ipc::FromWorker::Hello(hello) => self.hello = Some(hello),
                    crate::ipc::FromWorker::Pong { n } if n == u64::from(number) => {
                        self.answered = true;
                    }
                    _ => self.backlog.push(received),
                }
                true
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Whether it speaks our language and runs our program, so that it may stay.
    pub fn is_usable(&self) -> bool {
        self.answered
            && self.hello.as_ref().is_some_and(|hello| {
                hello.protocol == PROTOCOL
                    && hello.board_version == shared::VERSION
                    && hello.version == env!("CARGO_PKG_VERSION")
                    && hello.role == Role::Worker
                    && hello.serial != 0
            })
    }
}
