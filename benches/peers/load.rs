//! Closed-loop load: so many connections, each sending its next request when its answer is complete.
//! One thread. Answers are read to their last byte and counted; anything but a 200 is an error.

use crate::net;
use crate::stats::Outcome;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Small GETs on connections that stay.
    Keep,
    /// A connection for each GET.
    Close,
    /// GETs of one mebibyte.
    Large,
    /// POSTs of 64 KiB.
    Post,
}

/// The fields a browser sends, roughly.
pub const FIELDS: &str = "Host: bench.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
    Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate\r\n";

const BODY: usize = 64 * 1024;

struct Conn {
    stream: TcpStream,
    begun: Instant,
    sent: usize,
    watched: bool,
    input: Vec<u8>,
    /// Bytes of the answer's body still to come, once its head is read.
    left: Option<usize>,
}

/// The bytes of one request.
pub fn request(kind: Kind) -> Vec<u8> {
    let (line, more) = match kind {
        Kind::Keep => ("GET /small HTTP/1.1", String::new()),
        Kind::Close => ("GET /small HTTP/1.1", "Connection: close\r\n".to_string()),
        Kind::Large => ("GET /1m HTTP/1.1", String::new()),
        Kind::Post => ("POST /post HTTP/1.1", format!("Content-Length: {BODY}\r\n")),
    };
    let mut bytes = format!("{line}\r\n{FIELDS}{more}\r\n").into_bytes();
    if kind == Kind::Post {
        bytes.resize(bytes.len() + BODY, b'y');
    }
    bytes
}

fn open(poller: &net::Poller, to: SocketAddr, token: usize) -> std::io::Result<Conn> {
    let stream = net::connect(to)?;
    poller.add(&stream, token as u64);
    let input = Vec::with_capacity(4096);
    Ok(Conn { stream, begun: Instant::now(), sent: 0, watched: false, input, left: None })
}

/// Runs the load and tells what came of it.
pub fn run(kind: Kind, to: SocketAddr, connections: usize, span: Duration) -> Outcome {
    net::raise_files();
    let request = request(kind);
    let mut poller = net::Poller::new();
    let mut outcome = Outcome::default();
    let mut conns: Vec<Conn> = Vec::new();
    let begin = Instant::now();
    for token in 0..connections {
        let mut conn = open(&poller, to, token).expect("connect to the proxy");
        send(&mut conn, &request, &poller, token);
        conns.push(conn);
    }
    let mut scratch = vec![0u8; 256 * 1024];
    while begin.elapsed() < span {
        for (token, writable) in poller.wait(Duration::from_millis(100)) {
            let token = token as usize;
            if writable {
                send(&mut conns[token], &request, &poller, token);
            }
            match answer(&mut conns[token], &mut scratch) {
                Step::More => continue,
                Step::Done => {
                    outcome.requests += 1;
                    outcome.micros.push(net::micros(conns[token].begun));
                    if kind == Kind::Close {
                        reopen(&mut conns[token], &poller, to, token, &mut outcome);
                    }
                }
                Step::Broken => {
                    outcome.errors += 1;
                    reopen(&mut conns[token], &poller, to, token, &mut outcome);
                }
            }
            let conn = &mut conns[token];
            (conn.begun, conn.sent, conn.left) = (Instant::now(), 0, None);
            conn.input.clear();
            send(conn, &request, &poller, token);
        }
    }
    outcome.seconds = begin.elapsed().as_secs_f64();
    outcome
}

fn reopen(
    conn: &mut Conn,
    poller: &net::Poller,
    to: SocketAddr,
    token: usize,
    outcome: &mut Outcome,
) {
    match open(poller, to, token) {
        Ok(fresh) => *conn = fresh,
        Err(_) => outcome.errors += 1,
    }
}

fn send(conn: &mut Conn, request: &[u8], poller: &net::Poller, token: usize) {
    while conn.sent < request.len() {
        match net::write(&conn.stream, &request[conn.sent..]) {
            Ok(0) | Err(_) => break,
            Ok(n) => conn.sent += n,
        }
    }
    let more = conn.sent < request.len();
    if conn.watched != more {
        conn.watched = more;
        poller.modify(&conn.stream, token as u64, more);
    }
}

enum Step {
    More,
    Done,
    Broken,
}

/// Reads what is there of the answer.
fn answer(conn: &mut Conn, scratch: &mut [u8]) -> Step {
    if let Some(left) = conn.left {
        let limit = left.min(scratch.len());
        return match net::read(&conn.stream, &mut scratch[..limit], true) {
            None => Step::More,
            Some(Ok(n)) if n > 0 => finish(conn, left - n),
            Some(_) => Step::Broken,
        };
    }
    match net::read(&conn.stream, &mut scratch[..16384], false) {
        None => return Step::More,
        Some(Ok(n)) if n > 0 => conn.input.extend_from_slice(&scratch[..n]),
        Some(_) => return Step::Broken,
    }
    let Some((end, length)) = net::head(&conn.input) else { return Step::More };
    if !conn.input.starts_with(b"HTTP/1.1 200") {
        return Step::Broken;
    }
    finish(conn, (end + length).saturating_sub(conn.input.len()))
}

fn finish(conn: &mut Conn, left: usize) -> Step {
    conn.left = Some(left);
    if left == 0 { Step::Done } else { Step::More }
}
