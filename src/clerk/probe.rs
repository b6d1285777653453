//! One probe of one backend: connect, ask, judge. Blocks, within its time.

use crate::base::buf::{Buf, BufPool};
use crate::base::clock::{Clock, Time};
use crate::ipc::{ProbeKind, ProbeResult, ProbeTarget};
use crate::msg::Head;
use crate::proto::h1::{Conn, Limits};
use crate::proto::{Event, Role};
use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The longest a probe may take, whatever is asked.
const LONGEST: Duration = Duration::from_secs(60);

/// A probe that failed.
pub fn failed(why: &(impl Display + ?Sized)) -> ProbeResult {
    ProbeResult { healthy: false, status: 0, micros: 0, detail: why.to_string() }
}

/// Runs a probe.
pub fn run(target: &ProbeTarget) -> ProbeResult {
    let begun = Clock::now();
    let deadline = begun.after(Duration::from_millis(target.timeout_ms).min(LONGEST));
    let outcome = connect(&target.address, deadline).and_then(|mut stream| match &target.kind {
        ProbeKind::Connect => Ok(None),
        ProbeKind::Get { path } => ask(&mut stream, &target.host, path, deadline).map(Some),
    });
    let micros = Clock::now().since(begun).as_micros() as u64;
    match outcome {
        Ok(None) => {
            ProbeResult { healthy: true, status: 0, micros, detail: "connected".to_owned() }
        }
        Ok(Some(status)) => {
            let detail = format!("answered {status}");
            ProbeResult { healthy: status < 500, status, micros, detail }
        }
        Err(error) => ProbeResult { micros, ..failed(&explain(&error)) },
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        _ => error.to_string(),
    }
}

/// A connection of either kind.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// The next call may take until `deadline`.
    fn allow(&self, deadline: Time) -> io::Result<()> {
        let left = left(deadline)?;
        match self {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.set_write_timeout(Some(left))
            }
        }
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(space),
            Stream::Unix(stream) => stream.read(space),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }
}

/// Time left, or `TimedOut`.
fn left(deadline: Time) -> io::Result<Duration> {
    let left = deadline.since(Clock::now());
    if left < Duration::from_millis(1) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn connect(address: &str, deadline: Time) -> io::Result<Stream> {
    if let Some(path) = address.strip_prefix("unix:") {
        return UnixStream::connect(path).map(Stream::Unix);
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, left(deadline)?) {
            Ok(stream) => return Ok(Stream::Tcp(stream)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Sends a GET and returns the status of the final response.
fn ask(stream: &mut Stream, host: &str, path: &str, deadline: Time) -> io::Result<u16> {
    let mut pool = BufPool::new(2);
    let (mut input, mut out) = (Buf::new(), Buf::new());
    let mut conn = Conn::new(Role::Client);
    let mut head = Head::default();
    head.set_request(b"GET", path.as_bytes(), host.as_bytes()).map_err(invalid)?;
    head.push(b"user-agent", concat!("cloudcup-probe/", env!("CARGO_PKG_VERSION")).as_bytes())
        .map_err(invalid)?;
    if !out.reserve(&mut pool) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    conn.send_head(&head, &mut out).map_err(invalid)?;
    conn.finish(None, &mut out).map_err(invalid)?;
    stream.allow(deadline)?;
    stream.write_all(out.data())?;
    let limits = Limits::new();
    loop {
        match conn.poll(&mut input, &mut head, &limits).map_err(invalid)? {
            Event::Head => return Ok(head.status()),
            Event::Interim => head.clear(),
            Event::NeedMore => {
                stream.allow(deadline)?;
                let count = stream.read(input.space(&mut pool))?;
                if count == 0 {
                    let text = "closed without an answer";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                input.commit(count);
            }
            other => return Err(invalid(format!("{other:?} before a response"))),
        }
    }
}

fn invalid(what: impl fmt::Debug) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no valid HTTP: {what:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    fn target(address: String, kind: ProbeKind) -> ProbeTarget {
        ProbeTarget { address, host: "backend".to_owned(), kind, timeout_ms: 2_000 }
    }

    fn get(address: String) -> ProbeTarget {
        target(address, ProbeKind::Get { path: "/healthz".to_owned() })
    }

    /// Answers one connection with fixed bytes and returns what was asked.
    fn answer(mut stream: impl Read + Write, bytes: &[u8]) -> String {
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
            asked.push(byte[0]);
        }
        // The probe may have left already.
        let _ = stream.write_all(bytes);
        String::from_utf8(asked).unwrap()
    }

    fn probe_tcp(bytes: &'static [u8]) -> (ProbeResult, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || answer(listener.accept().unwrap().0, bytes));
        let result = run(&get(address));
        (result, server.join().unwrap())
    }

    #[test]
    fn a_final_status_is_judged() {
        let (result, asked) =
            probe_tcp(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!((result.healthy, result.status), (true, 204), "{}", result.detail);
        assert!(asked.starts_with("GET /healthz HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("host: backend\r\n"), "{asked}");
        let (result, _) = probe_tcp(b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n");
        assert_eq!((result.healthy, result.status), (false, 503));
    }

    #[test]
    fn nonsense_and_silence_are_failures() {
        let (result, _) = probe_tcp(b"SSH-2.0-hello\r\n\r\n");
        assert!(!result.healthy && result.detail.contains("no valid HTTP"), "{}", result.detail);
        let (result, _) = probe_tcp(b"");
        assert!(!result.healthy && result.detail.contains("closed"), "{}", result.detail);
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut target = get(silent.local_addr().unwrap().to_string());
        target.timeout_ms = 50;
        assert_eq!(run(&target).detail, "no answer in time");
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(run(&get(gone.to_string())).detail, "connection refused");
    }

    #[test]
    fn unix_sockets_and_bare_connects() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let address = format!("unix:{}", path.display());
        assert!(run(&target(address.clone(), ProbeKind::Connect)).healthy);
        let server = std::thread::spawn(move || {
            // The first connection is the bare one.
            drop(listener.accept().unwrap());
            answer(listener.accept().unwrap().0, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        });
        assert_eq!(run(&get(address)).status, 200);
        server.join().unwrap();
        assert_eq!(run(&get("unix:/no/such".to_owned())).detail, "no such socket");
    }
}
