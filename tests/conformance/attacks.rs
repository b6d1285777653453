//! Attacks that live between messages: what is sent too early, too late, or behind the end of
//! something. Each is named after its class; the malformed messages themselves are in the tables.

use crate::proxy;
use crate::support::client::Client;
use crate::support::origin::{Origin, answer};
use crate::support::proxy::Setup;
use crate::support::wait::until;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Long enough for bytes to pass through if they were going to.
const A_WHILE: Duration = Duration::from_millis(200);

/// Bytes that would be a request if somebody took them for one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// First lines of the heads an origin saw, on all its connections.
type Heads = Arc<Mutex<Vec<String>>>;

fn heads(seen: &Heads) -> Vec<String> {
    seen.lock().unwrap().clone()
}

/// CVE-2026-2833: bytes behind `Upgrade` went to the backend before its 101.
#[test]
fn bytes_behind_an_upgrade_wait_for_the_101() {
    let origin = Origin::start(|mut guest| {
        while let Some(request) = guest.request() {
            if request.field("upgrade").is_some() {
                assert!(guest.client.quiet_for(A_WHILE), "bytes came before the answer");
            }
            guest.send(answer(&request.line));
        }
    });
    let proxy = proxy(&origin.address);
    let mut client = Client::connect(proxy.address());
    client.send(format!(
        "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{SMUGGLED}"
    ));
    assert_eq!(client.response("GET").text(), "GET /ws HTTP/1.1");
    assert_eq!(client.response("GET").text(), "GET /smuggled HTTP/1.1", "a request of its own");
    let lines: Vec<String> = origin.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["GET /ws HTTP/1.1", "GET /smuggled HTTP/1.1"]);
}

/// h2c smuggling: an upgrade to another version of HTTP would tunnel past every rule.
#[test]
fn an_upgrade_to_http_2_is_not_offered_on() {
    let origin = Origin::start(|mut guest| {
        while let Some(request) = guest.request() {
            for name in ["upgrade", "http2-settings"] {
                assert_eq!(request.field(name), None);
            }
            guest.send(answer(&request.line));
        }
    });
    let proxy = proxy(&origin.address);
    let mut client = Client::connect(proxy.address());
    client.send(
        "GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    let response = client.response("GET");
    assert_eq!((response.status(), response.text()), (200, "GET /a HTTP/1.1"));
    assert_eq!(client.get("/b").text(), "GET /b HTTP/1.1");
}

/// Expect-based desync (2025): a final answer instead of 100 leaves it open whether content follows.
#[test]
fn a_final_answer_to_an_expectation_ends_the_connection() {
    let origin = Origin::start(|mut guest| {
        while guest.client.head().is_some() {
            guest.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    let proxy = proxy(&origin.address);
    let mut client = Client::connect(proxy.address());
    client.send(format!(
        "POST /e HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        SMUGGLED.len()
    ));
    let response = client.response("POST");
    assert_eq!((response.status(), response.text()), (200, "no"));
    // Whichever it is taken for, no second answer may come.
    client.try_send(SMUGGLED);
    client.assert_closed();
}

/// CL.0 and CVE-2025-4366: content that a backend never read stands in front of the next request.
#[test]
fn content_that_was_not_read_comes_before_no_other_request() {
    let seen = Heads::default();
    let record = Arc::clone(&seen);
    let origin = Origin::start(move |mut guest| {
        while let Some(head) = guest.client.head() {
            record.lock().unwrap().push(head.line.clone());
            guest.send(answer(&head.line));
        }
    });
    let proxy = proxy(&origin.address);
    for round in 0..20 {
        let mut first = Client::connect(proxy.address());
        first.send(format!(
            "POST /first HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
            SMUGGLED.len() + 40
        ));
        assert_eq!(first.response("POST").text(), "POST /first HTTP/1.1", "{round}");
        let mut second = Client::connect(proxy.address());
        assert_eq!(second.get("/second").text(), "GET /second HTTP/1.1", "{round}");
    }
    drop(proxy);
    let answered = |line: &&String| line.contains("/second");
    assert_eq!(heads(&seen).iter().filter(answered).count(), 20);
}

/// Client-side desync: an answer of the proxy's own must not leave content to be read as a request.
#[test]
fn an_answer_of_our_own_leaves_no_content_behind() {
    let setup = Setup::new(
        r#"{"version": 1, "listeners": {"http": {"address": "127.0.0.1:0"}},
            "workers": {"count": 1}, "log": {"access": "off"}, "routes": {"*":
            {"respond": {"status": 200, "body": "own"}}}}"#,
    );
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    client.send(format!(
        "POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
        SMUGGLED.len()
    ));
    assert_eq!(client.response("POST").text(), "own");
    let again = client.try_send("GET /b HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
    let answers = rest.matches("HTTP/1.1 ").count();
    assert!(answers <= usize::from(again), "content was answered: {rest}");
}

/// CVE-2026-2835: content of an HTTP/1.0 request that "ends with the connection".
#[test]
fn a_request_of_http_1_0_without_length_has_no_content() {
    let origin = Origin::start(|mut guest| {
        while let Some(request) = guest.request() {
            guest.send(answer(&request.line));
        }
    });
    let proxy = proxy(&origin.address);
    let mut client = Client::connect(proxy.address());
    client.send(format!("POST /old HTTP/1.0\r\nHost: a.test\r\n\r\n{SMUGGLED}"));
    assert_eq!(client.response("POST").text(), "POST /old HTTP/1.1");
    client.assert_closed();
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(origin.last().field("content-length"), Some("0"));
}

/// Response queue poisoning: what a backend says unasked is nobody's answer.
#[test]
fn a_response_that_nobody_asked_for_is_nobodys() {
    let origin = Origin::start(|mut guest| {
        while let Some(request) = guest.request() {
            guest.send(answer(&request.line));
            // On an idle connection, not behind the answer.
            if guest.client.quiet_for(Duration::from_millis(20)) {
                guest.send(answer("poison"));
            }
        }
    });
    let proxy = proxy(&origin.address);
    for round in 0..20 {
        let mut client = Client::connect(proxy.address());
        for path in ["/a", "/b", "/c"] {
            let text = client.get(&format!("{path}-{round}")).text().to_string();
            assert_eq!(text, format!("GET {path}-{round} HTTP/1.1"));
        }
    }
}

/// CONNECT payload before a tunnel (Traefik 2026-07): refused, and what follows is no request.
#[test]
fn what_follows_a_refused_connect_is_not_read() {
    let origin = Origin::saying("never");
    let proxy = proxy(&origin.address);
    let mut client = Client::connect(proxy.address());
    client.send(format!("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n{SMUGGLED}"));
    assert_eq!(client.response("CONNECT").status(), 405);
    client.assert_closed();
    assert_eq!(origin.connections(), 0);
}

/// A request cut off in its content is never completed by the proxy.
#[test]
fn a_request_that_was_cut_off_stays_cut_off() {
    for framing in
        ["Content-Length: 100\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
    {
        let seen = Heads::default();
        let record = Arc::clone(&seen);
        let origin = Origin::start(move |mut guest| {
            let bytes = guest.client.rest();
            record.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
        });
        let proxy = proxy(&origin.address);
        let client = Client::connect(proxy.address());
        let mut client = client;
        client.send(format!("POST /cut HTTP/1.1\r\nHost: a.test\r\n{framing}"));
        until("the origin's connection", || (origin.connections() == 1).then_some(()));
        client.shut();
        let bytes = until("the end at the origin", || heads(&seen).pop());
        assert!(!bytes.ends_with("0\r\n\r\n"), "{bytes}");
        let body = bytes.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert!(body.len() < 100, "{bytes}");
    }
}

/// Whoever is refused can be told why: the access record names the offence.
#[test]
fn the_record_of_a_refusal_names_the_offence() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access");
    let origin = Origin::start(|mut guest| {
        while guest.request().is_some() {
            guest.send("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello");
        }
    });
    let setup = Setup::new(&format!(
        r#"{{"version": 1, "listeners": {{"http": {{"address": "127.0.0.1:0"}}}},
            "workers": {{"count": 1}}, "log": {{"access": "file:{}"}}, "routes": {{"*":
            {{"backends": [{{"address": "{}"}}]}}}}}}"#,
        log.display(),
        origin.address
    ));
    let proxy = setup.start();
    let mut client = Client::connect(proxy.address());
    client.send("GET /front HTTP/1.1\r\nHost: a.test\r\nX: a\nY: b\r\n\r\n");
    assert_eq!(client.response("GET").status(), 400);
    assert_eq!(Client::connect(proxy.address()).get("/back").status(), 502);
    for (status, word) in [(400, "bare_lf"), (502, "length_duplicate")] {
        until("a record of the refusal", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let record =
                text.lines().find(|line| line.contains(&format!("\"status\":{status}")))?;
            assert!(record.contains(&format!("\"offence\":\"{word}\"")), "{record}");
            Some(())
        });
    }
}
