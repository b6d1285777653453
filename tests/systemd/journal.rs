//! What the journal holds: records of the life cycle with their ids, access records with their fields.

use crate::machine::{self, Scenario, field, must, signal};
use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::wait::until;
use nix::sys::signal::Signal;
use std::collections::BTreeSet;

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        ("life_cycle_records_have_ids", life_cycle_records_have_ids),
        ("the_catalog_explains_every_id", the_catalog_explains_every_id),
        ("access_records_have_their_fields", access_records_have_their_fields),
        ("untrusted_bytes_forge_no_field", untrusted_bytes_forge_no_field),
    ]
}

/// What the service itself wrote (`cupctl reload` runs in the same unit).
fn of_service(records: &[serde_json::Value]) -> Vec<&serde_json::Value> {
    let ours = |r: &&serde_json::Value| {
        field(r, "_SYSTEMD_UNIT") == "cloudcup.service" && field(r, "_COMM") == "cloudcup"
    };
    records.iter().filter(ours).collect()
}

fn life_cycle_records_have_ids() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    let mark = machine::now();
    machine::start();
    let workers = machine::await_workers(2);
    signal(workers[0], Signal::SIGKILL);
    machine::await_workers(2);
    must("systemctl", &["reload", "cloudcup"]);
    let records = machine::since(&mark);
    let ours = of_service(&records);
    let ids: BTreeSet<&str> =
        ours.iter().map(|r| field(r, "MESSAGE_ID")).filter(|id| id.len() == 32).collect();
    assert!(ids.len() >= 3, "start, worker's death, apply: {ids:?}");
    let death = ours.iter().find(|r| {
        !field(r, "MESSAGE_ID").is_empty() && field(r, "MESSAGE").contains(&workers[0].to_string())
    });
    assert!(death.is_some(), "the death of worker {} has a record", workers[0]);
    for record in ours {
        assert!(!field(record, "PRIORITY").is_empty(), "{record}");
        assert_eq!(field(record, "SYSLOG_IDENTIFIER"), "cloudcup", "{record}");
    }
}

fn the_catalog_explains_every_id() {
    let catalog = must("journalctl", &["--no-pager", "--list-catalog"]);
    let file = std::fs::read_to_string("/usr/lib/systemd/catalog/cloudcup.catalog").unwrap();
    let ids: Vec<&str> = file.lines().filter_map(|l| l.strip_prefix("-- ")).collect();
    assert!(ids.len() >= 5, "{ids:?}");
    for id in ids {
        let id = id.split(' ').next().unwrap();
        assert!(catalog.contains(id), "{id} is known to journalctl");
    }
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    let mark = machine::now();
    machine::start();
    machine::await_workers(2);
    for record in of_service(&machine::since(&mark)) {
        let id = field(record, "MESSAGE_ID");
        assert!(id.is_empty() || file.contains(id), "{id} is in the catalog: {record}");
    }
}

/// Access records since `mark`.
fn access(mark: &str, count: usize) -> Vec<serde_json::Value> {
    until("access records", || {
        let mut records = machine::since(mark);
        records.retain(|r| !field(r, "CUP_STATUS").is_empty());
        (records.len() >= count).then_some(records)
    })
}

fn access_records_have_their_fields() {
    let origin = Origin::saying("hello");
    machine::configure_with(
        &origin.address,
        ", \"log\": { \"access\": \"journal\", \"sample\": 1 }",
    );
    machine::start();
    let mark = machine::now();
    let mut client = Client::connect(machine::address());
    client.send("GET /page?secret=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(client.response("GET").status(), 200);
    let records = access(&mark, 1);
    let of_path = |r: &&serde_json::Value| field(r, "CUP_PATH").starts_with("/page");
    let record = records.iter().find(of_path).expect("the record of this request");
    for (name, value) in [
        ("CUP_METHOD", "GET"),
        ("CUP_HOST", "shop.example"),
        ("CUP_STATUS", "200"),
        ("CUP_ROUTE", "*"),
        ("CUP_BACKEND", origin.address.as_str()),
        ("CUP_CLIENT", "127.0.0.1"),
        ("_SYSTEMD_UNIT", "cloudcup.service"),
    ] {
        assert!(field(record, name).starts_with(value), "{name}: {record}");
    }
    for name in [
        "CUP_POOL",
        "CUP_PATH",
        "CUP_BYTES",
        "CUP_DURATION_US",
        "CUP_UPSTREAM_US",
        "CUP_CONNECT_US",
        "CUP_REQUEST_ID",
        "CUP_WORKER",
        "CUP_SERIAL",
    ] {
        assert!(!field(record, name).is_empty(), "{name} in {record}");
    }
    assert!(field(record, "CUP_PATH").starts_with("/page"));
    let id = field(record, "CUP_REQUEST_ID");
    assert_eq!(origin.last().field("x-request-id"), Some(id), "the same id as the backend saw");
}

fn untrusted_bytes_forge_no_field() {
    let origin = Origin::saying("x");
    machine::configure_with(
        &origin.address,
        ", \"log\": { \"access\": \"journal\", \"sample\": 1 }",
    );
    machine::start();
    let mark = machine::now();
    let mut client = Client::connect(machine::address());
    client.send("GET /%0aCUP_STATUS=999%0aFORGED=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response("GET").status(), 200);
    let records = access(&mark, 1);
    assert!(records.iter().all(|r| r.get("FORGED").is_none()), "{records:?}");
    assert_eq!(field(&records[0], "CUP_STATUS"), "200");
}
