//! Workers that outlive their master: a manager keeps their links, the next master takes them over.
//! And which configuration a start runs.

use crate::support::client::get;
use crate::support::load::Load;
use crate::support::origin::Origin;
use crate::support::proxy::{Proxy, Setup};
use crate::support::wait::until;
use crate::{routes, to};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn config(origin: &Origin) -> String {
    routes(&to(&[&origin.address]))
}

/// The state as `cupctl` sees it.
fn status(proxy: &Proxy) -> serde_json::Value {
    // While a worker is being replaced the exit status is 1, and the answer is there all the same.
    let output = proxy.cupctl(&["status", "--json"]);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// (process, adopted) of the ready workers.
fn workers(proxy: &Proxy) -> Vec<(u64, bool)> {
    let status = status(proxy);
    let list = status["workers"].as_array().expect("workers").clone();
    let ready = list.iter().filter(|worker| worker["state"] == "ready");
    let mut found: Vec<(u64, bool)> =
        ready.map(|worker| (worker["pid"].as_u64().unwrap(), worker["adopted"] == true)).collect();
    found.sort_unstable();
    found
}

fn die(proxy: &mut Proxy) {
    proxy.signal(Signal::SIGKILL);
    proxy.await_end();
}

#[test]
fn a_killed_master_fails_no_request_and_its_workers_are_adopted() {
    let origin = Origin::saying("x");
    let mut proxy = Setup::new(&config(&origin)).with_store().start();
    until("both workers", || (workers(&proxy).len() == 2).then_some(()));
    let before: Vec<u64> = workers(&proxy).iter().map(|(pid, _)| *pid).collect();
    let load = Load::start(proxy.address());
    for _ in 0..3 {
        die(&mut proxy);
        load.more();
        proxy.start_again();
        load.more();
    }
    assert_eq!(load.end(), Vec::<String>::new());
    let after = workers(&proxy);
    assert_eq!(after, before.iter().map(|pid| (*pid, true)).collect::<Vec<_>>());
    assert_eq!(status(&proxy)["serial"], 1, "the file has not changed, nor has the serial");
}

#[test]
fn an_adopted_worker_follows_applies_and_is_replaced_when_it_dies() {
    let origins = [Origin::saying("old"), Origin::saying("new")];
    let mut proxy = Setup::new(&config(&origins[0])).with_store().start();
    die(&mut proxy);
    proxy.start_again();
    proxy.reload(&config(&origins[1]));
    for _ in 0..10 {
        assert_eq!(get(proxy.address(), "/").text(), "new");
    }
    let (victim, adopted) = workers(&proxy)[0];
    assert!(adopted);
    kill(Pid::from_raw(victim as i32), Signal::SIGKILL).unwrap();
    until("its replacement", || {
        let now = workers(&proxy);
        (now.len() == 2 && now.iter().all(|(pid, _)| *pid != victim)).then_some(())
    });
    assert!(!proxy.stored().iter().any(|name| name == &format!("p-{victim}")), "out of the store");
    for _ in 0..10 {
        assert_eq!(get(proxy.address(), "/").text(), "new");
    }
}

#[test]
fn a_file_that_changed_while_no_master_ran_reaches_the_adopted_workers() {
    let origins = [Origin::saying("old"), Origin::saying("new")];
    let mut proxy = Setup::new(&config(&origins[0])).with_store().start();
    let before = workers(&proxy);
    die(&mut proxy);
    std::fs::write(proxy.config(), config(&origins[1])).unwrap();
    proxy.start_again();
    until("the new configuration in all workers", || {
        let status = status(&proxy);
        let list = status["workers"].as_array().unwrap().clone();
        let all = list.iter().all(|worker| worker["serial"] == 2);
        (all && status["serial"] == 2).then_some(())
    });
    for _ in 0..10 {
        assert_eq!(get(proxy.address(), "/").text(), "new");
    }
    let pids = |list: &[(u64, bool)]| list.iter().map(|(pid, _)| *pid).collect::<Vec<_>>();
    assert_eq!(pids(&workers(&proxy)), pids(&before));
}

#[test]
fn a_worker_that_died_meanwhile_is_not_adopted() {
    let origin = Origin::saying("x");
    let mut proxy = Setup::new(&config(&origin)).with_store().start();
    let before = workers(&proxy);
    die(&mut proxy);
    kill(Pid::from_raw(before[0].0 as i32), Signal::SIGKILL).unwrap();
    until("its end", || {
        crate::support::proxy::state(before[0].0 as u32).is_none_or(|s| s == 'Z').then_some(())
    });
    proxy.start_again();
    let after = workers(&proxy);
    assert_eq!(after.len(), 2);
    assert!(after.contains(&(before[1].0, true)));
    assert!(after.iter().any(|(_, adopted)| !adopted));
}

#[test]
fn live_changes_outlive_a_restart_until_the_file_changes() {
    let origins = [Origin::saying("file"), Origin::saying("live"), Origin::saying("newer")];
    let mut proxy = Setup::new(&config(&origins[0])).start();
    let live = proxy.folder().join("live.json");
    std::fs::write(&live, config(&origins[1])).unwrap();
    proxy.ctl(&["apply", live.to_str().unwrap()]);
    assert_eq!(get(proxy.address(), "/").text(), "live");
    proxy.signal(Signal::SIGTERM);
    proxy.await_end();
    proxy.start_again();
    assert_eq!(get(proxy.address(), "/").text(), "live", "the last acknowledged serial");
    assert_eq!(status(&proxy)["serial"], 2);
    proxy.signal(Signal::SIGTERM);
    proxy.await_end();
    std::fs::write(proxy.config(), config(&origins[2])).unwrap();
    proxy.start_again();
    assert_eq!(get(proxy.address(), "/").text(), "newer", "a changed file is meant");
    assert_eq!(status(&proxy)["serial"], 3);
    assert!(proxy.log().contains("replaces serial 2"), "{}", proxy.log());
}

#[test]
fn a_bad_file_at_start_leaves_the_last_good_serial_and_says_so() {
    let origin = Origin::saying("good");
    let mut proxy = Setup::new(&config(&origin)).start();
    proxy.signal(Signal::SIGTERM);
    proxy.await_end();
    std::fs::write(proxy.config(), "{\"routes\": {}, \"routs\": {}}").unwrap();
    proxy.start_again();
    assert_eq!(get(proxy.address(), "/").text(), "good");
    assert!(proxy.status_line().contains("routs"), "{}", proxy.status_line());
    assert_eq!(proxy.cupctl(&["status"]).status.code(), Some(1));
    proxy.reload(&config(&origin));
    assert_eq!(proxy.cupctl(&["status"]).status.code(), Some(0));
}

#[test]
fn without_any_good_configuration_passed_sockets_answer_503_until_there_is_one() {
    let origin = Origin::saying("good");
    let proxy = Setup::new("not even JSON").start();
    assert_eq!(get(proxy.address(), "/").status(), 503);
    assert_eq!(proxy.cupctl(&["status"]).status.code(), Some(1));
    proxy.reload(&config(&origin));
    assert_eq!(get(proxy.address(), "/").text(), "good");
    assert_eq!(proxy.cupctl(&["status"]).status.code(), Some(0));
}
