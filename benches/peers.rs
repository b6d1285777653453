//! Cloud Cup beside its peers: one driver, which starts a backend and a load on core 1 and the proxies
//! on core 0, takes turns over several rounds, and prints medians, spreads and ratios. Steer by CPU
//! per request: it repeats within a few per cent, requests per second do not. `benches/run` is the
//! way to start it.

#[path = "peers/accept.rs"]
mod accept;
#[path = "peers/backend.rs"]
mod backend;
#[path = "peers/cases.rs"]
mod cases;
#[path = "peers/load.rs"]
mod load;
#[path = "peers/net.rs"]
mod net;
#[path = "peers/open.rs"]
mod open;
#[path = "peers/proc.rs"]
mod proc;
#[path = "peers/proxies.rs"]
mod proxies;
#[path = "peers/stats.rs"]
mod stats;

use load::Kind;
use stats::Outcome;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What the command line asked for.
pub struct Options {
    /// Cases to run; empty = all.
    pub cases: Vec<String>,
    /// Proxies to run; empty = all.
    pub only: Vec<String>,
    /// Rounds of each case.
    pub rounds: usize,
    /// Length of one measurement.
    pub seconds: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["role-backend", delay, stall] => {
            net::pin(1);
            let micros = |text: &str| Duration::from_micros(text.parse().expect("a number"));
            backend::serve(&backend::Manner { delay: micros(delay), stall: micros(stall) });
        }
        ["role-load", rest @ ..] => role_load(rest),
        _ => cases::run(&options(&words)),
    }
}

fn options(words: &[&str]) -> Options {
    let mut options = Options { cases: Vec::new(), only: Vec::new(), rounds: 7, seconds: 4.0 };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().map(ToString::to_string).unwrap_or_default();
        match *word {
            "--case" => options.cases.extend(value().split(',').map(str::to_string)),
            "--only" => options.only.extend(value().split(',').map(str::to_string)),
            "--rounds" => options.rounds = value().parse().unwrap_or(7),
            "--seconds" => options.seconds = value().parse().unwrap_or(4.0),
            "--list" => {
                cases::list();
                std::process::exit(0);
            }
            other => {
                eprintln!("unknown option {other}: --case --only --rounds --seconds --list");
                std::process::exit(2);
            }
        }
    }
    options
}

/// The load process: `KIND ADDRESS CONNECTIONS SECONDS [RATE]`, pinned to core 1.
fn role_load(words: &[&str]) {
    net::pin(1);
    let [kind, address, connections, seconds, rate @ ..] = words else {
        panic!("role-load KIND ADDRESS CONNECTIONS SECONDS [RATE]")
    };
    let address: SocketAddr = address.parse().expect("address");
    let connections = connections.parse().expect("connections");
    let span = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let kind = match *kind {
        "keep" => Kind::Keep,
        "close" => Kind::Close,
        "large" => Kind::Large,
        "post" => Kind::Post,
        "open" => {
            let rate = rate.first().and_then(|r| r.parse().ok()).expect("rate");
            println!("{}", open::run(address, rate, connections, span).line());
            return;
        }
        other => panic!("unknown load {other}"),
    };
    println!("{}", load::run(kind, address, connections, span).line());
}

/// A process of this program in another role.
fn role(arguments: &[String]) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().expect("start a role")
}

/// A backend, which dies with this value.
pub struct Backend {
    child: Child,
    /// Where it listens on loopback.
    pub port: u16,
}

impl Backend {
    /// Starts one.
    pub fn start(delay: Duration, stall: Duration) -> Backend {
        let micros = |span: Duration| span.as_micros().to_string();
        let mut child = role(&["role-backend".into(), micros(delay), micros(stall)]);
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("the backend's port");
        let port = line.trim().rsplit(' ').next().and_then(|p| p.parse().ok()).expect("a port");
        Backend { child, port }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a load to its end.
pub fn load_of(kind: &str, to: SocketAddr, connections: usize, seconds: f64, rate: u32) -> Outcome {
    let words = [kind, &to.to_string(), &connections.to_string(), &seconds.to_string()];
    let mut arguments = vec!["role-load".to_string()];
    arguments.extend(words.iter().map(ToString::to_string));
    arguments.push(rate.to_string());
    let mut child = role(&arguments);
    let mut text = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut text).expect("output");
    let _ = child.wait();
    Outcome::parse(&text).unwrap_or_else(|| panic!("the load said {text:?}"))
}

/// One GET on a connection of its own; the whole answer.
pub fn ask_once(to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&load::request(Kind::Close))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
