//! How connections spread over workers: 256 keep-alive clients that come all at once, one by one to an
//! idle proxy, or while 2 000 requests a second run. After 5 s no worker may hold more than 1.5 times
//! its share, and no connection may have waited more than 50 ms for its accept; the wait is taken as
//! the time to the first answer, which is never less.

use crate::cases::verdict;
use crate::load::{Kind, request};
use crate::proxies::{Proxy, Setting};
use crate::{Backend, net, proc};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const CLIENTS: usize = 256;

/// Runs the three arrivals against 2, 4 and 8 workers.
pub fn run(folder: &Path) {
    println!("\naccept: {CLIENTS} clients; bars: most/share <= 1.5, longest wait <= 50 ms");
    let backend = Backend::start(Duration::ZERO, Duration::ZERO);
    for workers in [2, 4, 8] {
        for arrival in ["at once", "one by one", "under 2 000 req/s"] {
            let setting = Setting { log: false, workers, crowd: false, pinned: false };
            let proxy = Proxy::start("cloudcup", setting, backend.port, &folder.join("accept"));
            one(&proxy, workers, arrival);
        }
    }
}

fn one(proxy: &Proxy, workers: usize, arrival: &str) {
    let to = proxy.address;
    let load = (arrival == "under 2 000 req/s")
        .then(|| std::thread::spawn(move || crate::load_of("open", to, 32, 4.0, 2000)));
    if load.is_some() {
        std::thread::sleep(Duration::from_millis(500));
    }
    let (clients, longest) = if arrival == "at once" { at_once(to) } else { one_by_one(to) };
    let background = load.map(|l| l.join().expect("load"));
    std::thread::sleep(Duration::from_secs(5));
    let pids: Vec<u32> = proxy.pids();
    let held = proc::held(&pids, to.port());
    let mut holders: Vec<usize> =
        pids.iter().zip(&held).filter(|(p, _)| is_worker(**p)).map(|(_, n)| *n).collect();
    holders.sort_unstable();
    let total: usize = holders.iter().sum();
    let most = holders.last().copied().unwrap_or(0) as f64;
    let ratio = most / (total as f64 / workers as f64).max(1.0);
    let good = ratio <= 1.5 && longest <= Duration::from_millis(50) && total == clients.len();
    let errors = background.map_or(0, |o| o.errors);
    println!(
        "  {workers} workers, {arrival:18} {holders:?} most/share {ratio:.2}, longest wait {:.1} ms, \
         {errors} errors: {}",
        longest.as_secs_f64() * 1000.0,
        verdict(good && errors == 0)
    );
}

fn is_worker(pid: u32) -> bool {
    proc::command(pid).split(' ').any(|word| word == "worker")
}

/// All connect and ask before any answer is read.
fn at_once(to: SocketAddr) -> (Vec<TcpStream>, Duration) {
    let request = request(Kind::Keep);
    let mut poller = net::Poller::new();
    let mut clients = Vec::new();
    let mut begun = Vec::new();
    for token in 0..CLIENTS {
        begun.push(Instant::now());
        let stream = net::connect(to).expect("connect");
        net::write(&stream, &request).expect("ask");
        poller.add(&stream, token as u64);
        clients.push(stream);
    }
    let mut answered = [false; CLIENTS];
    let mut longest = Duration::ZERO;
    let mut scratch = [0u8; 4096];
    let deadline = Instant::now() + Duration::from_secs(10);
    while answered.contains(&false) && Instant::now() < deadline {
        for (token, _) in poller.wait(Duration::from_millis(100)) {
            let token = token as usize;
            if let Some(Ok(n)) = net::read(&clients[token], &mut scratch, false)
                && n > 0
                && !answered[token]
            {
                answered[token] = true;
                longest = longest.max(begun[token].elapsed());
            }
        }
    }
    assert!(!answered.contains(&false), "a client had no answer in 10 s");
    (clients, longest)
}

/// Each connects when the one before has its answer.
fn one_by_one(to: SocketAddr) -> (Vec<TcpStream>, Duration) {
    let request = request(Kind::Keep);
    let mut clients = Vec::new();
    let mut longest = Duration::ZERO;
    for _ in 0..CLIENTS {
        let begin = Instant::now();
        let stream = TcpStream::connect(to).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        std::io::Write::write_all(&mut &stream, &request).expect("ask");
        let mut scratch = [0u8; 4096];
        let n = std::io::Read::read(&mut &stream, &mut scratch).expect("answer");
        assert!(n > 0, "closed without an answer");
        longest = longest.max(begin.elapsed());
        clients.push(stream);
    }
    (clients, longest)
}
