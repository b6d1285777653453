//! cupctl against a running service: every verb, for people and for machines, and its exit status.

use crate::config;
use crate::support::origin::Origin;
use crate::support::proxy::{Proxy, Setup};
use crate::support::wait::until;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn serving() -> (Origin, Proxy) {
    let origin = Origin::saying("hello");
    let proxy = Setup::new(&config(&origin)).start();
    (origin, proxy)
}

#[track_caller]
fn json(proxy: &Proxy, arguments: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend(arguments);
    let text = proxy.ctl(&all);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{text}"))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cupctl"));
    command.args(arguments).stdin(Stdio::null()).output().expect("run cupctl")
}

#[test]
fn every_verb_speaks_to_people_and_to_machines() {
    let (origin, proxy) = serving();
    let address = origin.address.to_string();
    let file = proxy.config().display().to_string();

    assert!(proxy.ctl(&["status"]).contains("running"));
    let status = json(&proxy, &["status"]);
    assert_eq!(status["state"], "running");
    assert_eq!(status["workers"].as_array().unwrap().len(), proxy.workers().len());
    assert_eq!(json(&proxy, &["show", "status"])["serial"], status["serial"]);
    assert_eq!(proxy.ctl(&["show", "config"]).trim(), config(&origin));
    assert!(json(&proxy, &["show", "config", "--effective"]).is_object());
    assert!(proxy.ctl(&["show", "backends"]).contains(&address));
    assert_eq!(json(&proxy, &["show", "backends"])["pools"][0]["backends"][0]["state"], "up");
    assert!(proxy.ctl(&["show", "routes"]).contains('*'));
    assert_eq!(json(&proxy, &["show", "routes"])["routes"][0]["key"], "*");
    assert!(json(&proxy, &["show", "connections"]).is_array());
    assert!(proxy.ctl(&["show", "traffic"]).contains("requests"));
    assert!(json(&proxy, &["show", "traffic"])["totals"].is_object());
    proxy.ctl(&["show", "errors"]);
    assert!(json(&proxy, &["show", "errors"])["counters"].is_array());
    assert!(proxy.ctl(&["why", "http://a/b"]).contains(&address));
    assert_eq!(json(&proxy, &["why", "POST", "http://a/b", "-H", "X-A: 1"])["pool"], "*");
    assert!(proxy.ctl(&["check"]).contains("healthy"));
    assert_eq!(json(&proxy, &["check", "-b", &address])["healthy"], true);
    let metrics = proxy.ctl(&["metrics"]);
    assert!(metrics.contains("cloudcup_") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(json(&proxy, &["metrics"])["openmetrics"].as_str().unwrap().contains("cloudcup_"));
    assert!(proxy.ctl(&["validate", &file]).contains("valid"));
    assert_eq!(json(&proxy, &["validate", &file])["checked_by"], "service");
    assert!(proxy.ctl(&["plan", &file]).contains("nothing would change"));
    assert_eq!(json(&proxy, &["plan", &file])["valid"], true);
    let serial = json(&proxy, &["apply", "-f", &file])["serial"].as_u64().unwrap();
    assert!(
        proxy.ctl(&["apply", &file, "--expected-serial", &serial.to_string()]).contains("runs")
    );
    assert!(json(&proxy, &["reload"])["serial"].as_u64().unwrap() >= serial);
    assert_eq!(json(&proxy, &["log-level", "debug"])["done"], true);
    assert!(proxy.ctl(&["top", "-n", "1"]).contains("requests/s"));
    assert!(json(&proxy, &["top", "-n", "1"])["totals"].is_object());
}

#[test]
fn a_refused_document_is_shown_with_its_place() {
    let (_origin, proxy) = serving();
    let serial = json(&proxy, &["status"])["serial"].clone();
    let path = proxy.folder().join("bad.json");
    std::fs::write(&path, "{\n  \"routs\": {}\n}\n").unwrap();
    let file = path.display().to_string();
    for verb in ["validate", "plan", "apply"] {
        let output = proxy.cupctl(&[verb, &file]);
        let (out, err) = (&output.stdout, &output.stderr);
        let said = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
        assert_eq!(code(&output), 1, "{verb}: {said}");
        assert!(said.contains(&format!("{file}:2:3")), "{verb}: {said}");
        assert!(said.contains("2 |   \"routs\": {}\n"), "{verb}: {said}");
        assert!(said.contains("routes"), "{verb}: {said}");
    }
    let output = proxy.cupctl(&["--json", "apply", &file]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["error"]["name"], "org.cloudcup1.Error.Refused");
    let problems = told["error"]["problems"].as_array().unwrap();
    assert!(problems.iter().any(|problem| problem["line"] == 2 && problem["column"] == 3));
    // A bad file on reload: told with its place, and the old configuration stays.
    std::fs::copy(&path, proxy.config()).unwrap();
    let output = proxy.cupctl(&["reload"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), 1, "{said}");
    assert!(said.contains("cloudcup.json:2:3"), "{said}");
    assert_eq!(json(&proxy, &["show", "routes"])["serial"], serial);
}

#[test]
fn exit_statuses_are_those_of_the_manual() {
    let (origin, proxy) = serving();
    assert_eq!(code(&proxy.cupctl(&["apply", "/no/such/file"])), 1);
    assert_eq!(code(&proxy.cupctl(&["upgrade"])), 1);
    let said = run(&["upgrade"]).stderr;
    assert!(String::from_utf8_lossy(&said).contains("not supported in this version"));
    assert_eq!(code(&run(&["frobnicate"])), 2);
    assert_eq!(code(&run(&["--address", "nowhere", "status"])), 2);
    assert_eq!(code(&run(&["--help"])), 0);
    let nobody = proxy.folder().join("nobody");
    let nobody = format!("unix:{}", nobody.display());
    assert_eq!(code(&run(&["--address", &nobody, "status"])), 3);
    // Offline, the same rules answer.
    let file = proxy.config().display().to_string();
    let output = run(&["--address", &nobody, "--json", "validate", &file]);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["checked_by"], "cupctl");
    // One that is unhealthy makes check fail.
    drop(origin);
    assert_eq!(code(&proxy.cupctl(&["check"])), 1);
}

#[test]
fn a_users_service_is_found_without_an_address() {
    let (_origin, proxy) = serving();
    let folder = proxy.folder().join("cloudcup");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(proxy.folder().join("control"), folder.join("control")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cupctl"))
        .args(["--user", "--json", "status"])
        .env("XDG_RUNTIME_DIR", proxy.folder())
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["pid"], proxy.pid());
}

#[test]
fn events_are_told_as_they_happen() {
    let (origin, proxy) = serving();
    let address = format!("unix:{}", proxy.folder().join("control").display());
    let mut events = Command::new(env!("CARGO_BIN_EXE_cupctl"))
        .args(["--address", &address, "--json", "events"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("run cupctl");
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut next = |kind: &str| loop {
        let line = lines.next().expect("an event").unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["event"] == kind {
            return event;
        }
    };
    next("Listening");
    proxy.reload(&format!("{}\n", config(&origin)));
    assert!(next("Applied")["serial"].as_u64().unwrap() > 0);
    std::fs::write(proxy.config(), "{").unwrap();
    assert_eq!(code(&proxy.cupctl(&["reload"])), 1);
    assert!(next("ApplyFailed")["problems"].as_u64().unwrap() > 0);
    let worker = proxy.workers()[0];
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(worker as i32),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    assert_eq!(next("WorkerExited")["pid"], worker);
    // The end of the service is the end of the events, with its own exit status.
    let mut proxy = proxy;
    assert_eq!(code(&proxy.cupctl(&["stop", "--hard"])), 0);
    proxy.await_end();
    let status = until("the end of events", || events.try_wait().unwrap());
    assert_eq!(status.code(), Some(3));
}

#[test]
fn the_first_cloud_cups_own_program_is_understood() {
    use std::io::{Read, Write};
    let origin = Origin::saying("hello");
    let setup = Setup::new(&format!(
        r#"{{"root":"127.0.0.1:0","routes":{{"*":{{"backends":[{{"host":"{}"}}]}}}}}}"#,
        origin.address
    ));
    let path = setup.folder().join("cloud-cup.sock");
    let setup = setup.argument("--compat-socket").argument(&path.display().to_string());
    let proxy = setup.start();
    let say = |command: &str| {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        stream.write_all(command.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert_eq!(say("show-status\n"), "Cloud-Cup is running");
    assert_eq!(say("show-config\n"), std::fs::read_to_string(proxy.config()).unwrap());
    let expected = format!(
        r#"[{{"host":"{}","route":"*","is_healthy":true,"error_message":null,"error_name":null}}]"#,
        origin.address
    );
    assert_eq!(say("check-all\n"), expected);
    let file = proxy.config().display().to_string();
    assert_eq!(say(&format!("apply-config|{file}\n")), "New config applied successfully\n");
    let bad = proxy.folder().join("bad.json");
    std::fs::write(&bad, r#"{"root":"127.0.0.1:0","routes":{}}"#).unwrap();
    let refused = say(&format!("apply-config|{}\n", bad.display()));
    assert_eq!(refused, "Invaild json, 'MissingMainRoute'");
}
