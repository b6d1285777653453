//! The control surface on a real bus: what root sees and does, what others are refused.

use crate::machine::{self, Scenario, as_user, command, must, must_not, property};
use crate::support::origin::Origin;
use crate::support::wait::until;
use std::process::Output;

const PLACE: [&str; 3] = ["org.cloudcup1", "/org/cloudcup1", "org.cloudcup1.Manager"];

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        ("busctl_sees_the_live_proxy", busctl_sees_the_live_proxy),
        ("root_may_call", root_may_call),
        ("a_stranger_may_look_and_not_touch", a_stranger_may_look_and_not_touch),
        ("nobody_else_may_own_the_name", nobody_else_may_own_the_name),
        ("polkit_grants_what_its_rules_grant", polkit_grants_what_its_rules_grant),
        ("without_polkit_strangers_are_refused", without_polkit_strangers_are_refused),
        ("the_admin_group_may_operate", the_admin_group_may_operate),
        ("looking_starts_nothing", looking_starts_nothing),
    ]
}

fn begin() -> Origin {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::start();
    // Traffic doesn't wait for the bus: the name comes a moment after the first answer.
    until("the name on the bus", || {
        let has = must("busctl", &HAS_NAME);
        has.contains("b true").then_some(())
    });
    origin
}

const HAS_NAME: [&str; 8] = [
    "--system",
    "call",
    "org.freedesktop.DBus",
    "/org/freedesktop/DBus",
    "org.freedesktop.DBus",
    "NameHasOwner",
    "s",
    "org.cloudcup1",
];

fn failed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it succeeded: {}", String::from_utf8_lossy(&output.stdout));
    said
}

/// The bus's own policy denies, or the service says which right is wanting.
fn is_refusal(said: &str) -> bool {
    ["enied", "uthoriz", "needs org.cloudcup1.manage"].iter().any(|word| said.contains(word))
}

fn busctl_sees_the_live_proxy() {
    let _origin = begin();
    let tree = must("busctl", &["tree", "org.cloudcup1"]);
    for kind in ["worker", "pool", "backend"] {
        assert!(tree.contains(&format!("/org/cloudcup1/{kind}/")), "{kind} in\n{tree}");
    }
    for pid in machine::workers() {
        assert!(tree.contains(&pid.to_string()), "worker {pid} in\n{tree}");
    }
    let what = must("busctl", &["introspect", "org.cloudcup1", "/org/cloudcup1"]);
    for member in [
        ".Reload",
        ".Validate",
        ".Plan",
        ".Apply",
        ".Check",
        ".Why",
        ".SetLogLevel",
        ".Stop",
        ".Serial",
        ".State",
        ".Workers",
        ".Applied",
        ".ApplyFailed",
        ".WorkerExited",
        ".BackendStateChanged",
        "org.freedesktop.DBus.ObjectManager",
    ] {
        assert!(what.contains(member), "{member} in\n{what}");
    }
}

fn call<'a>(member: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["--system", "call"];
    all.extend(PLACE);
    all.push(member);
    all.extend(more);
    all
}

fn root_may_call() {
    let _origin = begin();
    let mut serial = vec!["--system", "get-property"];
    serial.extend(PLACE);
    serial.push("Serial");
    let before = must("busctl", &serial);
    let answer = must("busctl", &call("Reload", &["a{sv}", "0"]));
    assert!(answer.starts_with("t "), "{answer}");
    let why = must("busctl", &call("Why", &["ssa(ss)a{sv}", "GET", "http://a/x", "0", "0"]));
    assert!(why.contains('*'), "{why}");
    let problems = must("busctl", &call("Validate", &["sa{sv}", "{\"strategey\": 1}", "0"]));
    assert!(problems.contains("strategey"), "{problems}");
    let refused = must_not("busctl", &call("Apply", &["sa{sv}", "{\"strategey\": 1}", "0"]));
    assert!(refused.1.contains("strategey"), "{}", refused.1);
    assert!(before.starts_with("t "));
}

fn a_stranger_may_look_and_not_touch() {
    let origin = begin();
    let mut look = vec!["--system", "get-property"];
    look.extend(PLACE);
    look.push("State");
    let output = as_user("stranger", "busctl", &look);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (member, arguments) in [
        ("Reload", vec!["a{sv}", "0"]),
        ("Stop", vec!["ba{sv}", "false", "0"]),
        ("SetLogLevel", vec!["sa{sv}", "debug", "0"]),
        ("Apply", vec!["sa{sv}", "{}", "0"]),
    ] {
        let said = failed(&as_user("stranger", "busctl", &call(member, &arguments)));
        assert!(is_refusal(&said), "{member}: {said}");
    }
    // What it is shown names no places: neither the backend's nor the file's.
    let objects = ["--system", "call", PLACE[0], PLACE[1], "org.freedesktop.DBus.ObjectManager"];
    let objects = [&objects[..], &["GetManagedObjects"]].concat();
    let output = as_user("stranger", "busctl", &objects);
    let plain = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && plain.contains("RequestsTotal"), "{plain}");
    let everything = must("busctl", &objects);
    for place in [origin.address.to_string(), "127.0.0.1:".to_string()] {
        assert!(everything.contains(&place), "{place} in\n{everything}");
        assert!(!plain.contains(&place), "{place} in\n{plain}");
    }
    let mut file = vec!["--system", "get-property"];
    file.extend(PLACE);
    file.push("ConfigFile");
    let output = as_user("stranger", "busctl", &file);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "s \"\"\n");
    assert!(must("busctl", &file).contains(machine::CONFIG));
    // Nor may it ask for the names of all pools.
    failed(&as_user("stranger", "busctl", &["introspect", "org.cloudcup1", "/org/cloudcup1"]));
    // Nor by the control socket.
    let by_socket = ["--address", "unix:/run/cloudcup/control", "reload"];
    let output = as_user("stranger", "cupctl", &by_socket);
    failed(&output);
    assert_eq!(machine::ask().status(), 200);
    // cupctl says it with its own exit code.
    let output = as_user("stranger", "cupctl", &["reload"]);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
}

fn nobody_else_may_own_the_name() {
    let request = [
        "--system",
        "call",
        "org.freedesktop.DBus",
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus",
        "RequestName",
        "su",
        "org.cloudcup1",
        "4",
    ];
    let said = failed(&as_user("stranger", "busctl", &request));
    assert!(said.contains("enied") || said.contains("not allowed"), "{said}");
}

fn polkit_grants_what_its_rules_grant() {
    let _origin = begin();
    let rule = "polkit.addRule(function(action, subject) {\n\
        if (action.id == 'org.cloudcup1.manage' && subject.user == 'trusted') return 'yes'; });\n";
    std::fs::create_dir_all("/etc/polkit-1/rules.d").unwrap();
    std::fs::write("/etc/polkit-1/rules.d/50-cloudcup-test.rules", rule).unwrap();
    must("systemctl", &["restart", "polkit.service"]);
    let output = as_user("trusted", "busctl", &call("Reload", &["a{sv}", "0"]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    failed(&as_user("stranger", "busctl", &call("Reload", &["a{sv}", "0"])));
    std::fs::remove_file("/etc/polkit-1/rules.d/50-cloudcup-test.rules").unwrap();
}

fn without_polkit_strangers_are_refused() {
    let _origin = begin();
    must("systemctl", &["mask", "--runtime", "--now", "polkit.service"]);
    let said = failed(&as_user("stranger", "busctl", &call("Reload", &["a{sv}", "0"])));
    let by_root = command("busctl", &call("Reload", &["a{sv}", "0"]));
    must("systemctl", &["unmask", "--runtime", "polkit.service"]);
    assert!(is_refusal(&said), "{said}");
    assert!(by_root.status.success(), "root needs no polkit");
}

fn the_admin_group_may_operate() {
    let _origin = begin();
    as_user("tender", "true", &[]);
    must("usermod", &["--append", "--groups", "cloudcup-admin", "tender"]);
    let output = as_user("tender", "cupctl", &["reload"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = as_user("tender", "cupctl", &["show", "backends", "--json"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("127.0.0.1:"), "{shown}");
}

fn looking_starts_nothing() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::open();
    let output = command("cupctl", &["status"]);
    assert_eq!(output.status.code(), Some(3), "nobody answers");
    must_not("busctl", &["--system", "introspect", "org.cloudcup1", "/org/cloudcup1"]);
    assert_eq!(property("ActiveState"), "inactive");
}
