//! The demo: two embedded backends, their configuration, and what is printed about them.
//!
//! The backends are processes of their own, so that stopping one shows the failover. One that was
//! stopped comes back by itself after a while.

use super::child;
use super::run::Master;
use super::watch::{Helper, Source, Watch};
use crate::base::clock::{Clock, Time};
use crate::ipc::{DemoBackend, FdIndex, FromDemo, Link, ToDemo};
use crate::sys::process::{self, Spawned};
use crate::sys::socket;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A stopped backend stays away for this long.
const ABSENCE: Duration = Duration::from_secs(15);
/// First port to try for the proxy, and how many after it.
const FIRST_PORT: u16 = 8080;
const PORTS: u16 = 200;
/// Names of the backends.
const NAMES: [&str; 2] = ["green", "blue"];

/// The demo's processes.
#[derive(Debug)]
pub struct Showcase {
    port: u16,
    backends: Vec<Backend>,
    /// Where cupctl finds us.
    pub control: PathBuf,
    said: bool,
}

#[derive(Debug)]
struct Backend {
    name: &'static str,
    address: SocketAddr,
    helper: Option<Helper>,
    back_at: Option<Time>,
}

impl Showcase {
    /// Finds free ports and writes the configuration.
    pub fn new(control: PathBuf) -> io::Result<(Showcase, String)> {
        let port = free_port()?;
        let mut backends = Vec::new();
        for name in NAMES {
            let probe = socket::listen_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false)?;
            let socket::Address::Inet(address) = socket::local_address(probe.as_fd())? else {
                return Err(io::Error::other("a TCP socket without an address"));
            };
            backends.push(Backend { name, address, helper: None, back_at: None });
        }
        let address = |index: usize| {
            backends.get(index).map(|backend| backend.address.to_string()).unwrap_or_default()
        };
        let document = serde_json::json!({
            "listeners": { "http": { "address": format!("127.0.0.1:{port}") } },
            "routes": {
                "*": { "pool": "cups" },
                "/green/*": { "backends": [{ "address": address(0) }] },
                "/blue/*": { "backends": [{ "address": address(1) }] },
                "/old/*": { "redirect": { "to": "/green/", "status": 307 } },
                "/teapot": { "respond": { "status": 418, "body": "a cup, not a teapot\n" } },
            },
            "pools": { "cups": { "backends": [
                { "address": address(0), "max_failures": 1 },
                { "address": address(1), "max_failures": 1 },
            ] } },
            "log": { "access": "off" },
        });
        let text = serde_json::to_string_pretty(&document).map_err(io::Error::other)?;
        Ok((Showcase { port, backends, control, said: false }, text))
    }

    /// Starts the backends.
    pub fn start(&mut self, program: &Path, watch: &mut Watch) -> io::Result<()> {
        for index in 0..self.backends.len() {
            self.start_one(index, program, watch)?;
        }
        Ok(())
    }

    fn start_one(&mut self, index: usize, program: &Path, watch: &mut Watch) -> io::Result<()> {
        let Some(backend) = self.backends.get_mut(index) else { return Ok(()) };
        backend.back_at = None;
        // Bound anew each time and not kept: a stopped backend must refuse, not let clients wait.
        let listener: OwnedFd = socket::listen_tcp(backend.address, false)?;
        let (mut link, theirs) = Link::pair()?;
        let spawned = process::spawn(program, &child::arguments("demo"), theirs)?;
        let tokens = (
            watch.add(link.as_fd(), Source::DemoLink(index))?,
            watch.add(spawned.pidfd.as_fd(), Source::DemoEnd(index))?,
        );
        let serve = DemoBackend { name: backend.name.to_owned(), socket: FdIndex(0) };
        link.post(&ToDemo::Hello(child::hello(0)), Vec::new()).map_err(io::Error::other)?;
        link.post(&ToDemo::Serve(vec![serve]), vec![listener]).map_err(io::Error::other)?;
        let Spawned { pid, pidfd } = spawned;
        backend.helper = Some(Helper { pid, pidfd, link, tokens });
        Ok(())
    }

    /// What is printed once all serve.
    fn words(&self) -> String {
        let port = self.port;
        let url = format!("http://127.0.0.1:{port}");
        let control = self.control.display();
        let cupctl = cupctl();
        let pid = |index: usize| {
            let helper = self.backends.get(index).and_then(|backend| backend.helper.as_ref());
            helper.map_or(0, |helper| helper.pid)
        };
        format!(
            "
Cloud Cup demo: {url}

  routes   *          two backends in turn, \"green\" and \"blue\"
           /green/*   green only
           /blue/*    blue only
           /old/*     a redirect
           /teapot    an answer from the proxy itself

  try      curl {url}/
           curl -i {url}/old/
           {cupctl} --address unix:{control} show backends
           {cupctl} --address unix:{control} why {url}/green/
           kill {}    (stops green: every request goes to blue; green is back after {} s)

Ctrl-C stops it.
",
            pid(0),
            ABSENCE.as_secs()
        )
    }
}

/// How to call cupctl: by its name where the shell finds it, else by the path beside this program.
fn cupctl() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).any(|folder| folder.join("cupctl").is_file());
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name("cupctl"));
    match beside {
        Some(beside) if !known && beside.is_file() => beside.display().to_string(),
        _ => "cupctl".to_owned(),
    }
}

/// The first port from 8080 on that nobody listens at.
fn free_port() -> io::Result<u16> {
    let mut last = None;
    for port in FIRST_PORT..FIRST_PORT + PORTS {
        match socket::listen_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), false) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("no free port")))
}

impl Master {
    /// Prints the demo's words, once.
    pub(super) fn say_demo(&mut self) {
        let Some(showcase) = &mut self.showcase else { return };
        if !std::mem::replace(&mut showcase.said, true) {
            let words = showcase.words();
            // A closed standard output is no reason to stop.
            let _closed = io::stdout().write_all(words.as_bytes());
        }
    }

    pub(super) fn hear_demo(&mut self, index: usize) {
        let Some(showcase) = &mut self.showcase else { return };
        let Some(backend) = showcase.backends.get_mut(index) else { return };
        let Some(helper) = &mut backend.helper else { return };
        let flushed = helper.link.flush();
        while let (Ok(()), Ok(Some(received))) = (&flushed, helper.link.receive::<FromDemo>()) {
            match received.message {
                FromDemo::Hello(_) => {}
                FromDemo::Ready => tracing::debug!(backend = backend.name, "backend serves"),
            }
        }
    }

    pub(super) fn bury_demo(&mut self, index: usize) {
        let stopping = self.supervisor.is_stopping();
        let Some(showcase) = &mut self.showcase else { return };
        let Some(backend) = showcase.backends.get_mut(index) else { return };
        let Some(helper) = backend.helper.take() else { return };
        let exit = process::reap(helper.pidfd.as_fd());
        self.watch.remove(helper.link.as_fd(), helper.tokens.0);
        self.watch.remove(helper.pidfd.as_fd(), helper.tokens.1);
        if !stopping {
            let seconds = ABSENCE.as_secs();
            let name = backend.name;
            tracing::info!("the demo's backend {name} ended ({exit}); it is back in {seconds} s");
            backend.back_at = Some(Clock::now().after(ABSENCE));
        }
    }

    pub(super) fn tick_demo(&mut self, now: Time) {
        let Some(showcase) = &mut self.showcase else { return };
        for index in 0..showcase.backends.len() {
            let due = showcase.backends.get(index).and_then(|backend| backend.back_at);
            if due.is_some_and(|at| at <= now)
                && let Err(error) = showcase.start_one(index, &self.program, &mut self.watch)
            {
                tracing::warn!(%error, "cannot start a backend of the demo");
                if let Some(backend) = showcase.backends.get_mut(index) {
                    backend.back_at = Some(now.after(Duration::from_secs(1)));
                }
            }
        }
    }
}
