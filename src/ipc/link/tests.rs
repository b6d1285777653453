//! Round trips, hostile messages, and arbitrary bytes.

use super::*;
use crate::ipc::{Finding, FromWorker, Hello, PROTOCOL, Prepare, Role, Severity, ToWorker};
use proptest::prelude::*;

fn pair() -> (Link, Link) {
    let (one, other) = Link::pair().unwrap();
    (one, Link::new(other))
}

fn hello() -> Hello {
    Hello {
        role: Role::Master,
        protocol: PROTOCOL,
        board_version: 1,
        version: "0.1.0".to_owned(),
        pid: 7,
        slot: 0,
        generation: 3,
        serial: u64::MAX,
    }
}

/// Puts raw bytes on the wire, as a broken or hostile child would.
fn raw(link: &Link, bytes: &[u8]) {
    message::send(link.as_fd(), bytes, &[]).unwrap();
}

fn expect_malformed(link: &mut Link, what: &str) {
    match link.receive::<ToWorker>() {
        Err(LinkError::Malformed(why)) => assert!(why.contains(what), "{why} lacks {what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_and_descriptors_round_trip() {
    let (mut one, mut two) = pair();
    let (a, _b) = socket::seqpacket_pair().unwrap();
    let prepare = ToWorker::Prepare(Box::new(Prepare {
        serial: 9,
        document: FdIndex(0),
        resolved: FdIndex(1),
        sockets: Vec::new(),
        access: None,
        keep_access: true,
        connections: 100,
    }));
    one.send(&ToWorker::Hello(hello()), &[]).unwrap();
    one.send(&prepare, &[a.as_fd(), a.as_fd()]).unwrap();
    let first = two.receive::<ToWorker>().unwrap().unwrap();
    assert_eq!(first.message, ToWorker::Hello(hello()));
    let mut second = two.receive::<ToWorker>().unwrap().unwrap();
    assert_eq!(second.message, prepare);
    assert_eq!(second.fds.left(), 2);
    second.fds.take(FdIndex(1)).unwrap();
    assert!(matches!(second.fds.take(FdIndex(1)), Err(LinkError::Malformed(_))));
    assert!(matches!(second.fds.take(FdIndex(2)), Err(LinkError::Malformed(_))));
    assert!(two.receive::<ToWorker>().unwrap().is_none());
    drop(one);
    assert!(matches!(two.receive::<ToWorker>(), Err(LinkError::Closed)));
}

#[test]
fn hostile_packets_are_refused() {
    let (one, mut two) = pair();
    raw(&one, b"abc");
    expect_malformed(&mut two, "shorter");
    raw(&one, b"\x05\0\0\0{}");
    expect_malformed(&mut two, "length");
    raw(&one, b"\x02\0\0\0{}");
    expect_malformed(&mut two, "");
    raw(&one, &[0xff; 70_000]);
    expect_malformed(&mut two, "longer than 64 KiB");
    let mut deep = vec![0; PREFIX];
    deep.extend(std::iter::repeat_n(b'[', 60_000));
    let length = (deep.len() - PREFIX) as u32;
    deep[..PREFIX].copy_from_slice(&length.to_le_bytes());
    raw(&one, &deep);
    expect_malformed(&mut two, "");
}

#[test]
fn other_versions_unknown_messages_and_fields_are_told_apart() {
    let (mut one, mut two) = pair();
    let mut other = hello();
    other.protocol = 99;
    one.send(&ToWorker::Hello(other.clone()), &[]).unwrap();
    // Another version is a readable Hello: the reader decides by the number.
    assert_eq!(two.receive::<ToWorker>().unwrap().unwrap().message, ToWorker::Hello(other));
    one.send(&serde_json::json!({"fly": {}}), &[]).unwrap();
    expect_malformed(&mut two, "unknown variant");
    one.send(&serde_json::json!({"hello": {"role": "master"}}), &[]).unwrap();
    expect_malformed(&mut two, "missing field");
    // A worker's message is not a master's.
    one.send(&FromWorker::Ready, &[]).unwrap();
    expect_malformed(&mut two, "unknown variant");
}

#[test]
fn too_large_messages_and_fd_floods_never_leave() {
    let (mut one, mut two) = pair();
    let finding = Finding {
        severity: Severity::Error,
        id: "x".to_owned(),
        line: 1,
        column: 1,
        pointer: String::new(),
        message: "m".repeat(70_000),
    };
    let large = FromWorker::Refused { serial: 1, problems: vec![finding] };
    assert!(matches!(one.send(&large, &[]), Err(LinkError::TooLarge)));
    assert!(matches!(one.post(&large, Vec::new()), Err(LinkError::TooLarge)));
    let (a, _b) = socket::seqpacket_pair().unwrap();
    let many = vec![a.as_fd(); 65];
    assert!(matches!(one.send(&FromWorker::Ready, &many), Err(LinkError::TooLarge)));
    assert!(two.receive::<FromWorker>().unwrap().is_none());
}

#[test]
fn unasked_descriptors_are_closed() {
    let (mut one, mut two) = pair();
    let (a, b) = socket::seqpacket_pair().unwrap();
    one.send(&FromWorker::Ready, &[b.as_fd(); 64]).unwrap();
    drop(b);
    let got = two.receive::<FromWorker>().unwrap().unwrap();
    assert_eq!(got.fds.left(), 64);
    drop(got);
    let mut buffer = [0; 1];
    assert_eq!(message::receive(a.as_fd(), &mut buffer).unwrap().length, 0);
}

#[test]
fn posted_messages_wait_in_order_and_are_bounded() {
    let (mut one, mut two) = pair();
    let mut posted = 0_u64;
    let refused = loop {
        match one.post(&ToWorker::Ping { n: posted }, Vec::new()) {
            Ok(()) => posted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LinkError::Full));
    assert!(one.wants_write());
    assert!(matches!(one.send(&ToWorker::Ping { n: 0 }, &[]), Err(LinkError::Full)));
    for n in 0..posted {
        one.flush().unwrap();
        let got = two.receive::<ToWorker>().unwrap().unwrap().message;
        assert_eq!(got, ToWorker::Ping { n });
    }
    one.flush().unwrap();
    assert!(!one.wants_write());
    drop(two);
    assert!(matches!(one.post(&ToWorker::Ping { n: 0 }, Vec::new()), Err(LinkError::Closed)));
}

proptest! {
    #[test]
    fn arbitrary_packets_never_panic(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
        let (one, mut two) = pair();
        raw(&one, &bytes);
        prop_assert!(matches!(two.receive::<ToWorker>(), Err(LinkError::Malformed(_))));
    }

    #[test]
    fn cut_and_changed_messages_never_panic(
        cut in 0_usize..200, at in 0_usize..200, value in any::<u8>(),
    ) {
        let (one, mut two) = pair();
        let mut bytes = encode(&ToWorker::Hello(hello())).unwrap();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut).max(1));
        raw(&one, &bytes);
        let result = two.receive::<ToWorker>();
        prop_assert!(matches!(result, Err(LinkError::Malformed(_)) | Ok(Some(_))));
    }
}
