//! Open-loop load: request k is due at k / rate, whatever the server does, and its latency counts from
//! then. A slow server thus cannot slow the questions down and look fast by it. Proven against the
//! backend with a known delay and with known stalls (`--case check-generator`).

use crate::load::{Kind, request};
use crate::net;
use crate::stats::Outcome;
use nix::sys::prctl::set_timerslack;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

struct Conn {
    stream: TcpStream,
    due: Option<Instant>,
    input: Vec<u8>,
}

/// Runs `rate` requests per second for `span` over `connections`, which are opened before it starts.
pub fn run(to: SocketAddr, rate: u32, connections: usize, span: Duration) -> Outcome {
    net::raise_files();
    let _ = set_timerslack(1);
    let request = request(Kind::Keep);
    let mut poller = net::Poller::new();
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).expect("timer");
    let timer_token = connections as u64;
    poller.add(&timer, timer_token);
    let mut conns: Vec<Conn> = Vec::new();
    for token in 0..connections {
        let stream = net::connect(to).expect("connect to the proxy");
        poller.add(&stream, token as u64);
        conns.push(Conn { stream, due: None, input: Vec::with_capacity(4096) });
    }
    let mut idle: VecDeque<usize> = (0..connections).collect();
    let mut late: VecDeque<Instant> = VecDeque::new();
    let mut outcome = Outcome::default();
    let begin = Instant::now() + Duration::from_millis(10);
    let total = (f64::from(rate) * span.as_secs_f64()) as u32;
    let due_of =
        |k: u32| begin + Duration::from_nanos(u64::from(k) * 1_000_000_000 / u64::from(rate));
    let mut next = 0;
    let mut scratch = vec![0u8; 16384];
    let give_up = begin + span + Duration::from_secs(5);
    while outcome.requests + outcome.errors < u64::from(total) && Instant::now() < give_up {
        let now = Instant::now();
        while next < total && due_of(next) <= now {
            late.push_back(due_of(next));
            next += 1;
        }
        while let (Some(token), Some(due)) = (idle.front().copied(), late.front().copied()) {
            let conn = &mut conns[token];
            if net::write(&conn.stream, &request).ok() != Some(request.len()) {
                outcome.errors += 1;
            } else {
                conn.due = Some(due);
                idle.pop_front();
            }
            late.pop_front();
        }
        if next < total {
            let left = due_of(next).saturating_duration_since(Instant::now());
            let once =
                Expiration::OneShot(TimeSpec::from_duration(left.max(Duration::from_nanos(1))));
            timer.set(once, TimerSetTimeFlags::empty()).expect("timer");
        }
        for (token, _) in poller.wait(Duration::from_millis(100)) {
            if token == timer_token {
                continue;
            }
            let conn = &mut conns[token as usize];
            if !receive(conn, &mut scratch, &mut outcome) {
                continue;
            }
            idle.push_back(token as usize);
        }
    }
    // What never came is an error, not a gap in the figures.
    outcome.errors += u64::from(total).saturating_sub(outcome.requests + outcome.errors);
    outcome.seconds = begin.elapsed().as_secs_f64();
    outcome
}

/// Reads an answer; true when it is complete and the connection is free again.
fn receive(conn: &mut Conn, scratch: &mut [u8], outcome: &mut Outcome) -> bool {
    match net::read(&conn.stream, scratch, false) {
        Some(Ok(n)) if n > 0 => conn.input.extend_from_slice(&scratch[..n]),
        None => return false,
        Some(_) => {
            outcome.errors += u64::from(conn.due.take().is_some());
            return false;
        }
    }
    let Some((end, length)) = net::head(&conn.input) else { return false };
    if conn.input.len() < end + length {
        return false;
    }
    let good = conn.input.starts_with(b"HTTP/1.1 200");
    conn.input.clear();
    let Some(due) = conn.due.take() else { return false };
    if good {
        outcome.requests += 1;
        outcome.micros.push(net::micros(due));
    } else {
        outcome.errors += 1;
    }
    true
}
