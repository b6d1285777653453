//! The suite inside a real booted systemd: real process 1, bus, polkit and journal, the service as its
//! own user. Run as `cargo test --test systemd` by root. Started by hand it boots each system at hand
//! (`tests/systemd/boot`) and runs itself inside; what a machine cannot boot is skipped, with the
//! reason. `cargo test --test systemd -- NAME…` runs the scenarios whose names contain one of the words.

#[path = "../support/mod.rs"]
mod support;

mod bus;
mod journal;
mod lifecycle;
mod machine;
mod units;

use machine::Scenario;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All scenarios, in the order in which they run: on one system, one after the other.
fn scenarios() -> Vec<Scenario> {
    let mut all = units::scenarios();
    all.extend(lifecycle::scenarios());
    all.extend(bus::scenarios());
    all.extend(journal::scenarios());
    all.extend(units::last());
    all
}

fn main() {
    let mut words: Vec<String> =
        std::env::args().skip(1).filter(|w| !w.starts_with("--")).collect();
    if words.first().is_some_and(|w| w == "inside") {
        let programs = PathBuf::from(words.remove(1));
        words.remove(0);
        machine::run(scenarios(), &programs, &words);
    } else {
        outside(&words);
    }
}

/// Boots each system and runs this program inside.
fn outside(words: &[String]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some(reason) = obstacle() {
        support::skip("systemd", &reason);
        println!("test result: ok. 0 passed; 0 failed; 0 ignored");
        return;
    }
    let mut status = 0;
    for (name, tree) in systems(root) {
        println!("-- {name}");
        let this = std::env::current_exe().expect("this program");
        let programs = Path::new(env!("CARGO_BIN_EXE_cloudcup")).parent().expect("a folder");
        let logs = root.join("target/systemd-logs").join(&name);
        let mut boot = Command::new(root.join("tests/systemd/boot"));
        boot.arg("--root").arg(&tree).arg("--logs").arg(&logs);
        // Places of the booted system that exist on no machine: nothing of it can be hidden by them.
        boot.arg("--bind").arg(format!("{}:/cloudcup/source", root.display()));
        boot.arg("--bind").arg(format!("{}:/cloudcup/programs", programs.display()));
        boot.arg("--bind").arg(format!("{}:/cloudcup/suite", this.parent().unwrap().display()));
        boot.arg("--").arg(Path::new("/cloudcup/suite").join(this.file_name().unwrap()));
        boot.args(["inside", "/cloudcup/programs"]).args(words);
        let code = boot.status().expect("boot").code().unwrap_or(1);
        if code != 0 {
            println!("{name}: status {code}; journal in {}", logs.join("journal.txt").display());
            if code > 1 {
                println!("test result: FAILED. 0 passed; 1 failed; 0 ignored");
            }
            status = 1;
        }
    }
    std::process::exit(status);
}

/// Why no system can be booted here, if so.
fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root".into());
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        return Some("systemd is not installed".into());
    }
    let quiet = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|o| o.status.success() && !(program == "findmnt" && o.stdout.is_empty()))
    };
    if !quiet("findmnt", &["-rn", "-t", "cgroup2"]) {
        return Some("no cgroup2 mount".into());
    }
    let script = "mount --make-rprivate / && mount -t tmpfs t /tmp && mkdir /tmp/u /tmp/w /tmp/r && \
        mount -t overlay -o lowerdir=/,upperdir=/tmp/u,workdir=/tmp/w o /tmp/r";
    let namespaces = ["-m", "-p", "-u", "-i", "-n", "-C", "--fork", "sh", "-c", script];
    if !quiet("unshare", &namespaces) {
        return Some("namespaces or overlay mounts are not allowed here".into());
    }
    None
}

/// The systems at hand: this machine's files, and a tree of the next Debian where one can be had.
fn systems(root: &Path) -> Vec<(String, PathBuf)> {
    let mut systems = vec![("host".to_string(), PathBuf::from("/"))];
    let tree = Command::new(root.join("tests/systemd/tree")).arg("trixie").output().expect("tree");
    if tree.status.success() {
        let path = String::from_utf8_lossy(&tree.stdout).trim().to_string();
        systems.push(("trixie".to_string(), PathBuf::from(path)));
    } else {
        let reason = String::from_utf8_lossy(&tree.stderr).trim().replace('\n', "; ");
        support::skip("systemd::trixie", &reason);
    }
    systems
}
