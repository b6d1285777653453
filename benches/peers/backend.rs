//! The backend behind every proxy: one thread that answers from memory. By path: `/1m` one mebibyte,
//! anything else 128 bytes; a request body is counted off and dropped. With a delay it answers each
//! request exactly so much later, and with stalls it stands still for a while each second: two
//! servers of known behaviour, against which the open-loop generator is checked.

use crate::net;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How the backend behaves.
pub struct Manner {
    /// Each answer leaves this long after its request came.
    pub delay: Duration,
    /// Once a second it reads and answers nothing for so long.
    pub stall: Duration,
}

struct Conn {
    stream: TcpStream,
    input: Vec<u8>,
    /// Bytes of a request body still to come.
    skip: usize,
    big: bool,
    /// What is being sent, from where.
    out: Option<(&'static [u8], usize)>,
    /// Writing is being watched for.
    watched: bool,
}

const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

/// Serves until killed. Says `listening PORT` on stdout first.
pub fn serve(manner: &Manner) {
    net::raise_files();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("nonblocking");
    let port = listener.local_addr().expect("address").port();
    println!("listening {port}");
    let small: &'static [u8] = Box::leak(answer(128).into_boxed_slice());
    let large: &'static [u8] = Box::leak(answer(1 << 20).into_boxed_slice());
    let mut poller = net::Poller::new();
    poller.add(&listener, LISTENER);
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).expect("timer");
    poller.add(&timer, TIMER);
    let mut conns: Vec<Option<Conn>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut due: VecDeque<(Instant, usize)> = VecDeque::new();
    let begin = Instant::now();
    let mut stalls = 0;
    loop {
        if !manner.stall.is_zero() && begin.elapsed().as_secs() > stalls {
            stalls = begin.elapsed().as_secs();
            std::thread::sleep(manner.stall);
        }
        for (token, writable) in poller.wait(Duration::from_secs(1)) {
            match token {
                LISTENER => accept(&listener, &poller, &mut conns, &mut free),
                TIMER => {}
                token => {
                    let index = token as usize;
                    let Some(conn) = conns[index].as_mut() else { continue };
                    let alive = if writable { flush(conn, &poller, token) } else { Some(()) };
                    let asked = alive.and_then(|()| take(conn));
                    match asked {
                        None => {
                            conns[index] = None;
                            free.push(index);
                        }
                        Some(0) => {}
                        Some(_) if !manner.delay.is_zero() => {
                            due.push_back((Instant::now() + manner.delay, index));
                            arm(&timer, &due);
                        }
                        Some(_) => {
                            conn.out = Some((if conn.big { large } else { small }, 0));
                            let _ = flush(conn, &poller, token);
                        }
                    }
                }
            }
        }
        while due.front().is_some_and(|(at, _)| *at <= Instant::now()) {
            let (_, index) = due.pop_front().expect("front");
            if let Some(conn) = conns[index].as_mut() {
                conn.out = Some((small, 0));
                let _ = flush(conn, &poller, index as u64);
            }
            arm(&timer, &due);
        }
    }
}

fn arm(timer: &TimerFd, due: &VecDeque<(Instant, usize)>) {
    let Some((at, _)) = due.front() else { return };
    let left = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
    let once = Expiration::OneShot(TimeSpec::from_duration(left));
    timer.set(once, TimerSetTimeFlags::empty()).expect("timer");
}

fn answer(size: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: {size}\r\nCache-Control: no-store\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + size, b'x');
    bytes
}

fn accept(
    listener: &TcpListener,
    poller: &net::Poller,
    conns: &mut Vec<Option<Conn>>,
    free: &mut Vec<usize>,
) {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true).expect("nonblocking");
        stream.set_nodelay(true).expect("nodelay");
        let index = free.pop().unwrap_or_else(|| {
            conns.push(None);
            conns.len() - 1
        });
        poller.add(&stream, index as u64);
        let input = Vec::with_capacity(4096);
        conns[index] = Some(Conn { stream, input, skip: 0, big: false, out: None, watched: false });
    }
}

/// Reads; how many requests became complete (0 or 1: proxies do not pipeline), `None` at the end.
fn take(conn: &mut Conn) -> Option<usize> {
    let mut scratch = [0u8; 65536];
    if conn.skip > 0 {
        let limit = conn.skip.min(scratch.len());
        return match net::read(&conn.stream, &mut scratch[..limit], true) {
            None => Some(0),
            Some(Ok(n)) if n > 0 => {
                conn.skip -= n;
                Some(usize::from(conn.skip == 0))
            }
            Some(_) => None,
        };
    }
    match net::read(&conn.stream, &mut scratch[..16384], false) {
        None => return Some(0),
        Some(Ok(n)) if n > 0 => conn.input.extend_from_slice(&scratch[..n]),
        Some(_) => return None,
    }
    let Some((end, length)) = net::head(&conn.input) else { return Some(0) };
    conn.big = conn.input.starts_with(b"GET /1m");
    let here = (conn.input.len() - end).min(length);
    conn.skip = length - here;
    conn.input.drain(..end + here);
    Some(usize::from(conn.skip == 0))
}

/// Sends what is to be sent; `None` when the connection broke.
fn flush(conn: &mut Conn, poller: &net::Poller, token: u64) -> Option<()> {
    while let Some((bytes, at)) = conn.out {
        match net::write(&conn.stream, &bytes[at..]).ok()? {
            0 => break,
            n => conn.out = (at + n < bytes.len()).then_some((bytes, at + n)),
        }
    }
    if conn.watched != conn.out.is_some() {
        conn.watched = conn.out.is_some();
        poller.modify(&conn.stream, token, conn.watched);
    }
    Some(())
}
