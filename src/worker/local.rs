//! Answers made here: errors, redirects, fixed words. They leave through the `down` pipe like any
//! backend's, so no codec knows the difference.

use super::core::Heads;
use super::work::{LocalBody, Work};
use crate::base::buf::BufPool;
use crate::base::clock::Time;
use crate::config::redirect::{Given, Template};
use crate::msg::{Head, Known, reason_phrase};
use crate::policy::reply;
use std::sync::Arc;

/// What answers are made of.
pub struct Store<'a> {
    /// Heads at rest.
    pub heads: &'a mut Heads,
    /// Blocks.
    pub bufs: &'a mut BufPool,
    /// The time of this turn.
    pub now: Time,
}

/// Answers with an error. The text tells the status and nothing about the inside.
pub fn error(work: &mut Work, store: Store<'_>, status: u16) {
    let text = format!("{status} {}\n", reason_phrase(status));
    let mut head = store.heads.take();
    reply::respond(&mut head, status, text.len() as u64);
    describe(&mut head);
    if status == 503 {
        // Names are fixed text: they can't be refused.
        let _ = head.push_known(Known::RetryAfter, &[b"1"]);
    }
    give(work, head, Arc::from(text.into_bytes()), status, store);
}

fn describe(head: &mut Head) {
    let _ = head.push_known(Known::ContentType, &[b"text/plain; charset=utf-8"]);
    let _ = head.push_known(Known::CacheControl, &[b"no-store"]);
}

/// Answers with fixed words.
pub fn respond(
    work: &mut Work,
    store: Store<'_>,
    status: u16,
    headers: &[(String, String)],
    body: &Arc<[u8]>,
) {
    let mut head = store.heads.take();
    reply::respond(&mut head, status, body.len() as u64);
    for (name, value) in headers {
        // Checked with the configuration.
        let _ = head.push(name.as_bytes(), value.as_bytes());
    }
    give(work, head, body.clone(), status, store);
}

/// Answers with a redirect.
pub fn redirect(work: &mut Work, store: Store<'_>, to: &Template, status: u16) {
    let mut location = Vec::new();
    if let Some(request) = &work.x.request {
        let given = Given { host: request.host(), path: request.path(), query: request.query() };
        to.render(&given, &mut location);
    }
    let mut head = store.heads.take();
    if reply::redirect(&mut head, status, &location).is_err() {
        store.heads.give(head);
        return error(work, store, 400);
    }
    give(work, head, Arc::from([]), status, store);
}

fn give(work: &mut Work, head: Box<Head>, body: Arc<[u8]>, status: u16, store: Store<'_>) {
    if !work.x.answer(head, status, store.now, store.bufs) {
        debug_assert!(false, "a second answer");
        return;
    }
    work.discard = true;
    work.x.up.discard(store.bufs);
    work.local = Some(LocalBody { bytes: body, done: 0 });
    refill(work, store.bufs);
}

/// Puts more of the answer into the pipe, as there is room.
pub fn refill(work: &mut Work, bufs: &mut BufPool) {
    let Some(local) = &mut work.local else { return };
    let rest = local.bytes.get(local.done..).unwrap_or_default();
    let fits = rest.len().min(work.x.down.room());
    if fits > 0 {
        local.done += work.x.down.put(rest.get(..fits).unwrap_or_default(), bufs);
    }
    if local.done >= local.bytes.len() {
        work.x.down.end();
        work.local = None;
    }
}
