//! Scripted origins: a listener whose connections are each served by a function that reads and writes
//! raw bytes. What it saw can be asked for afterwards.

use super::client::{Client, Message};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A running origin. Its threads end when their connections do.
pub struct Origin {
    /// What stands in a configuration: `127.0.0.1:PORT` or `unix:/path`.
    pub address: String,
    shared: Arc<Shared>,
    wake: Wake,
}

enum Wake {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    connections: AtomicUsize,
    requests: Mutex<Vec<Message>>,
}

/// A connection to an origin, in its script's hands.
pub struct Guest {
    /// The connection.
    pub client: Client,
    /// Which connection this is, from 0.
    pub number: usize,
    shared: Arc<Shared>,
}

impl Guest {
    /// Reads the next whole request and notes it; `None` at the end of the connection.
    #[track_caller]
    pub fn request(&mut self) -> Option<Message> {
        let request = self.client.request()?;
        self.shared.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Sends bytes, without complaint when the proxy has gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.try_send(bytes);
    }
}

/// The bytes of a plain answer.
pub fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

impl Origin {
    /// An origin at a free port of 127.0.0.1.
    pub fn start(script: impl Fn(Guest) + Send + Sync + 'static) -> Origin {
        Origin::at("127.0.0.1:0".parse().unwrap(), script)
    }

    /// An origin at this address.
    pub fn at(address: SocketAddr, script: impl Fn(Guest) + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind(address).expect("bind an origin");
        let address = listener.local_addr().unwrap();
        let accept = move || listener.accept().map(|(stream, _)| Client::over_tcp(stream));
        Origin::run(address.to_string(), Wake::Tcp(address), accept, script)
    }

    /// An origin at a unix socket.
    pub fn unix(path: &Path, script: impl Fn(Guest) + Send + Sync + 'static) -> Origin {
        let listener = UnixListener::bind(path).expect("bind an origin");
        let accept = move || listener.accept().map(|(stream, _)| Client::over_unix(stream));
        let address = format!("unix:{}", path.display());
        Origin::run(address, Wake::Unix(path.to_path_buf()), accept, script)
    }

    /// An origin that answers each request with its own word.
    pub fn saying(word: &str) -> Origin {
        let word = word.to_string();
        Origin::start(move |mut guest| {
            while guest.request().is_some() {
                guest.send(answer(&word));
            }
        })
    }

    fn run(
        address: String,
        wake: Wake,
        accept: impl Fn() -> std::io::Result<Client> + Send + 'static,
        script: impl Fn(Guest) + Send + Sync + 'static,
    ) -> Origin {
        let shared = Arc::new(Shared::default());
        let script = Arc::new(script);
        let state = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Ok(client) = accept() {
                if state.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let number = state.connections.fetch_add(1, Ordering::SeqCst);
                let guest = Guest { client, number, shared: Arc::clone(&state) };
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(guest));
            }
        });
        Origin { address, shared, wake }
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Whole requests so far.
    pub fn requests(&self) -> Vec<Message> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The last whole request.
    #[track_caller]
    pub fn last(&self) -> Message {
        self.requests().pop().expect("the origin saw a request")
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The listener wakes up, sees that it is over, and closes.
        match &self.wake {
            Wake::Tcp(address) => drop(std::net::TcpStream::connect(address)),
            Wake::Unix(path) => drop(std::os::unix::net::UnixStream::connect(path)),
        }
    }
}
