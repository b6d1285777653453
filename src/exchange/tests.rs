//! Lives of exchanges: when a retry is safe, when what is due.

use super::*;
use crate::policy::Timeouts;

const FRONT: Leg = Leg::Conn(1);
const BACK: Leg = Leg::Conn(2);

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn terms() -> Arc<Terms> {
    let ms = |n| Some(Duration::from_millis(n));
    Arc::new(Terms {
        timeouts: Timeouts {
            handshake: None,
            header: ms(10),
            body_idle: ms(200),
            idle: ms(1_000),
            connect: ms(300),
            response_header: ms(400),
            response_idle: ms(500),
            tunnel_idle: ms(600),
            request: ms(5_000),
        },
        ..Terms::default()
    })
}

fn exchange(method: Method) -> Exchange {
    let mut x = Exchange::new(FRONT, Box::new(Head::new()), method, terms(), at(0));
    assert!(x.turn(Turn::Pooled));
    x.attempt(at(0));
    x
}

/// An exchange whose request, with `body`, went out whole over a connection.
fn sent(method: Method, reused: bool, body: &[u8], pool: &mut BufPool) -> Exchange {
    let mut x = exchange(method);
    if reused {
        assert!(x.attach(BACK, at(1)));
    } else {
        assert!(x.dial(BACK, at(1)) && x.connected(at(1)));
    }
    x.up.put(body, pool);
    x.up.end();
    x.up.took(body.len(), pool);
    x.times.sent = at(2);
    x
}

#[test]
fn an_idle_connection_that_died_is_replaced_only_where_that_is_safe() {
    let mut pool = BufPool::new(8);
    let rows = [
        (Method::Get, true, true),
        (Method::Put, true, true),
        (Method::Delete, true, true),
        (Method::Post, true, false),
        (Method::Patch, true, false),
        (Method::Other, true, false),
        (Method::Get, false, false),
    ];
    for (method, reused, again) in rows {
        let mut x = sent(method, reused, b"body", &mut pool);
        assert_eq!(x.retry_after(Fault::BackendClosed), again, "{method:?} reused {reused}");
        if again {
            assert_eq!((x.stage(), x.up.data()), (Stage::Pick, &b"body"[..]));
            assert_eq!((x.back, x.fault()), (Leg::None, None));
        } else {
            assert_eq!(x.fault(), Some(Fault::BackendClosed));
        }
        x.up.discard(&mut pool);
    }
    assert_eq!(pool.out(), 0);
}

#[test]
fn what_never_reached_a_backend_is_sent_to_another_whatever_the_method() {
    for fault in [Fault::ConnectFailed, Fault::ConnectTimeout] {
        let mut x = exchange(Method::Post);
        assert!(x.turn(Turn::Dialling));
        assert!(x.retry_after(fault));
        assert_eq!(x.stage(), Stage::Pick);
    }
    let mut pool = BufPool::new(8);
    let mut x = exchange(Method::Post);
    assert!(x.attach(BACK, at(1)));
    x.up.put(b"still held", &mut pool);
    assert!(x.retry_after(Fault::SendFailed));
    x.up.discard(&mut pool);
}

#[test]
fn a_body_that_is_no_longer_held_is_never_sent_again() {
    let mut pool = BufPool::new(8);
    let block = crate::base::buf::BLOCK;
    let mut x = exchange(Method::Put);
    assert!(x.attach(BACK, at(1)));
    x.up.put(&vec![7; block], &mut pool);
    x.up.took(block, &mut pool);
    x.up.put(b"more", &mut pool);
    assert!(!x.retry_after(Fault::BackendClosed));
    x.up.discard(&mut pool);
}

#[test]
fn no_attempt_follows_once_a_response_began() {
    let mut pool = BufPool::new(8);
    let mut x = sent(Method::Get, true, b"", &mut pool);
    x.interims = 1;
    assert!(!x.retry_after(Fault::BackendClosed), "the client saw an interim response");
    let mut x = sent(Method::Get, true, b"", &mut pool);
    assert!(x.reply(Box::new(Head::new()), 200, at(3), &mut pool));
    assert!(!x.retry_after(Fault::BackendClosed));
    assert!(!x.answer(Box::new(Head::new()), 502, at(3), &mut pool), "one answer only");
}

#[test]
fn attempts_end() {
    let mut x = exchange(Method::Get);
    let mut tries = 1;
    while x.turn(Turn::Dialling) && x.retry_after(Fault::ConnectFailed) {
        x.attempt(at(0));
        tries += 1;
    }
    assert_eq!(tries, ATTEMPTS_MAX);
    assert_eq!(x.fault(), Some(Fault::ConnectFailed));
}

#[test]
fn each_phase_has_its_deadline() {
    let mut pool = BufPool::new(8);
    let mut x = exchange(Method::Post);
    assert_eq!(x.deadline(), (at(300), Fault::QueueTimeout));
    assert!(x.dial(BACK, at(0)));
    assert_eq!(x.deadline(), (at(300), Fault::ConnectTimeout));
    assert!(x.connected(at(10)));
    x.times.front = at(50);
    assert_eq!(x.deadline(), (at(250), Fault::BodyIdle), "the client owes its body");
    x.up.put(b"x", &mut pool);
    assert_eq!(x.deadline(), (at(410), Fault::ResponseTimeout), "the backend takes nothing");
    x.up.end();
    x.up.took(1, &mut pool);
    x.times.sent = at(60);
    assert_eq!(x.deadline(), (at(460), Fault::ResponseTimeout));
    assert!(x.reply(Box::new(Head::new()), 200, at(100), &mut pool));
    assert_eq!(x.deadline(), (at(300), Fault::ClientStalled), "the head is not taken");
    x.response = None;
    assert_eq!(x.deadline(), (at(600), Fault::ResponseIdle));
    x.down.put(b"y", &mut pool);
    x.times.front = at(150);
    assert_eq!(x.deadline(), (at(350), Fault::ClientStalled));
    x.times.started = at(0);
    x.times.front = at(4_950);
    assert_eq!(x.deadline(), (at(5_000), Fault::RequestTimeout));
    x.down.discard(&mut pool);
    assert_eq!(pool.out(), 0);
}

#[test]
fn a_client_that_waits_for_a_100_is_not_called_idle() {
    let mut x = exchange(Method::Post);
    x.expects = true;
    assert!(x.attach(BACK, at(10)));
    assert_eq!(x.deadline(), (at(410), Fault::ResponseTimeout));
}

#[test]
fn a_tunnel_lives_as_long_as_either_side_speaks() {
    let mut pool = BufPool::new(8);
    let mut x = sent(Method::Get, false, b"", &mut pool);
    assert!(x.reply(Box::new(Head::new()), 101, at(20), &mut pool));
    assert_eq!(x.stage(), Stage::Tunnel);
    x.times.front = at(90_000);
    assert_eq!(x.deadline(), (at(90_600), Fault::TunnelIdle), "no limit on the whole");
}
