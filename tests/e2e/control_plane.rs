//! What the master does besides keeping workers alive: sockets of its own, log files, the clerk,
//! signals, the command line.

use crate::support::client::{Client, get};
use crate::support::origin::Origin;
use crate::support::proxy::{Proxy, Setup};
use crate::support::wait::until;
use crate::{before, routes, to};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::SocketAddr;
use std::process::{Command, Output};

fn config_at(address: &str, origin: &Origin, more: &str) -> String {
    format!(
        "{{\"listeners\": {{\"http\": {{\"address\": \"{address}\"}}}}, \"workers\": {{\"count\": 2}}, \
         \"routes\": {{{}}}{more}}}",
        to(&[&origin.address])
    )
}

/// The address that the service tells of its first listener.
fn listens(proxy: &Proxy) -> SocketAddr {
    let output = proxy.cupctl(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    status["listeners"][0]["address"].as_str().expect("an address").parse().expect("TCP")
}

fn cloudcup(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloudcup")).args(arguments).output().expect("run cloudcup")
}

#[test]
fn a_bound_listener_outlives_its_master_and_goes_with_the_configuration() {
    let origin = Origin::saying("x");
    let off = ", \"log\": {\"access\": \"off\"}";
    let mut proxy = Setup::bare(&config_at("127.0.0.1:0", &origin, off)).with_store().start();
    let first = listens(&proxy);
    assert_eq!(get(first, "/").text(), "x");
    until("the socket in the store", || {
        proxy.stored().contains(&"l-http".to_string()).then_some(())
    });
    proxy.signal(Signal::SIGKILL);
    proxy.await_end();
    assert_eq!(get(first, "/").text(), "x", "the workers serve on");
    proxy.start_again();
    assert_eq!(listens(&proxy), first, "the stored socket is taken again");
    proxy.reload(&config_at("127.0.0.2:0", &origin, off));
    let second = listens(&proxy);
    assert_ne!(first, second);
    assert_eq!(get(second, "/").text(), "x");
    until("the end of the old socket, the stored one included", || {
        std::net::TcpStream::connect(first).is_err().then_some(())
    });
}

#[test]
fn an_address_that_is_taken_refuses_the_configuration_and_changes_nothing() {
    let origin = Origin::saying("x");
    let proxy = Setup::bare(&config_at("127.0.0.1:0", &origin, "")).start();
    let first = listens(&proxy);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::fs::write(proxy.config(), config_at(&address, &origin, "")).unwrap();
    let output = proxy.cupctl(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(reason.contains(&address) && reason.contains("listen"), "{reason}");
    assert_eq!(get(first, "/").text(), "x");
}

#[test]
fn access_logs_are_reopened_on_sigusr1() {
    let origin = Origin::saying("x");
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let more = format!(", \"log\": {{\"access\": \"file:{}\", \"sample\": 1}}", log.display());
    let proxy = Setup::new(&config_at("127.0.0.1:0", &origin, &more)).start();
    let holds = |path: &std::path::Path, word: &str| {
        std::fs::read_to_string(path).unwrap_or_default().contains(word).then_some(())
    };
    assert_eq!(get(proxy.address(), "/before").text(), "x");
    until("a record", || holds(&log, "/before"));
    std::fs::rename(&log, &old).unwrap();
    proxy.signal(Signal::SIGUSR1);
    until("the new file", || log.exists().then_some(()));
    until("a record in the new file", || {
        get(proxy.address(), "/after");
        holds(&log, "/after")
    });
}

#[test]
fn a_dead_clerk_comes_back_and_probes_again() {
    let origin = Origin::saying("x");
    let proxy = before(&origin);
    let clerk = proxy.role("clerk");
    assert_eq!(clerk.len(), 1);
    kill(Pid::from_raw(clerk[0] as i32), Signal::SIGKILL).unwrap();
    until("a new clerk", || {
        let now = proxy.role("clerk");
        (now.len() == 1 && now != clerk).then_some(())
    });
    until("a probe that succeeds", || {
        let output = proxy.cupctl(&["check"]);
        (output.status.code() == Some(0)).then_some(())
    });
    assert_eq!(get(proxy.address(), "/").text(), "x");
}

#[test]
fn a_check_names_the_backend_that_is_down() {
    let origin = Origin::saying("x");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = routes(&to(&[&origin.address, &gone.to_string()]));
    let proxy = Setup::new(&config).start();
    let output = proxy.cupctl(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("refused") && text.contains(&gone.to_string()), "{text}");
    let output = proxy.cupctl(&["check", "-b", "192.0.2.1:9"]);
    assert_eq!(output.status.code(), Some(1), "no such backend");
}

#[test]
fn sighup_reads_the_file_again() {
    let origins = [Origin::saying("a"), Origin::saying("b")];
    let proxy = before(&origins[0]);
    std::fs::write(proxy.config(), routes(&to(&[&origins[1].address]))).unwrap();
    proxy.signal(Signal::SIGHUP);
    until("the new configuration", || (get(proxy.address(), "/").text() == "b").then_some(()));
    let said = proxy.said();
    let reloading = said.iter().position(|line| line == "RELOADING=1").expect("RELOADING=1");
    assert!(said[reloading..].iter().any(|line| line.starts_with("MONOTONIC_USEC=")));
    until("READY=1 after it", || {
        proxy.said()[reloading..].iter().any(|line| line == "READY=1").then_some(())
    });
}

#[test]
fn an_open_connection_is_not_closed_by_an_apply_that_does_not_concern_it() {
    let origin = Origin::saying("x");
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/one").text(), "x");
    for n in 0..5 {
        let more = format!("\"/extra/{n}\": {{\"respond\": {{\"status\": 204}}}}, ");
        proxy.reload(&routes(&format!("{more}{}", to(&[&origin.address]))));
        assert_eq!(client.get("/two").text(), "x");
    }
}

#[test]
fn the_number_of_workers_follows_the_configuration() {
    let origin = Origin::saying("x");
    let proxy = before(&origin);
    assert_eq!(proxy.workers().len(), 2);
    let with = |count: usize| {
        routes(&to(&[&origin.address])).replace("\"count\": 2", &format!("\"count\": {count}"))
    };
    for count in [4, 1, 3] {
        proxy.reload(&with(count));
        until("as many workers", || (proxy.workers().len() == count).then_some(()));
        assert_eq!(get(proxy.address(), "/").text(), "x");
    }
}

#[test]
fn the_program_checks_and_describes_without_serving() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    let name = path.to_str().unwrap();
    std::fs::write(&path, "{\"routes\": {\"*\": {\"respond\": {\"status\": 204}}}}").unwrap();
    assert_eq!(cloudcup(&["--check", name]).status.code(), Some(0));
    std::fs::write(&path, "{\n \"routs\": 1}").unwrap();
    let output = cloudcup(&["--check", name]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("c.json:2:2:") && text.contains("routes"), "{text}");
    assert_eq!(cloudcup(&["--check", "/no/such/file"]).status.code(), Some(1));
    let schema = cloudcup(&["--schema"]);
    assert!(serde_json::from_slice::<serde_json::Value>(&schema.stdout).is_ok());
    assert_eq!(cloudcup(&["--no-such-option"]).status.code(), Some(2));
    assert_eq!(cloudcup(&["worker", "--link=99"]).status.code(), Some(2));
    let version = cloudcup(&["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("cloudcup "));
}

/// The serials of the ready workers, and the service's.
fn serials(proxy: &Proxy) -> (Vec<u64>, u64) {
    let output = proxy.cupctl(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let workers = status["workers"].as_array().expect("workers").clone();
    let ready = workers.iter().filter(|worker| worker["state"] == "ready");
    let serials = ready.map(|worker| worker["serial"].as_u64().unwrap()).collect();
    (serials, status["serial"].as_u64().unwrap())
}

#[test]
fn applies_while_workers_die_leave_all_on_one_serial() {
    let origins = [Origin::saying("a"), Origin::saying("b")];
    let config = |n: usize| routes(&to(&[&origins[n].address]));
    let proxy = Setup::new(&config(0)).start();
    for n in 1..=8 {
        let workers = proxy.workers();
        std::fs::write(proxy.config(), config(n % 2)).unwrap();
        proxy.signal(Signal::SIGHUP);
        // In the middle of it, wherever that is.
        kill(Pid::from_raw(workers[n % workers.len()] as i32), Signal::SIGKILL).unwrap();
        until("two workers on the new serial", || {
            let (workers, serial) = serials(&proxy);
            (serial == n as u64 + 1 && workers == [serial, serial]).then_some(())
        });
        for _ in 0..10 {
            assert_eq!(get(proxy.address(), "/").text(), ["a", "b"][n % 2]);
        }
    }
}

#[test]
fn an_apply_outlasts_a_worker_that_hangs() {
    let origins = [Origin::saying("a"), Origin::saying("b")];
    let proxy = before(&origins[0]);
    let workers = proxy.workers();
    kill(Pid::from_raw(workers[0] as i32), Signal::SIGSTOP).unwrap();
    // Waits until the hung one is replaced, then takes effect everywhere.
    proxy.reload(&routes(&to(&[&origins[1].address])));
    for _ in 0..20 {
        assert_eq!(get(proxy.address(), "/").text(), "b");
    }
    assert!(!proxy.workers().contains(&workers[0]));
}
