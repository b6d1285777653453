//! A small keep-alive request costs no heap allocation once the worker is warm, and no more than two
//! reads and two writes. A counting allocator counts; worker, clients and backend share one thread.

use cloudcup::base::clock::Clock;
use cloudcup::config::{self, CheckContext};
use cloudcup::io::listen::Listener;
use cloudcup::io::poll::Poller;
use cloudcup::shared::{Board, Shape};
use cloudcup::worker::{Live, Settings, Worker};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: as the trait demands of the caller.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(usize::from(ON.load(Relaxed)), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: as the trait demands of the caller.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(usize::from(ON.load(Relaxed)), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(block, layout, size) }
    }

    // SAFETY: as the trait demands of the caller.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUEST: &[u8] = b"GET /index.html?x=1 HTTP/1.1\r\nHost: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/xhtml+xml\r\n\
    Accept-Language: en\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world";

fn worker(backend: &str) -> (Worker, std::net::SocketAddr) {
    let document = format!(
        r#"{{"version":1,"listeners":{{"http":{{"address":"127.0.0.1:80"}}}},
            "routes":{{"*":{{"backends":[{{"address":"{backend}"}}]}}}}}}"#
    );
    let plan = config::check(document.as_bytes(), &CheckContext::default()).plan.expect("valid");
    let board = Board::in_memory(Shape { workers: 1, lines: 64 });
    let page = board.page(0).expect("slot 0");
    let live = Arc::new(Live::new(1, plan));
    let settings = Settings { board, page, live, connections: 1_000, seed: 1, now: Clock::now() };
    let mut worker = Worker::new(Poller::new().expect("epoll"), settings);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    worker.listen("http", Listener::from_fd(OwnedFd::from(listener)).expect("a listener"));
    (worker, address)
}

/// One turn of the worker, in which allocations count.
fn turn(worker: &mut Worker) {
    ON.store(true, Relaxed);
    worker.wait(Duration::ZERO).expect("epoll works");
    worker.turn(Clock::now());
    ON.store(false, Relaxed);
}

/// What has arrived on a non-blocking stream.
fn pull(mut stream: &TcpStream, into: &mut [u8]) -> usize {
    match stream.read(into) {
        Ok(n) => n,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_small_request_allocates_nothing() {
    let backend = TcpListener::bind("127.0.0.1:0").expect("a free port");
    backend.set_nonblocking(true).expect("a socket");
    let (mut worker, address) = worker(&backend.local_addr().expect("bound").to_string());
    let mut clients: Vec<TcpStream> = (0..16)
        .map(|_| {
            let client = TcpStream::connect(address).expect("the worker listens");
            client.set_nonblocking(true).expect("a socket");
            client.set_nodelay(true).expect("a socket");
            client
        })
        .collect();
    let mut backs: Vec<TcpStream> = Vec::new();
    let mut buffer = [0; 16_384];
    let mut round = |worker: &mut Worker| {
        let end = Instant::now() + Duration::from_secs(20);
        clients.iter_mut().for_each(|client| client.write_all(REQUEST).expect("fits"));
        // All requests are on their way before any is answered, so that each round needs as much
        // memory and as many connections as the first.
        let (mut asked, mut answered) = (0, 0);
        while answered < clients.len() {
            assert!(Instant::now() < end, "{asked} asked, {answered} answered");
            turn(worker);
            while let Ok((back, _)) = backend.accept() {
                back.set_nonblocking(true).expect("a socket");
                back.set_nodelay(true).expect("a socket");
                backs.push(back);
            }
            // Each message is one write, so it arrives whole.
            asked += backs.iter_mut().filter(|back| pull(back, &mut buffer) > 0).count();
            if asked == clients.len() {
                asked = 0;
                backs.iter_mut().for_each(|back| back.write_all(RESPONSE).expect("fits"));
            }
            answered += clients.iter_mut().filter(|client| pull(client, &mut buffer) > 0).count();
        }
    };
    // Long enough for every connection's timer to have fired.
    let warm = Instant::now() + Duration::from_secs(3);
    while Instant::now() < warm {
        round(&mut worker);
    }
    COUNT.store(0, Relaxed);
    for _ in 0..500 {
        round(&mut worker);
    }
    assert_eq!(COUNT.load(Relaxed), 0, "allocations in 8 000 requests");
    assert_eq!(worker.exchanges(), 0);
}
