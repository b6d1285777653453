//! Load that counts failures: what "no failed request" is measured by. A connection whose close was
//! announced is made anew; everything else that is not a whole right answer is a failure.

use super::client::Client;
use super::wait::until;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Clients that ask all the time and count: keep-alive GETs and POSTs, and one-shot connections.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts it and waits until it runs.
    pub fn start(to: SocketAddr) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let threads = (0..4)
            .map(|kind| {
                let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
                std::thread::spawn(move || ask(to, kind, &stop, &done))
            })
            .collect();
        let load = Load { stop, done, threads };
        load.more();
        load
    }

    /// Waits until some more requests are done.
    #[track_caller]
    pub fn more(&self) {
        let now = self.done.load(Ordering::SeqCst);
        until("more answers", || (self.done.load(Ordering::SeqCst) > now + 200).then_some(()));
    }

    /// Ends it; what failed.
    pub fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    }
}

/// One client. A connection that was closed with an announcement is made anew; everything else that is
/// not a whole right answer is a failure.
fn ask(to: SocketAddr, kind: u32, stop: &AtomicBool, done: &AtomicU64) -> Vec<String> {
    let mut failures = Vec::new();
    let request = match kind {
        0 | 1 => "GET /k HTTP/1.1\r\nHost: a\r\n\r\n",
        2 => "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        _ => "GET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    };
    let mut client = None;
    while !stop.load(Ordering::SeqCst) && failures.len() < 20 {
        let mut now: Client = client.take().unwrap_or_else(|| Client::connect(to));
        if !now.try_send(request) {
            failures.push(format!("{kind}: the request did not go"));
            continue;
        }
        let Some(mut response) = now.head() else {
            failures.push(format!("{kind}: closed without an answer"));
            continue;
        };
        now.body(&mut response);
        if response.status() != 200 {
            failures.push(format!("{kind}: {}", response.line));
        }
        done.fetch_add(1, Ordering::SeqCst);
        let closing = response.field("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
        client = (!closing).then_some(now);
    }
    failures
}
