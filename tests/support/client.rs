//! A client of raw bytes, and a reader of responses that shares no code with the proxy: it is the
//! other opinion on what was sent.

use super::wait::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A connection of either family.
pub enum Wire {
    /// TCP.
    Tcp(TcpStream),
    /// Unix stream.
    Unix(UnixStream),
}

impl Read for &Wire {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Wire::Tcp(stream) => (&mut &*stream).read(into),
            Wire::Unix(stream) => (&mut &*stream).read(into),
        }
    }
}

impl Write for &Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Wire::Tcp(stream) => (&mut &*stream).write(bytes),
            Wire::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One side of a connection, with what was read and not yet used.
pub struct Client {
    /// The socket.
    pub wire: Wire,
    unread: Vec<u8>,
}

/// A response (or, for origins, a request) as read from the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The first line without its end.
    pub line: String,
    /// Fields in order, names as sent.
    pub fields: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Fields behind a chunked body.
    pub trailers: Vec<(String, String)>,
    /// Whether the body came in chunks.
    pub chunked: bool,
}

impl Message {
    /// The status of a response.
    #[track_caller]
    pub fn status(&self) -> u16 {
        let word = self.line.split(' ').nth(1).unwrap_or("");
        word.parse().unwrap_or_else(|_| panic!("no status in {:?}", self.line))
    }

    /// The only value of a field; fails when it stands twice.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} stands {} times: {all:?}", all.len());
        all.first().copied()
    }

    /// All values of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let of_name = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        of_name.map(|(_, v)| v.as_str()).collect()
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

impl Client {
    /// Connects by TCP.
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Client {
        let stream = TcpStream::connect(to).unwrap_or_else(|e| panic!("connect to {to}: {e}"));
        Client::over_tcp(stream)
    }

    /// Takes over a TCP connection.
    pub fn over_tcp(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { wire: Wire::Tcp(stream), unread: Vec::new() }
    }

    /// Connects to a unix socket.
    #[track_caller]
    pub fn connect_unix(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        Client::over_unix(stream)
    }

    /// Takes over a unix connection.
    pub fn over_unix(stream: UnixStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { wire: Wire::Unix(stream), unread: Vec::new() }
    }

    /// Reads fail after this long.
    pub fn patience(&self, limit: Duration) {
        match &self.wire {
            Wire::Tcp(stream) => stream.set_read_timeout(Some(limit)).unwrap(),
            Wire::Unix(stream) => stream.set_read_timeout(Some(limit)).unwrap(),
        }
    }

    /// Waits so long for bytes; true when none came and the connection still stands.
    pub fn quiet_for(&mut self, span: Duration) -> bool {
        self.patience(span);
        let quiet = self.unread.is_empty() && self.more().is_err();
        self.patience(PATIENCE);
        quiet
    }

    /// Sends bytes; fails when they do not go.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        (&self.wire).write_all(bytes.as_ref()).expect("send");
    }

    /// Sends bytes; tells whether they went.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        (&self.wire).write_all(bytes.as_ref()).is_ok()
    }

    /// Ends the sending direction.
    pub fn shut(&self) {
        let _ = match &self.wire {
            Wire::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Wire::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Ends with a reset instead of a FIN.
    pub fn reset(self) {
        if let Wire::Tcp(stream) = &self.wire {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &linger)
                .expect("linger");
        }
    }

    /// More bytes into `unread`; 0 at the end. A reset counts as the end.
    fn more(&mut self) -> std::io::Result<usize> {
        let mut scratch = [0u8; 65536];
        match (&self.wire).read(&mut scratch) {
            Ok(n) => {
                self.unread.extend_from_slice(&scratch[..n]);
                Ok(n)
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// Reads a line without its CRLF; `None` at the end of the connection.
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.more().expect("a line within the patience") == 0 {
                return None;
            }
        }
    }

    /// Reads exactly so many bytes.
    #[track_caller]
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            let n = self.more().expect("bytes within the patience");
            assert!(n > 0, "closed after {} of {count} bytes", self.unread.len());
        }
        self.unread.drain(..count).collect()
    }

    /// Reads exactly so many bytes and drops them.
    #[track_caller]
    pub fn discard(&mut self, count: u64) {
        let here = (self.unread.len() as u64).min(count);
        self.unread.drain(..here as usize);
        let mut left = count - here;
        let mut scratch = vec![0u8; 256 * 1024];
        while left > 0 {
            let limit = scratch.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = (&self.wire).read(&mut scratch[..limit]).expect("bytes within the patience");
            assert!(n > 0, "closed with {left} bytes to come");
            left -= n as u64;
        }
    }

    /// Reads to the end of the connection.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more().expect("an end within the patience") > 0 {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the peer has closed and nothing is left to read.
    #[track_caller]
    pub fn assert_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "unexpected: {:?}", String::from_utf8_lossy(&rest));
    }

    /// Reads fields to the empty line.
    #[track_caller]
    fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().expect("a field line");
            if line.is_empty() {
                return fields;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("field {line:?}"));
            fields.push((name.to_string(), value.trim().to_string()));
        }
    }

    /// Reads the head of a message; `None` when the connection ends before its first byte.
    #[track_caller]
    pub fn head(&mut self) -> Option<Message> {
        let line = self.line()?;
        let fields = self.fields();
        Some(Message { line, fields, body: Vec::new(), trailers: Vec::new(), chunked: false })
    }

    /// Reads the body that belongs to `message`. Without framing a response goes to the end of the
    /// connection, a request has none.
    #[track_caller]
    pub fn body(&mut self, message: &mut Message) {
        let coding = message.field("transfer-encoding").map(str::to_ascii_lowercase);
        let length = message.field("content-length").map(|l| l.parse::<usize>().expect("length"));
        if let Some(coding) = coding {
            assert_eq!(coding, "chunked");
            assert!(length.is_none(), "both framings at once: {message:?}");
            message.chunked = true;
            loop {
                let size = self.line().expect("a chunk size");
                let digits = size.split(';').next().unwrap_or("");
                let count = usize::from_str_radix(digits, 16).expect("a chunk size");
                if count == 0 {
                    message.trailers = self.fields();
                    return;
                }
                let bytes = self.exactly(count);
                message.body.extend_from_slice(&bytes);
                assert_eq!(self.exactly(2), b"\r\n", "the end of a chunk");
            }
        }
        match length {
            Some(count) => message.body = self.exactly(count),
            None if message.line.starts_with("HTTP/") => message.body = self.rest(),
            None => {}
        }
    }

    /// Reads a whole response to a request with this method. Interim ones are returned as they come.
    #[track_caller]
    pub fn response(&mut self, method: &str) -> Message {
        let mut message = self.head().expect("a response, not the end of the connection");
        let status = message.status();
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        if !bodiless {
            self.body(&mut message);
        }
        message
    }

    /// Reads a whole request; `None` at the end of the connection.
    #[track_caller]
    pub fn request(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        self.body(&mut message);
        Some(message)
    }

    /// A GET on this connection, and its response.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Message {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n"));
        self.response("GET")
    }
}

/// A GET on a connection of its own.
#[track_caller]
pub fn get(to: SocketAddr, path: &str) -> Message {
    Client::connect(to).get(path)
}
