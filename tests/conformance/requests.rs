//! Requests: refused ones by a recording origin and by real ones, valid ones by real ones.

use crate::proxy;
use crate::read::{Case, read};
use crate::support::client::{Client, Message};
use crate::support::origin::Origin;
use crate::support::real::Real;
use crate::support::skip;
use cloudcup::proto::h1::{Offence, Role};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

const REFUSED: &str = include_str!("../tables/requests-refused.tsv");
const VALID: &str = include_str!("../tables/requests-valid.tsv");

/// The status that the table's offence is answered with.
fn status_due(case: &Case) -> u16 {
    let offence = Offence::ALL.iter().find(|offence| format!("{offence:?}") == case.text(0));
    offence.expect("an offence by this name").status(Role::Server)
}

/// Sends a refused request and reads the refusal: one error response that closes.
#[track_caller]
fn refusal(to: SocketAddr, case: &Case) {
    let at = format!("line {}: {}", case.line, case.name);
    let mut client = Client::connect(to);
    client.try_send(case.bytes(1).expect("bytes"));
    let mut response = client.head().unwrap_or_else(|| panic!("{at}: closed without a word"));
    assert_eq!(response.status(), status_due(case), "{at}: {response:?}");
    assert_eq!(response.field("connection"), Some("close"), "{at}");
    client.body(&mut response);
    client.assert_closed();
}

/// Whether the offence is in the content, so that the head was in order and may have gone on.
fn is_in_content(case: &Case) -> bool {
    case.name.starts_with("chunk ") || case.name.starts_with("trailer ")
}

#[test]
fn nothing_of_a_refused_request_reaches_the_origin() {
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let record = Arc::clone(&seen);
    let origin = Origin::start(move |mut guest| {
        let bytes = guest.client.rest();
        record.lock().unwrap().push(bytes);
    });
    let proxy = proxy(&origin.address);
    let cases = read(REFUSED, 2);
    for case in cases.iter().filter(|case| !is_in_content(case)) {
        refusal(proxy.address(), case);
    }
    assert_eq!(origin.connections(), 0, "nothing to connect for");
    for case in cases.iter().filter(|case| is_in_content(case)) {
        refusal(proxy.address(), case);
    }
    drop(proxy);
    drop(origin);
    for bytes in seen.lock().unwrap().iter() {
        let text = String::from_utf8_lossy(bytes);
        assert!(text.matches("Host: ").count() <= 1, "one head at most: {text}");
        assert!(!text.ends_with("\r\n0\r\n\r\n"), "a complete request got through: {text}");
    }
}

/// Refused requests, each followed by a proper one on another connection, which must get its own
/// answer: no byte of the first is in the way on the connection to the origin.
#[track_caller]
fn refused_before(origin: &Real, path: &str) {
    let proxy = proxy(&origin.address.to_string());
    for case in &read(REFUSED, 2) {
        refusal(proxy.address(), case);
        let target = format!("{path}?case={}", case.line);
        let mut canary = Client::connect(proxy.address());
        canary.send(format!("GET {target} HTTP/1.1\r\nHost: canary.test\r\n\r\n"));
        let answer = canary.response("GET");
        assert_eq!(answer.status(), 200, "{}", case.name);
        assert!(answer.text().contains(&target), "{}: {}", case.name, answer.text());
    }
}

#[test]
fn refused_requests_leave_nginx_unmoved() {
    match Real::nginx(&[]) {
        Some(origin) => refused_before(&origin, "/echo"),
        None => skip("refused_requests_leave_nginx_unmoved", "no nginx here"),
    }
}

#[test]
fn refused_requests_leave_python_unmoved() {
    match Real::python() {
        Some(origin) => refused_before(&origin, "/echo"),
        None => skip("refused_requests_leave_python_unmoved", "no python3 here"),
    }
}

#[test]
fn refused_requests_leave_node_unmoved() {
    match Real::node() {
        Some(origin) => refused_before(&origin, "/echo"),
        None => skip("refused_requests_leave_node_unmoved", "no node here"),
    }
}

/// The plainest spelling of what a valid case means.
fn plain(case: &Case) -> Vec<u8> {
    let part = |column| case.bytes(column).unwrap_or_default();
    let authority = case.bytes(2).unwrap_or_else(|| b"127.0.0.1".to_vec());
    let mut wire = [&part(0)[..], b" ", &part(1), b" HTTP/1.1\r\nHost: ", &authority].concat();
    for field in case.lines(3) {
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&field);
    }
    if let Some(body) = case.bytes(4) {
        wire.extend_from_slice(format!("\r\nContent-Length: {}", body.len()).as_bytes());
    }
    wire.extend_from_slice(b"\r\n\r\n");
    wire.extend_from_slice(&part(4));
    wire
}

/// Sends a request and reads its final response.
#[track_caller]
fn ask(to: SocketAddr, bytes: &[u8], method: &str) -> Message {
    let mut client = Client::connect(to);
    client.send(bytes);
    loop {
        let response = client.response(method);
        if response.status() >= 200 {
            return response;
        }
    }
}

/// Fields that a proxy makes anew or adds, so that they may differ.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// What an echo tells, without what the proxy may change.
fn told(response: &Message) -> Value {
    let Ok(mut value) = serde_json::from_slice::<Value>(&response.body) else {
        return Value::String(String::from_utf8_lossy(&response.body).into_owned());
    };
    if let Some(fields) = value["fields"].as_array_mut() {
        fields.retain(|field| {
            let name = field[0].as_str().unwrap_or_default().to_lowercase();
            !OURS.contains(&name.as_str())
        });
    }
    value
}

#[track_caller]
fn valid_before(origin: &Real) {
    let proxy = proxy(&origin.address.to_string());
    let (mut served, mut refused) = (0, 0);
    for case in &read(VALID, 6) {
        let at = format!("line {}: {}", case.line, case.name);
        let method = String::from_utf8_lossy(&case.bytes(0).unwrap_or_default()).into_owned();
        let target = case.bytes(1).unwrap_or_default();
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let through = ask(proxy.address(), &case.bytes(5).expect("bytes"), &method);
        // Routing has its own rules for paths that servers read in different ways.
        if path.starts_with(b"/") && cloudcup::route::path::check(path).is_err() {
            assert_eq!(through.status(), 400, "{at}");
            refused += 1;
            continue;
        }
        let direct = ask(origin.address, &plain(case), &method);
        assert_eq!(through.status(), direct.status(), "{at}: {through:?}");
        assert_eq!(told(&through), told(&direct), "{at}");
        served += usize::from(direct.status() == 200);
    }
    assert!(refused < 10, "{refused}");
    assert!(served >= 100, "only {served} cases were answered");
}

#[test]
fn valid_requests_mean_the_same_to_python() {
    match Real::python() {
        Some(origin) => valid_before(&origin),
        None => skip("valid_requests_mean_the_same_to_python", "no python3 here"),
    }
}

#[test]
fn valid_requests_mean_the_same_to_node() {
    match Real::node() {
        Some(origin) => valid_before(&origin),
        None => skip("valid_requests_mean_the_same_to_node", "no node here"),
    }
}
