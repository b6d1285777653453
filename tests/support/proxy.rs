//! A Cloud Cup in a folder of its own: started with passed sockets as systemd would, watched over its
//! notify socket, asked by `cupctl`, and ended with all of its processes.

use super::store::Store;
use super::wait::{self, PATIENCE, until};
use cloudcup::sys::{message, poll};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Inherited descriptors are the process's, not the thread's: one start at a time.
static STARTING: Mutex<()> = Mutex::new(());

/// Gives the sockets their places from 3 on and their owner's number, then becomes the program.
const HAND_OVER: &str = r#"n=3
for f in $PASSED; do eval "exec $n<&$f $f<&-"; n=$((n+1)); done
[ $n = 3 ] || export LISTEN_PID=$$ LISTEN_FDS=$((n-3))
unset PASSED
exec "$@""#;

/// A passed socket, kept open so that it outlives restarts as systemd's does.
enum Passed {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What a proxy is started with.
pub struct Setup {
    config: String,
    sockets: Vec<(String, Passed)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: tempfile::TempDir,
    store: Option<Store>,
}

impl Setup {
    /// A proxy with one TCP socket called `http` on loopback and this configuration.
    pub fn new(config: &str) -> Setup {
        Setup::bare(config).tcp("http", "127.0.0.1:0")
    }

    /// A proxy without passed sockets.
    pub fn bare(config: &str) -> Setup {
        let folder = tempfile::Builder::new().prefix("cloudcup-").tempdir().expect("a folder");
        let (sockets, arguments, environment) = Default::default();
        let (config, store) = (config.to_string(), None);
        Setup { config, sockets, arguments, environment, folder, store }
    }

    /// Passes one more TCP socket by this name.
    pub fn tcp(mut self, name: &str, address: &str) -> Setup {
        let listener = TcpListener::bind(address).expect("bind");
        listener.set_nonblocking(true).unwrap();
        self.sockets.push((name.to_string(), Passed::Tcp(listener)));
        self
    }

    /// Passes one more unix socket by this name; its path is `NAME.sock` in the folder.
    pub fn unix(mut self, name: &str) -> Setup {
        let listener = UnixListener::bind(self.folder.path().join(format!("{name}.sock")));
        let listener = listener.expect("bind");
        listener.set_nonblocking(true).unwrap();
        self.sockets.push((name.to_string(), Passed::Unix(listener)));
        self
    }

    /// One more argument.
    pub fn argument(mut self, text: &str) -> Setup {
        self.arguments.push(text.to_string());
        self
    }

    /// One more variable of the environment.
    pub fn variable(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_string(), value.to_string()));
        self
    }

    /// Keeps the descriptors that the service stores and hands them to the next start, as systemd
    /// does. Without it the end of a master is the end of its workers.
    pub fn with_store(mut self) -> Setup {
        self.store = Some(Store::default());
        self
    }

    /// The folder that the proxy will have.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    pub fn start(self) -> Proxy {
        let mut proxy = self.launch();
        proxy.await_ready();
        proxy
    }

    /// Starts it without waiting.
    #[track_caller]
    pub fn launch(self) -> Proxy {
        let notify = UnixDatagram::bind(self.folder.path().join("notify")).expect("bind");
        std::fs::write(self.folder.path().join("cloudcup.json"), &self.config).unwrap();
        for name in ["state", "run"] {
            std::fs::create_dir_all(self.folder.path().join(name)).unwrap();
        }
        let said = Arc::new(Mutex::new(Vec::new()));
        listen(notify, Arc::clone(&said), self.store.clone());
        let child = run(&self);
        let seen = Mutex::new(BTreeSet::from([child.id()]));
        Proxy { setup: self, child, said, seen }
    }
}

/// Collects what the service tells its manager, as systemd would.
fn listen(notify: UnixDatagram, said: Arc<Mutex<Vec<String>>>, store: Option<Store>) {
    std::thread::spawn(move || {
        let mut scratch = vec![0u8; 65536];
        // Ends when the folder is gone and nobody has sent for the patience of a test.
        while poll::wait_ready(notify.as_fd(), false, PATIENCE).unwrap_or(false) {
            let Ok(got) = message::receive(notify.as_fd(), &mut scratch) else { continue };
            let text = String::from_utf8_lossy(&scratch[..got.length]).into_owned();
            if let Some(store) = &store {
                store.take(&text, got.fds);
            }
            said.lock().unwrap().extend(text.lines().map(str::to_string));
        }
    });
}

fn run(setup: &Setup) -> Child {
    let folder = setup.folder.path();
    let mut command = Command::new("/bin/bash");
    command.arg("-c").arg(HAND_OVER).arg("start").arg(env!("CARGO_BIN_EXE_cloudcup"));
    command.arg("--config").arg(folder.join("cloudcup.json"));
    command.arg("--control").arg(folder.join("control"));
    command.args(["--log-target", "stderr"]).args(&setup.arguments);
    command.env("NOTIFY_SOCKET", folder.join("notify"));
    command.env("STATE_DIRECTORY", folder.join("state"));
    command.env("RUNTIME_DIRECTORY", folder.join("run"));
    command.envs(setup.environment.iter().map(|(n, v)| (n, v)));
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let _guard = STARTING.lock().unwrap_or_else(|e| e.into_inner());
    let mut passed = Vec::new();
    for (_, socket) in &setup.sockets {
        let fd = match socket {
            Passed::Tcp(listener) => listener.as_fd(),
            Passed::Unix(listener) => listener.as_fd(),
        };
        passed.push(fcntl(fd, FcntlArg::F_DUPFD(100)).expect("duplicate"));
    }
    let stored = setup.store.as_ref().map(Store::living).unwrap_or_default();
    for (_, fd) in &stored {
        passed.push(fcntl(fd, FcntlArg::F_DUPFD(100)).expect("duplicate"));
    }
    let numbers: Vec<String> = passed.iter().map(ToString::to_string).collect();
    let mut names: Vec<&str> = setup.sockets.iter().map(|(n, _)| n.as_str()).collect();
    names.extend(stored.iter().map(|(n, _)| n.as_str()));
    command.env("PASSED", numbers.join(" "));
    if !names.is_empty() {
        command.env("LISTEN_FDNAMES", names.join(":"));
    }
    let child = command.spawn().expect("start cloudcup");
    drop(stored);
    for fd in passed {
        nix::unistd::close(fd).unwrap();
    }
    child
}

/// A running Cloud Cup.
pub struct Proxy {
    setup: Setup,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    /// Every process of it that was ever seen, so that none survives the test.
    seen: Mutex<BTreeSet<u32>>,
}

impl Proxy {
    /// The first TCP address of the passed sockets of this name.
    #[track_caller]
    pub fn at(&self, name: &str) -> SocketAddr {
        let mut of_name = self.setup.sockets.iter().filter(|(n, _)| n == name);
        of_name
            .find_map(|(_, socket)| match socket {
                Passed::Tcp(listener) => listener.local_addr().ok(),
                Passed::Unix(_) => None,
            })
            .unwrap_or_else(|| panic!("no TCP socket {name} was passed"))
    }

    /// The address of the socket `http`.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.at("http")
    }

    /// Its folder: `cloudcup.json`, `control`, `log`, `state`, `run`.
    pub fn folder(&self) -> &Path {
        self.setup.folder()
    }

    /// The file it reads its configuration from.
    pub fn config(&self) -> PathBuf {
        self.folder().join("cloudcup.json")
    }

    /// The master's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// What it told its manager, in order.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// What the service has stored now, by name.
    pub fn stored(&self) -> Vec<String> {
        let living = self.setup.store.as_ref().map(Store::living).unwrap_or_default();
        living.into_iter().map(|(name, _)| name).collect()
    }

    /// The last `STATUS=`.
    pub fn status_line(&self) -> String {
        let said = self.said();
        let last = said.iter().rev().find_map(|l| l.strip_prefix("STATUS="));
        last.unwrap_or("").to_string()
    }

    /// Waits for READY=1.
    #[track_caller]
    pub fn await_ready(&mut self) {
        let ready = wait::within(PATIENCE, || {
            if self.said().iter().any(|l| l == "READY=1") {
                return Some(Ok(()));
            }
            self.child.try_wait().unwrap().map(Err)
        });
        self.processes();
        match ready {
            Some(Ok(())) => {}
            Some(Err(status)) => panic!("ended with {status} before it was ready:\n{}", self.log()),
            None => panic!("not ready within {PATIENCE:?}:\n{}", self.log()),
        }
    }

    /// Its living processes: the master and what descends from it.
    pub fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while at < found.len() {
            let children = std::fs::read_dir(format!("/proc/{}/task", found[at]));
            for task in children.into_iter().flatten().flatten() {
                let list = std::fs::read_to_string(task.path().join("children"));
                let list = list.unwrap_or_default();
                found.extend(list.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
            }
            at += 1;
        }
        self.seen.lock().unwrap().extend(&found);
        found
    }

    /// The processes of this role (`worker`, `clerk`).
    pub fn role(&self, role: &str) -> Vec<u32> {
        let mut found = self.processes();
        found.retain(|pid| is_role(*pid, role));
        found
    }

    /// The worker processes.
    pub fn workers(&self) -> Vec<u32> {
        self.role("worker")
    }

    /// Sends a signal to the master.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("signal");
    }

    /// Runs `cupctl` against its control socket.
    pub fn cupctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cupctl"));
        let address = format!("unix:{}", self.folder().join("control").display());
        command.args(["--address", &address]).args(arguments).stdin(Stdio::null());
        command.output().expect("run cupctl")
    }

    /// Runs `cupctl`, which must succeed; its output.
    #[track_caller]
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let output = self.cupctl(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cupctl {arguments:?}: {error}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Writes a new configuration and has it read; it must be accepted.
    #[track_caller]
    pub fn reload(&self, config: &str) {
        std::fs::write(self.config(), config).unwrap();
        self.ctl(&["reload"]);
    }

    /// Waits for the master's end; its exit code.
    #[track_caller]
    pub fn await_end(&mut self) -> Option<i32> {
        until("end of the service", || self.child.try_wait().unwrap()).code()
    }

    /// Starts the program again on the same sockets and folder, as systemd would.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.said.lock().unwrap().clear();
        self.child = run(&self.setup);
        self.await_ready();
    }

    /// All processes that were ever seen and still run.
    pub fn survivors(&self) -> Vec<u32> {
        self.processes();
        let seen = self.seen.lock().unwrap();
        seen.iter().copied().filter(|pid| is_ours(*pid)).collect()
    }
}

/// The state letter of a process.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Is this process a living one of ours, and not a number given to somebody else since?
fn is_ours(pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let program = command.split(|b| *b == 0).next().unwrap_or(&[]);
    program.ends_with(b"/cloudcup") && !matches!(state(pid), None | Some('Z'))
}

fn is_role(pid: u32, role: &str) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|b| *b == 0).nth(1) == Some(role.as_bytes()) && is_ours(pid)
}

/// Resident memory of a process in KiB.
pub fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let living = self.survivors();
        if std::thread::panicking() {
            eprintln!("log of the proxy:\n{}", self.log());
        }
        // Twice, as a worker may have been started in between.
        for pid in living.into_iter().chain(self.survivors()) {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long a thing took to become true.
pub fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let begin = std::time::Instant::now();
    let value = action();
    (value, begin.elapsed())
}
