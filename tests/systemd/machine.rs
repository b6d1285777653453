//! The booted machine from within: running scenarios and counting them, commands, the service and its
//! processes, its configuration, the journal.

use crate::support::client::get;
use crate::support::wait::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Output};

/// Where the service listens inside.
pub const HTTP: &str = "127.0.0.1:80";
/// Its configuration.
pub const CONFIG: &str = "/etc/cloudcup/cloudcup.json";

/// A named check of the suite.
pub type Scenario = (&'static str, fn());

/// Installs the service, runs the scenarios that are asked for, prints and counts.
pub fn run(scenarios: Vec<Scenario>, programs: &Path, words: &[String]) {
    let version = text("systemctl", &["--version"]);
    println!("{}", version.lines().next().unwrap_or(""));
    must("/cloudcup/source/contrib/install", &["--bin", &programs.display().to_string()]);
    // Cores of processes that are killed on purpose help nobody.
    drop_in("cloudcup.service", "cores", "[Service]\nLimitCORE=0\n");
    let (mut passed, mut failed) = (0, 0);
    for (name, scenario) in scenarios {
        if !words.is_empty() && !words.iter().any(|w| name.contains(w.as_str())) {
            continue;
        }
        let begin = std::time::Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            reset();
            scenario();
        }));
        let span = begin.elapsed().as_secs_f64();
        if outcome.is_ok() {
            passed += 1;
            println!("test {name} ... ok ({span:.1} s)");
        } else {
            failed += 1;
            println!("test {name} ... FAILED ({span:.1} s)");
            println!("{}", text("systemctl", &["status", "--no-pager", "-l", "cloudcup.service"]));
            let since = ["-b", "--no-pager", "-n", "40", "-o", "short-precise"];
            println!("{}", text("journalctl", &since));
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored");
    std::process::exit(i32::from(failed != 0));
}

/// Everything stopped, nothing failed, no drop-ins but the standing one.
fn reset() {
    let _ = command("systemctl", &["stop", "cloudcup.socket", "cloudcup.service"]);
    for folder in ["cloudcup.service.d", "cloudcup.socket.d"] {
        let folder = Path::new("/run/systemd/system").join(folder);
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if !file.file_name().to_string_lossy().starts_with("00-") {
                let _ = std::fs::remove_file(file.path());
            }
        }
    }
    for pid in processes() {
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
    }
    let _ = std::fs::remove_dir_all("/var/lib/cloudcup");
    must("systemctl", &["daemon-reload"]);
    let _ = command("systemctl", &["reset-failed", "cloudcup.socket", "cloudcup.service"]);
}

/// Runs a command.
pub fn command(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// Runs a command; its output whatever became of it.
pub fn text(program: &str, arguments: &[&str]) -> String {
    let output = command(program, arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    String::from_utf8_lossy(&output.stdout).into_owned() + &error
}

/// Runs a command that has to succeed; its output.
#[track_caller]
pub fn must(program: &str, arguments: &[&str]) -> String {
    let output = command(program, arguments);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{out}{error}", output.status);
    out
}

/// Runs a command that has to fail; its status and what it said.
#[track_caller]
pub fn must_not(program: &str, arguments: &[&str]) -> (i32, String) {
    let output = command(program, arguments);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!output.status.success(), "{program} {arguments:?} succeeded: {said}");
    (output.status.code().unwrap_or(-1), said)
}

/// Adds to a unit, for the scenario that runs (names that begin with `00-` stay).
pub fn drop_in(unit: &str, name: &str, content: &str) {
    let folder = Path::new("/run/systemd/system").join(format!("{unit}.d"));
    std::fs::create_dir_all(&folder).unwrap();
    let standing = if name == "cores" { "00-" } else { "" };
    std::fs::write(folder.join(format!("{standing}{name}.conf")), content).unwrap();
    must("systemctl", &["daemon-reload"]);
}

/// Writes the configuration with these routes to one backend, as the operator would.
pub fn configure(backend: &str) {
    configure_with(backend, "");
}

/// The same with more top-level keys, each with a comma before it.
pub fn configure_with(backend: &str, more: &str) {
    write(&format!(
        "{{\n  \"version\": 1,\n  \"listeners\": {{ \"http\": {{ \"address\": \"0.0.0.0:80\" }} }},\n  \
         \"workers\": {{ \"count\": 2 }},\n  \
         \"routes\": {{ \"*\": {{ \"backends\": [ {{ \"address\": \"{backend}\" }} ] }} }}{more}\n}}\n"
    ));
}

/// Writes the configuration file, readable for the service and for nobody else.
pub fn write(config: &str) {
    std::fs::write(CONFIG, config).unwrap();
    must("chown", &["root:cloudcup", CONFIG]);
    must("chmod", &["0640", CONFIG]);
}

/// Opens the socket; the service starts with the first connection.
#[track_caller]
pub fn open() {
    must("systemctl", &["start", "cloudcup.socket"]);
}

/// Opens the socket and waits for the first answer of the service.
#[track_caller]
pub fn start() {
    open();
    assert_eq!(ask().status(), 200);
    await_active();
}

/// Waits for readiness: the first worker may answer before all of them are there.
#[track_caller]
pub fn await_active() {
    until("readiness", || (property("ActiveState") == "active").then_some(()));
}

/// The address of the service.
pub fn address() -> SocketAddr {
    HTTP.parse().unwrap()
}

/// One GET.
#[track_caller]
pub fn ask() -> crate::support::client::Message {
    get(address(), "/")
}

/// A property of the service as systemd sees it.
pub fn property(name: &str) -> String {
    let output = must("systemctl", &["show", "-P", name, "cloudcup.service"]);
    output.trim().to_string()
}

/// Its main process.
#[track_caller]
pub fn master() -> u32 {
    let pid = property("MainPID").parse().expect("a number");
    assert_ne!(pid, 0, "the service runs");
    pid
}

/// The processes of the service's control group.
pub fn processes() -> Vec<u32> {
    let group = property("ControlGroup");
    if group.is_empty() {
        return Vec::new();
    }
    let list = std::fs::read_to_string(format!("/sys/fs/cgroup{group}/cgroup.procs"));
    list.unwrap_or_default().lines().filter_map(|l| l.parse().ok()).collect()
}

/// The arguments of a process.
pub fn arguments(pid: u32) -> Vec<String> {
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    raw.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect()
}

/// The workers, by their command lines.
pub fn workers() -> Vec<u32> {
    let mut found = processes();
    found.retain(|pid| arguments(*pid).get(1).is_some_and(|w| w == "worker"));
    found.sort_unstable();
    found
}

/// Waits for so many workers.
#[track_caller]
pub fn await_workers(count: usize) -> Vec<u32> {
    until("set of workers", || Some(workers()).filter(|w| w.len() == count))
}

/// Sends a signal.
#[track_caller]
pub fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).expect("signal");
}

/// A place in the journal, to read on from.
pub fn now() -> String {
    must("journalctl", &["--sync"]);
    let last = must("journalctl", &["-n", "1", "-o", "json", "--no-pager", "-b"]);
    let record: serde_json::Value = serde_json::from_str(last.trim()).expect("a record");
    record["__CURSOR"].as_str().expect("a cursor").to_string()
}

/// All records since then.
pub fn since(cursor: &str) -> Vec<serde_json::Value> {
    must("journalctl", &["--sync"]);
    let after = format!("--after-cursor={cursor}");
    let output = must("journalctl", &[&after, "-o", "json", "--all", "--no-pager", "-b"]);
    output.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

/// A field of a record as text.
pub fn field<'a>(record: &'a serde_json::Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or("")
}

/// Runs a command as an unprivileged user, who is made when needed.
pub fn as_user(user: &str, program: &str, arguments: &[&str]) -> Output {
    if !command("id", &[user]).status.success() {
        must("useradd", &["--create-home", user]);
    }
    let uid = format!("--reuid={user}");
    let gid = format!("--regid={user}");
    let mut all = vec![uid.as_str(), gid.as_str(), "--init-groups", program];
    all.extend(arguments);
    command("setpriv", &all)
}
