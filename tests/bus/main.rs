//! The control surface with real processes: a private bus, busctl, cupctl, and hostile callers.

mod cupctl;
mod daemon;
mod hostile;
#[path = "../support/mod.rs"]
mod support;

use daemon::{Bus, busctl};
use std::process::Output;
use support::origin::Origin;
use support::proxy::{Proxy, Setup};
use support::skip;
use support::wait::until;

/// Manager, object and interface, as busctl wants them.
const PLACE: [&str; 3] = ["org.cloudcup1", "/org/cloudcup1", "org.cloudcup1.Manager"];

/// A configuration with one pool of one backend.
fn config(origin: &Origin) -> String {
    format!(
        r#"{{ "routes": {{ "*": {{ "backends": [ {{ "address": "{}" }} ] }} }} }}"#,
        origin.address
    )
}

/// A proxy on a bus of its own, or the reason why there is none.
fn on_bus(test: &str) -> Option<(Bus, Origin, Proxy)> {
    for program in ["dbus-daemon", "busctl"] {
        if !daemon::have(program) {
            skip(test, &format!("{program} is missing"));
            return None;
        }
    }
    let bus = Bus::start();
    let origin = Origin::saying("hello");
    let setup = Setup::new(&config(&origin)).variable("DBUS_SESSION_BUS_ADDRESS", &bus.address());
    let proxy = setup.start();
    bus.await_name(true);
    Some((bus, origin, proxy))
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn busctl_sees_and_calls_everything() {
    let Some((bus, origin, proxy)) = on_bus("busctl_sees_and_calls_everything") else { return };
    let tree = text(&busctl(&bus, &["tree", "--list", "org.cloudcup1"]));
    for kind in ["worker", "pool", "backend"] {
        assert!(tree.contains(&format!("/org/cloudcup1/{kind}/")), "{kind} in\n{tree}");
    }
    for worker in proxy.workers() {
        assert!(tree.contains(&worker.to_string()), "worker {worker} in\n{tree}");
    }
    let backend = tree.split_whitespace().find(|word| word.contains("/backend/_2a/m")).unwrap();
    let facts = text(&busctl(&bus, &["introspect", "org.cloudcup1", backend]));
    assert!(facts.contains(&origin.address.to_string()), "{facts}");
    assert!(facts.contains("\"up\""), "{facts}");

    let call = |member: &str, arguments: &[&str]| {
        let mut all = vec!["call"];
        all.extend(PLACE);
        all.push(member);
        all.extend(arguments);
        busctl(&bus, &all)
    };
    let answered = |output: Output| {
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    let serial = answered(call("Reload", &["a{sv}", "0"]));
    assert!(serial.starts_with("t "), "{serial}");
    let rows = answered(call("Validate", &["sa{sv}", "{\"strategey\": 1}", "0"]));
    assert!(rows.starts_with("a(ssuuss) ") && rows.contains("strategey"), "{rows}");
    let plan = answered(call("Plan", &["sa{sv}", &config(&origin), "0"]));
    assert!(plan.contains("changes"), "{plan}");
    let why = answered(call("Why", &["ssa(ss)a{sv}", "GET", "http://a/x", "0", "0"]));
    assert!(why.contains(&origin.address.to_string()), "{why}");
    let checked = answered(call("Check", &["asasa{sv}", "0", "0", "0"]));
    assert!(checked.contains("\"healthy\" b true"), "{checked}");
    let refused = text(&call("Apply", &["sa{sv}", "{\"strategey\": 1}", "0"]));
    assert!(refused.contains("strategey"), "{refused}");
    let stale =
        text(&call("Apply", &["sa{sv}", &config(&origin), "1", "expected_serial", "t", "99999"]));
    assert!(stale.contains("99999") || stale.contains("serial"), "{stale}");
    answered(call("SetLogLevel", &["sa{sv}", "debug", "0"]));
    answered(call("Stop", &["ba{sv}", "false", "0"]));
}

#[test]
fn a_lost_bus_is_found_again_and_traffic_never_notices() {
    let test = "a_lost_bus_is_found_again_and_traffic_never_notices";
    let Some((mut bus, _origin, proxy)) = on_bus(test) else { return };
    bus.kill();
    // Neither traffic nor the control socket needs the bus.
    assert_eq!(support::client::get(proxy.address(), "/").status(), 200);
    proxy.ctl(&["reload"]);
    bus.start_again();
    bus.await_name(true);
    let state = text(&busctl(&bus, &["get-property", PLACE[0], PLACE[1], PLACE[2], "State"]));
    assert_eq!(state, "s \"running\"\n");
}

#[test]
fn without_a_bus_the_service_starts_and_obeys() {
    let origin = Origin::saying("hello");
    let setup = Setup::new(&config(&origin))
        .variable("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    let proxy = setup.start();
    assert_eq!(support::client::get(proxy.address(), "/").status(), 200);
    proxy.ctl(&["status"]);
    until("a word about the missing bus", || proxy.log().contains("not on the bus").then_some(()));
}

#[test]
fn objects_come_and_go_with_the_configuration() {
    let test = "objects_come_and_go_with_the_configuration";
    let Some((bus, origin, proxy)) = on_bus(test) else { return };
    let tree = || text(&busctl(&bus, &["tree", "--list", "org.cloudcup1"]));
    assert!(!tree().contains("/pool/second"));
    let second = format!(
        r#"{{ "routes": {{ "*": {{ "pool": "second" }} }},
             "pools": {{ "second": {{ "backends": [ {{ "address": "{}" }} ] }} }} }}"#,
        origin.address
    );
    proxy.reload(&second);
    until("the new pool in the tree", || {
        let tree = tree();
        (tree.contains("/pool/second") && !tree.contains("/pool/_2a")).then_some(())
    });
}
