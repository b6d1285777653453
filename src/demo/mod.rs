//! The embedded backends of `cloudcup --demo`: one small HTTP/1.1 server in a process of its own.
//!
//! What it is: something to proxy to, which says who answered and what it was asked. What it is not: a
//! server for anything else; it keeps a thread per connection, up to a bound.

use crate::base::buf::{Buf, BufPool};
use crate::ipc::{FromDemo, Hello, Link, LinkError, PROTOCOL, Role as Program, ToDemo};
use crate::msg::{BodySize, Head};
use crate::proto::h1::{Conn, Limits};
use crate::proto::{Event, Role};
use crate::sys::{poll, socket};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Most connections at one time.
const MAX_CONNECTIONS: usize = 256;
/// An idle connection is closed after this time.
const IDLE: Duration = Duration::from_secs(60);
/// Time-out of waits that something else will end.
const LONG: Duration = Duration::from_secs(3600);

/// Serves over its link until the master has gone.
pub fn main(link: OwnedFd) -> ExitCode {
    match listen(&mut Link::new(link)) {
        Ok(()) | Err(LinkError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the demo's backend ends: {error}");
            ExitCode::from(1)
        }
    }
}

fn listen(link: &mut Link) -> Result<(), LinkError> {
    loop {
        poll::wait_ready(link.as_fd(), false, LONG)?;
        while let Some(mut received) = link.receive::<ToDemo>()? {
            match received.message {
                ToDemo::Hello(_) => link.post(&FromDemo::Hello(hello()), Vec::new())?,
                ToDemo::Serve(backends) => {
                    for backend in backends {
                        let socket = received.fds.take(backend.socket)?;
                        let name = backend.name;
                        std::thread::Builder::new().spawn(move || serve(&name, &socket))?;
                    }
                    link.post(&FromDemo::Ready, Vec::new())?;
                }
            }
        }
    }
}

fn hello() -> Hello {
    Hello {
        role: Program::Demo,
        protocol: PROTOCOL,
        board_version: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        slot: 0,
        generation: 0,
        serial: 0,
    }
}

/// Accepts for ever.
fn serve(name: &str, listener: &OwnedFd) {
    let name: Arc<str> = Arc::from(name);
    let open = Arc::new(AtomicUsize::new(0));
    let answered = Arc::new(AtomicU64::new(0));
    loop {
        // Whatever ends the wait: accept tells.
        let _ready = poll::wait_ready(listener.as_fd(), false, LONG);
        let Ok(accepted) = socket::accept(listener.as_fd()) else { continue };
        if open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (name, open_here, answered) =
            (Arc::clone(&name), Arc::clone(&open), Arc::clone(&answered));
        let started = std::thread::Builder::new().stack_size(256 * 1024).spawn(move || {
            // A client that goes away or talks nonsense is nobody's loss here.
            let _ended = converse(TcpStream::from(accepted.fd), &name, &answered);
            open_here.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Answers the requests of one connection.
fn converse(mut stream: TcpStream, name: &str, answered: &AtomicU64) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut pool = BufPool::new(2);
    let (mut input, mut out) = (Buf::new(), Buf::new());
    let mut conn = Conn::new(Role::Server);
    let mut head = Head::default();
    let mut asked = String::new();
    let limits = Limits::new();
    loop {
        match conn.poll(&mut input, &mut head, &limits).map_err(invalid)? {
            Event::Head => {
                asked = describe(&head);
                if head.expect_continue && out.reserve(&mut pool) {
                    conn.send_continue(&mut out).map_err(invalid)?;
                    stream.write_all(out.data())?;
                    out.clear();
                }
            }
            Event::Body(count) => conn.take_body(count, &mut input),
            Event::End => {
                let number = answered.fetch_add(1, Ordering::Relaxed) + 1;
                respond(&mut conn, &mut head, &mut out, &mut pool, name, number, &asked)?;
                stream.write_all(out.data())?;
                out.clear();
                if conn.is_over() {
                    return Ok(());
                }
            }
            Event::NeedMore => {
                let count = stream.read(input.space(&mut pool))?;
                if count == 0 {
                    return Ok(());
                }
                input.commit(count);
            }
            Event::Trailers | Event::Interim | Event::Paused => {}
            Event::Switched | Event::Closed => return Ok(()),
        }
    }
}

/// What the answer tells about the request.
fn describe(head: &Head) -> String {
    let mut text = format!(
        "you asked: {} {} (host {})\n",
        String::from_utf8_lossy(head.method_text()).escape_debug(),
        String::from_utf8_lossy(head.target()).escape_debug(),
        String::from_utf8_lossy(head.host()).escape_debug(),
    );
    for name in ["x-forwarded-for", "x-request-id", "via"] {
        if let Some(value) = head.get(name.as_bytes()) {
            let value = String::from_utf8_lossy(value);
            text.push_str(&format!("{name}: {}\n", value.escape_debug()));
        }
    }
    text
}

fn respond(
    conn: &mut Conn,
    head: &mut Head,
    out: &mut Buf,
    pool: &mut BufPool,
    name: &str,
    number: u64,
    asked: &str,
) -> io::Result<()> {
    let body = format!("Hello from the {name} backend, answer number {number}.\n{asked}");
    let body = body.as_bytes().get(..8_000).unwrap_or(body.as_bytes());
    head.clear();
    head.set_response(200);
    head.push(b"content-type", b"text/plain; charset=utf-8").map_err(invalid)?;
    head.push(b"x-backend", name.as_bytes()).map_err(invalid)?;
    head.body = BodySize::Exact(body.len() as u64);
    if !out.reserve(pool) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    conn.send_head(head, out).map_err(invalid)?;
    let taken = conn.send_body(body, out).map_err(invalid)?;
    if taken < body.len() {
        return Err(invalid("an answer larger than a block"));
    }
    conn.finish(None, out).map_err(invalid)
}

fn invalid(what: impl std::fmt::Debug) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn it_answers_several_requests_of_one_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().unwrap().0;
        let server = std::thread::spawn(move || converse(stream, "green", &AtomicU64::new(0)));
        client
            .write_all(
                b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc\
                  GET /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            )
            .unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        server.join().unwrap().unwrap();
        assert!(text.contains("the green backend, answer number 1."), "{text}");
        assert!(text.contains("you asked: POST /a (host x)"), "{text}");
        assert!(text.contains("answer number 2."), "{text}");
        assert!(text.to_lowercase().contains("connection: close"), "{text}");
    }
}
