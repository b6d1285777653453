//! A worker, its clients and its origins in one thread.

use super::super::*;
use crate::base::clock::{Clock, Time};
use crate::config::{self, CheckContext};
use crate::io::listen::Listener;
use crate::io::poll::Poller;
use crate::shared::{Board, Shape};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A worker under test; time may be moved ahead of the real one.
pub struct Rig {
    pub worker: Worker,
    pub address: SocketAddr,
    pub ahead: Duration,
}

/// The plan of a document.
pub fn plan(serial: u64, document: &str) -> Arc<Live> {
    let checked = config::check(document.as_bytes(), &CheckContext::default());
    let problems: Vec<String> = checked.problems.iter().map(ToString::to_string).collect();
    Arc::new(Live::new(serial, checked.plan.unwrap_or_else(|| panic!("{problems:?}"))))
}

/// A document with one route to these backends, and more text after it.
pub fn document(backends: &[SocketAddr], more: &str) -> String {
    let backends: Vec<String> =
        backends.iter().map(|at| format!(r#"{{"address":"{at}","max_failures":3}}"#)).collect();
    format!(
        r#"{{"version":1,"listeners":{{"http":{{"address":"127.0.0.1:80"}}}},
           "routes":{{"*":{{"backends":[{}]}}}}{more}}}"#,
        backends.join(",")
    )
}

impl Rig {
    pub fn new(document: &str) -> Rig {
        let board = Board::in_memory(Shape { workers: 2, lines: 64 });
        let page = board.page(0).expect("slot 0");
        let settings = Settings {
            page,
            board,
            live: plan(1, document),
            connections: 1_000,
            seed: 7,
            now: Clock::now(),
        };
        let mut worker = Worker::new(Poller::new().expect("epoll"), settings);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        worker.listen("http", Listener::from_fd(OwnedFd::from(listener)).expect("a listener"));
        Rig { worker, address, ahead: Duration::ZERO }
    }

    pub fn to(backends: &[&Origin]) -> Rig {
        let backends: Vec<SocketAddr> = backends.iter().map(|origin| origin.address).collect();
        Rig::new(&document(&backends, ""))
    }

    pub fn now(&self) -> Time {
        Clock::now().after(self.ahead)
    }

    /// One turn.
    pub fn turn(&mut self) {
        let timeout = self.worker.timeout(self.now()).min(Duration::from_millis(2));
        self.worker.wait(timeout).expect("epoll works");
        let now = self.now();
        self.worker.turn(now);
    }

    /// Turns until `done`, which may do I/O of its own.
    #[track_caller]
    pub fn until(&mut self, mut done: impl FnMut(&mut Rig) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < end, "it never came about");
            self.turn();
        }
    }

    /// A moment in which nothing is expected to happen.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            self.turn();
        }
    }

    pub fn client(&self) -> Peer {
        Peer::new(TcpStream::connect(self.address).expect("the worker listens"))
    }

    /// Waits until `peer` has received `text` and everything before it; returns and forgets it.
    #[track_caller]
    pub fn expect(&mut self, peer: &mut Peer, text: &str) -> String {
        self.until(|_| {
            peer.pull();
            peer.position(text).is_some() || peer.ended
        });
        let Some(at) = peer.position(text) else {
            panic!("{text:?} never came, only {:?}", String::from_utf8_lossy(&peer.got))
        };
        let rest = peer.got.split_off(at + text.len());
        String::from_utf8(std::mem::replace(&mut peer.got, rest)).expect("text")
    }

    /// Waits for the end of the stream; returns what came before it.
    #[track_caller]
    pub fn expect_end(&mut self, peer: &mut Peer) -> String {
        self.until(|_| {
            peer.pull();
            peer.ended
        });
        String::from_utf8(std::mem::take(&mut peer.got)).expect("text")
    }

    #[track_caller]
    pub fn accept(&mut self, origin: &Origin) -> Peer {
        let mut taken = None;
        self.until(|_| {
            taken = taken.take().or_else(|| origin.listener.accept().ok());
            taken.is_some()
        });
        Peer::new(taken.expect("accepted").0)
    }

    /// Nothing may be out once all clients are gone or rest.
    #[track_caller]
    pub fn assert_at_rest(&mut self) {
        self.until(|rig| rig.worker.exchanges() == 0);
        self.settle();
        assert_eq!(self.worker.core.bufs.out(), 0, "blocks leak");
        assert_eq!(self.worker.core.heads.out(), 0, "heads leak");
        assert_eq!(self.worker.core.kernel.out(), 0, "kernel pipes leak");
        assert!(self.worker.core.run.is_empty() && self.worker.core.effects.is_empty());
        assert_eq!(self.worker.timeout(self.now()).is_zero(), false, "the loop spins");
    }
}

/// A listening backend.
pub struct Origin {
    pub listener: TcpListener,
    pub address: SocketAddr,
}

impl Origin {
    pub fn new() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        Origin { listener, address }
    }
}

/// The far end of a connection with the worker.
pub struct Peer {
    pub stream: TcpStream,
    pub got: Vec<u8>,
    pub ended: bool,
}

impl Peer {
    pub fn new(stream: TcpStream) -> Peer {
        stream.set_nonblocking(true).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Peer { stream, got: Vec::new(), ended: false }
    }

    #[track_caller]
    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).expect("small enough for the kernel");
    }

    /// Writes as much as the kernel takes.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        match self.stream.write(bytes) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// Takes what has arrived.
    pub fn pull(&mut self) {
        let mut chunk = [0; 65_536];
        while !self.ended {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(n) => self.got.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.ended = true,
            }
        }
    }

    pub fn shutdown(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("open");
    }

    fn position(&self, text: &str) -> Option<usize> {
        memchr::memmem::find(&self.got, text.as_bytes())
    }
}
