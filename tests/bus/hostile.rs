//! Callers that may not, and callers that mean harm.

use crate::daemon::{self, Bus};
use crate::support::skip;
use crate::support::wait::until;
use crate::{config, on_bus, text};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A uid that owns nothing here.
const NOBODY: &str = "65534";

/// Whether tests may become somebody else.
fn may_switch(test: &str) -> bool {
    if !nix::unistd::geteuid().is_root() {
        skip(test, "not root: cannot become another user");
        return false;
    }
    if !daemon::have("setpriv") {
        skip(test, "setpriv is missing");
        return false;
    }
    true
}

fn as_nobody(program: &Path, arguments: &[&str]) -> Output {
    Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("run setpriv")
}

fn by_bus(bus: &Bus, member: &[&str]) -> Output {
    let address = format!("--address={}", bus.address());
    let mut all = vec![address.as_str(), "--no-pager"];
    all.extend(member);
    as_nobody(Path::new("/usr/bin/busctl"), &all)
}

#[test]
fn another_user_is_refused_everything() {
    let test = "another_user_is_refused_everything";
    if !may_switch(test) {
        return;
    }
    let Some((bus, origin, proxy)) = on_bus(test) else { return };
    let before = proxy.ctl(&["--json", "show", "routes"]);
    let manager = ["org.cloudcup1", "/org/cloudcup1", "org.cloudcup1.Manager"];
    for member in [
        vec!["Reload", "a{sv}", "0"],
        vec!["Stop", "ba{sv}", "true", "0"],
        vec!["SetLogLevel", "sa{sv}", "trace", "0"],
        vec!["Apply", "sa{sv}", "{}", "0"],
        vec!["Validate", "sa{sv}", "{}", "0"],
        vec!["Show", "sa{sv}", "status", "0"],
        vec!["Show", "sa{sv}", "config", "0"],
        vec!["Metrics", "a{sv}", "0"],
    ] {
        let mut call = vec!["call"];
        call.extend(manager);
        call.extend(&member);
        let output = by_bus(&bus, &call);
        let said = text(&output);
        assert!(!output.status.success() && said.contains("this needs"), "{member:?}: {said}");
    }
    let property = ["get-property", manager[0], manager[1], manager[2], "State"];
    assert!(!by_bus(&bus, &property).status.success());
    let objects =
        ["call", manager[0], manager[1], "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"];
    let said = text(&by_bus(&bus, &objects));
    assert!(said.contains("this needs") && !said.contains(&origin.address.to_string()), "{said}");

    // The control socket: closed by its mode, and by credentials where the mode were open.
    let folder = tempfile::Builder::new().prefix("cloudcup-nobody-").tempdir().unwrap();
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(folder.path(), 0o755);
    let cupctl = folder.path().join("cupctl");
    std::fs::copy(env!("CARGO_BIN_EXE_cupctl"), &cupctl).unwrap();
    open(proxy.folder(), 0o755);
    let socket = proxy.folder().join("control");
    let address = format!("unix:{}", socket.display());
    let call = ["--address", address.as_str(), "reload"];
    let output = as_nobody(&cupctl, &call);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    open(&socket, 0o666);
    for verb in ["reload", "status", "stop", "metrics"] {
        let output = as_nobody(&cupctl, &["--address", address.as_str(), verb]);
        assert_eq!(output.status.code(), Some(4), "{verb}: {}", text(&output));
    }
    assert_eq!(proxy.ctl(&["--json", "show", "routes"]), before);
}

#[test]
fn a_document_at_the_bound_is_judged_and_one_beyond_is_not_read() {
    let origin = crate::support::origin::Origin::saying("hello");
    let proxy = crate::support::proxy::Setup::new(&config(&origin)).start();
    let path = proxy.folder().join("large.json");
    let file = path.display().to_string();
    let mebibytes = 16 * 1024 * 1024;
    for (text, told) in [
        ("[".repeat(mebibytes), "error"),
        (" ".repeat(mebibytes), "error"),
        ("\"".repeat(mebibytes), "error"),
        (" ".repeat(mebibytes + 1), "at most 16 MiB"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let output = proxy.cupctl(&["apply", &file]);
        let said = text_of(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(told), "{said}");
    }
    assert_eq!(crate::support::client::get(proxy.address(), "/").status(), 200);
    proxy.ctl(&["reload"]);
}

fn text_of(output: &Output) -> String {
    let mut said = text(output);
    said.truncate(said.floor_char_boundary(2000));
    said
}

#[test]
fn silent_callers_fill_their_seats_and_lock_nobody_out() {
    let origin = crate::support::origin::Origin::saying("hello");
    let proxy = crate::support::proxy::Setup::new(&config(&origin)).start();
    let path = proxy.folder().join("control");
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(std::os::unix::net::UnixStream::connect(&path).unwrap());
    }
    // Whoever says nothing loses the seat when the time for the handshake is over.
    until("a seat", || proxy.cupctl(&["status"]).status.success().then_some(()));
    let metrics = proxy.ctl(&["metrics"]);
    let line = metrics.lines().find(|line| line.starts_with("cloudcup_control_peers_limit_hit"));
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    assert_eq!(crate::support::client::get(proxy.address(), "/").status(), 200);
}
