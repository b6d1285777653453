//! What happens around messages: failures and retries, time-outs, applies, draining.

use super::rig::{Origin, Rig, document, plan};
use crate::observe::{Counter, Gauge};
use std::time::Duration;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn without_a_route_the_answer_says_so() {
    let document = r#"{"version":1,"listeners":{"http":{"address":"127.0.0.1:80"}},
        "routes":{"/a":{"respond":{"status":200,"body":"fixed","headers":{"X-A":"b"}}},
                  "/r/*":{"redirect":{"to":"https://new{uri}","status":308}}}}"#;
    let mut rig = Rig::new(document);
    let mut client = rig.client();
    client.send(GET);
    assert!(rig.expect(&mut client, "Not Found\n").starts_with("HTTP/1.1 404 Not Found\r\n"));
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = rig.expect(&mut client, "fixed");
    assert!(answer.contains("x-a: b\r\n"), "{answer}");
    client.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(rig.expect(&mut client, "\r\n\r\n").contains("Content-Length: 5\r\n"));
    client.send("GET /r/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = rig.expect(&mut client, "\r\n\r\n");
    assert!(answer.contains("Location: https://new/r/x?y=1\r\n"), "{answer}");
    rig.assert_at_rest();
    assert_eq!(rig.worker.fronts(), 1);
}

#[test]
fn a_request_with_a_small_body_keeps_its_connection_through_an_answer_made_here() {
    let document = r#"{"version":1,"listeners":{"http":{"address":"127.0.0.1:80"}},
        "routes":{"/a":{"respond":{"status":200,"body":"fixed"}}}}"#;
    let mut rig = Rig::new(document);
    let mut client = rig.client();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12");
    rig.expect(&mut client, "fixed");
    client.send("345GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.expect(&mut client, "fixed");
    rig.assert_at_rest();
}

#[test]
fn a_refused_backend_is_passed_over() {
    let (dead, origin) = (Origin::new(), Origin::new());
    let mut rig = Rig::to(&[&dead, &origin]);
    drop(dead);
    let mut client = rig.client();
    let mut back = None;
    for _ in 0..4 {
        client.send(POST);
        let back = back.get_or_insert_with(|| rig.accept(&origin));
        rig.expect(back, "hi");
        back.send(OK);
        rig.expect(&mut client, "ok");
    }
    rig.assert_at_rest();
    assert!(rig.worker.core.page.counter(Counter::Retries) >= 1);
    assert_eq!(rig.worker.core.page.counter(Counter::Status2xx), 4);
}

#[test]
fn with_no_backend_left_the_client_is_told() {
    let dead = Origin::new();
    let mut rig = Rig::to(&[&dead]);
    drop(dead);
    let mut client = rig.client();
    for status in [502, 502, 502, 503] {
        client.send(GET);
        let word = if status == 502 { "Gateway\n" } else { "Unavailable\n" };
        let answer = rig.expect(&mut client, word);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert_eq!(rig.worker.core.page.counter(Counter::MemberDown), 1);
    rig.assert_at_rest();
}

#[test]
fn an_idle_connection_that_died_is_replaced_for_a_get_and_not_for_a_post() {
    for (again, ask) in [(true, GET), (false, POST)] {
        let origin = Origin::new();
        let mut rig = Rig::to(&[&origin]);
        let mut client = rig.client();
        client.send(GET);
        let mut back = rig.accept(&origin);
        rig.expect(&mut back, "\r\n\r\n");
        back.send(OK);
        rig.expect(&mut client, "ok");
        client.send(ask);
        rig.expect(&mut back, if again { "\r\n\r\n" } else { "hi" });
        drop(back);
        if again {
            let mut back = rig.accept(&origin);
            rig.expect(&mut back, "\r\n\r\n");
            back.send(OK);
            rig.expect(&mut client, "ok");
        } else {
            assert!(rig.expect(&mut client, "Gateway\n").starts_with("HTTP/1.1 502"));
        }
        rig.assert_at_rest();
    }
}

#[test]
fn an_idle_connection_that_closes_is_forgotten() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send(POST);
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "hi");
    back.send(OK);
    rig.expect(&mut client, "ok");
    drop(back);
    rig.until(|rig| rig.worker.backs() == 0);
    client.send(POST);
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "hi");
    back.send(OK);
    rig.expect(&mut client, "ok");
    rig.assert_at_rest();
}

#[test]
fn a_cut_response_is_never_taken_for_a_whole_one() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = rig.client();
        client.send(GET);
        let mut back = rig.accept(&origin);
        rig.expect(&mut back, "\r\n\r\n");
        back.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n3\r\nabc\r\n"));
        rig.expect(&mut client, "abc");
        drop(back);
        let rest = rig.expect_end(&mut client);
        assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
    }
    rig.until(|rig| rig.worker.fronts() == 0);
    rig.assert_at_rest();
    assert_eq!(rig.worker.core.page.counter(Counter::FaultBackend), 2);
}

#[test]
fn a_client_that_goes_away_takes_its_backend_along() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123");
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "123");
    drop(client);
    rig.expect_end(&mut back);
    rig.until(|rig| rig.worker.fronts() == 0 && rig.worker.backs() == 0);
    rig.assert_at_rest();
}

/// The answer that a client gets after `wait` when it said `text` and the backend said `back`.
fn timed(text: &str, back: Option<&str>, wait: Duration, timeouts: &str) -> String {
    let origin = Origin::new();
    let more = format!(r#","timeouts":{{{timeouts}}}"#);
    let mut rig = Rig::new(&document(&[origin.address], &more));
    let mut client = rig.client();
    client.send(text);
    let mut peer = None;
    if let Some(say) = back {
        let mut taken = rig.accept(&origin);
        rig.expect(&mut taken, "\r\n\r\n");
        taken.send(say);
        peer = Some(taken);
    }
    rig.settle();
    rig.ahead += wait;
    let answer = rig.expect_end(&mut client);
    drop((client, peer));
    rig.ahead += Duration::from_secs(5);
    rig.until(|rig| rig.worker.fronts() == 0);
    rig.assert_at_rest();
    answer
}

#[test]
fn each_phase_has_its_time_out() {
    let second = Duration::from_millis(1_100);
    let head = timed("GET / HT", None, second, r#""header":"1s""#);
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_eq!(timed("", None, second, r#""header":"1s""#), "", "nothing was asked");
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nConnection: close\r\n\r\n12";
    let body = timed(post, Some(""), second, r#""body_idle":"1s""#);
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    let close = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let reply = timed(close, Some(""), second, r#""response_header":"1s""#);
    assert!(reply.starts_with("HTTP/1.1 504"), "{reply}");
    let whole = timed(close, Some(""), second, r#""request":"1s""#);
    assert!(whole.starts_with("HTTP/1.1 504"), "{whole}");
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12";
    let idle = timed(close, Some(part), second, r#""response_idle":"1s""#);
    assert!(idle.ends_with("12"), "{idle}");
}

#[test]
fn resting_connections_are_closed_after_their_time() {
    let origin = Origin::new();
    let more = r#","timeouts":{"idle":"10s"}"#;
    let mut rig = Rig::new(&document(&[origin.address], more));
    let mut client = rig.client();
    client.send(GET);
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    back.send(OK);
    rig.expect(&mut client, "ok");
    rig.ahead += Duration::from_secs(9);
    rig.settle();
    assert_eq!((rig.worker.fronts(), rig.worker.backs()), (1, 1));
    rig.ahead += Duration::from_secs(2);
    rig.until(|rig| rig.worker.fronts() == 0 && rig.worker.backs() == 0);
    rig.assert_at_rest();
    assert_eq!(rig.worker.core.wheel.len(), 0, "timers leak");
}

#[test]
fn an_apply_leaves_exchanges_tunnels_and_connections_alone() {
    let (old, new) = (Origin::new(), Origin::new());
    let mut rig = Rig::to(&[&old]);
    let (mut client, mut socket) = (rig.client(), rig.client());
    socket.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    let mut tunnel = rig.accept(&old);
    rig.expect(&mut tunnel, "\r\n\r\n");
    tunnel.send("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    rig.expect(&mut socket, "\r\n\r\n");
    client.send(GET);
    let mut back = rig.accept(&old);
    rig.expect(&mut back, "\r\n\r\n");
    rig.worker.apply(plan(2, &document(&[new.address], "")));
    back.send(OK);
    rig.expect(&mut client, "ok");
    rig.expect_end(&mut back);
    client.send(GET);
    let mut fresh = rig.accept(&new);
    rig.expect(&mut fresh, "\r\n\r\n");
    fresh.send(OK);
    rig.expect(&mut client, "ok");
    socket.send("still here");
    rig.expect(&mut tunnel, "still here");
    drop((socket, tunnel));
    rig.until(|rig| rig.worker.fronts() == 1);
    rig.assert_at_rest();
    let members = rig.worker.core.pools.members().count();
    assert_eq!(members, 1, "the member of the old plan is gone with its last connection");
}

#[test]
fn connections_of_a_listener_that_is_gone_end_with_their_exchange() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let (mut client, mut idle) = (rig.client(), rig.client());
    client.send(GET);
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    rig.until(|rig| rig.worker.fronts() == 2);
    let other = document(&[origin.address], "").replace("\"http\":", "\"other\":");
    rig.worker.apply(plan(2, &other));
    rig.expect_end(&mut idle);
    back.send(OK);
    assert!(rig.expect_end(&mut client).contains("Connection: close\r\n"));
    rig.assert_at_rest();
}

#[test]
fn a_stop_ends_resting_connections_and_waits_for_busy_ones() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let (mut busy, mut idle) = (rig.client(), rig.client());
    busy.send(GET);
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    rig.until(|rig| rig.worker.fronts() == 2);
    rig.worker.stop(false, Duration::from_secs(30));
    rig.ahead += Duration::from_secs(2);
    rig.expect_end(&mut idle);
    assert!(!rig.worker.is_over());
    back.send(OK);
    assert!(rig.expect_end(&mut busy).contains("Connection: close\r\n"));
    rig.until(|rig| rig.worker.is_over());
    rig.assert_at_rest();
}

#[test]
fn a_stop_does_not_wait_beyond_its_deadline() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut busy = rig.client();
    busy.send(GET);
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    rig.worker.stop(false, Duration::from_secs(30));
    rig.ahead += Duration::from_secs(31);
    rig.until(|rig| rig.worker.is_over());
    rig.expect_end(&mut busy);
    rig.expect_end(&mut back);
}

#[test]
fn at_its_cap_a_worker_leaves_connections_to_the_kernel() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    rig.worker.fronts_max = 2;
    let clients: Vec<_> = (0..4).map(|_| rig.client()).collect();
    rig.until(|rig| rig.worker.core.page.counter(Counter::ConnectionsLimit) > 0);
    rig.settle();
    assert_eq!(rig.worker.fronts(), 2);
    assert!(!rig.worker.timeout(rig.now()).is_zero(), "no spinning");
    drop(clients);
    rig.until(|rig| rig.worker.core.page.counter(Counter::Accepted) == 4);
    rig.until(|rig| rig.worker.fronts() == 0);
    assert_eq!(rig.worker.core.page.gauge(Gauge::FrontConnections), 0);
}
