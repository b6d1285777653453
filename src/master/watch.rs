//! What the master's loop waits for: one mio poll, and what each token stands for.

use super::supervisor::Generation;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// What became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Somebody called through the command door.
    Door,
    /// A signal.
    Signals,
    /// The link of a worker.
    Link(Generation),
    /// The end of a worker.
    End(Generation),
    /// The link of the clerk.
    ClerkLink,
    /// The end of the clerk.
    ClerkEnd,
    /// The link of a backend of the demo.
    DemoLink(usize),
    /// The end of a backend of the demo.
    DemoEnd(usize),
}

/// The poll and its tokens. Tokens are never used twice, so a late event finds nothing.
#[derive(Debug)]
pub struct Watch {
    poll: Poll,
    events: Events,
    sources: BTreeMap<usize, Source>,
    next: usize,
}

impl Watch {
    /// An empty one, and the waker of its [`Source::Door`].
    pub fn new() -> io::Result<(Watch, Arc<mio::Waker>)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), Token(0))?;
        let sources = BTreeMap::from([(0, Source::Door)]);
        let events = Events::with_capacity(128);
        Ok((Watch { poll, events, sources, next: 1 }, Arc::new(waker)))
    }

    /// Watches a descriptor, edge-triggered, for reading and (links) writing. It must be removed before
    /// it is closed.
    pub fn add(&mut self, fd: BorrowedFd<'_>, source: Source) -> io::Result<usize> {
        let token = self.next;
        self.next += 1;
        let interest = match source {
            Source::Link(_) | Source::ClerkLink | Source::DemoLink(_) => {
                Interest::READABLE | Interest::WRITABLE
            }
            _ => Interest::READABLE,
        };
        self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), Token(token), interest)?;
        self.sources.insert(token, source);
        Ok(token)
    }

    /// Watches no longer. A descriptor that isn't watched is fine.
    pub fn remove(&mut self, fd: BorrowedFd<'_>, token: usize) {
        if self.sources.remove(&token).is_some()
            && let Err(error) = self.poll.registry().deregister(&mut SourceFd(&fd.as_raw_fd()))
        {
            tracing::debug!(%error, "a descriptor was not watched");
        }
    }

    /// Waits at most `timeout` and returns what became ready, each once.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Source>> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let ready = self.events.iter().filter_map(|event| self.sources.get(&event.token().0));
        Ok(ready.copied().collect())
    }
}

/// A helper process and our end of its link, both watched.
#[derive(Debug)]
pub struct Helper {
    /// Its process id.
    pub pid: u32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// Our end of the link.
    pub link: crate::ipc::Link,
    /// Tokens of link and pidfd.
    pub tokens: (usize, usize),
}
