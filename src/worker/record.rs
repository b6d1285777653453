//! What is counted and recorded when an exchange is over.

use super::core::Core;
use super::work::Work;
use crate::base::clock::Time;
use crate::observe::{Counter, Timing};
use crate::shared::Value;

/// Counts a finished exchange.
pub fn account(work: &Work, core: &mut Core) {
    let x = &work.x;
    let page = &core.page;
    page.add(Counter::Requests, 1);
    if x.status != 0 {
        page.add(Counter::of_status(x.status), 1);
    }
    page.time(Timing::Request, micros(core.now, x.times.started));
    if let Some(member) = work.member.and_then(|key| core.pools.member(key)) {
        if x.times.sent != Time::ZERO && x.times.replied > x.times.sent {
            member.row.add(Value::Micros, micros(x.times.replied, x.times.sent));
        }
        member.row.add(Value::Sent, work.received);
        member.row.add(Value::Received, work.sent);
    }
}

fn micros(later: Time, earlier: Time) -> u64 {
    u64::try_from(later.since(earlier).as_micros()).unwrap_or(u64::MAX)
}
