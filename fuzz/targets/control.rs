//! What must hold for control messages whatever the bytes are. Panics when it doesn't.
//!
//! - The link between master and children takes a message or says why not; a message that it takes
//!   is the same after another trip, and the link goes on with the next one.
//! - An element of an object path stands for one text or for none.

use cloudcup::control::path;
use cloudcup::ipc::{FromClerk, FromWorker, Link, LinkError, ToClerk, ToWorker};
use cloudcup::sys::message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::os::fd::AsFd;

/// Any bytes as a message of each kind.
pub fn link(bytes: &[u8]) {
    if bytes.len() > 32 * 1024 {
        return;
    }
    a_message::<FromWorker>(bytes);
    a_message::<ToWorker>(bytes);
    a_message::<FromClerk>(bytes);
    a_message::<ToClerk>(bytes);
}

fn a_message<M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let (mut link, peer) = Link::pair().expect("a link");
    let length = u32::try_from(bytes.len()).expect("bounded");
    let whole = [&length.to_le_bytes()[..], bytes].concat();
    message::send(peer.as_fd(), &whole, &[]).expect("room");
    // The same bytes with no length before them: never a message unless they begin with their own.
    if !bytes.is_empty() {
        message::send(peer.as_fd(), bytes, &[]).expect("room");
    }
    match link.receive::<M>() {
        Ok(Some(mut got)) => {
            assert!(got.fds.take(cloudcup::ipc::FdIndex(0)).is_err(), "nothing came with it");
            let mut back = Link::new(peer);
            back.send(&got.message, &[]).expect("what was a message is one");
            if !bytes.is_empty() {
                let _ = link.receive::<M>();
            }
            let again = link.receive::<M>().expect("a message").expect("it waits");
            assert_eq!(again.message, got.message);
        }
        Ok(None) => panic!("the message is lost"),
        Err(LinkError::Malformed(_)) => {
            if !bytes.is_empty() {
                let next = link.receive::<M>();
                assert!(matches!(next, Ok(Some(_)) | Err(LinkError::Malformed(_))), "{next:?}");
            }
            assert!(matches!(link.receive::<M>(), Ok(None)), "the link goes on");
        }
        Err(other) => panic!("{other}"),
    }
}

/// Any bytes as an element of an object path, and as a name that becomes one.
pub fn element(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let made = path::escape(text);
    assert!(made.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    assert_eq!(path::unescape(&made).as_deref(), Some(text));
    if let Some(name) = path::unescape(text) {
        assert_eq!(path::escape(&name), text, "one text, one element");
    }
}
