//! The plan as the worker runs it: the checked plan and its serial.
//!
//! Immutable. An exchange holds the one it began under; a commit swaps the worker's.

use crate::config::plan::Plan;
use crate::route::ListenerIndex;
use std::time::Duration;

/// A plan in force.
pub struct Live {
    /// Serial of the configuration; 0 = none yet.
    pub serial: u64,
    /// What it means.
    pub plan: Plan,
    /// The shortest time-out of all its terms: no deadline can come sooner than this after it was
    /// caused.
    pub pulse: Duration,
}

/// A busy connection's timer fires at least this often, so that deadlines which came up since are
/// seen; shorter when a time-out is.
const PULSE_MAX: Duration = Duration::from_secs(1);
const PULSE_MIN: Duration = Duration::from_millis(8);

impl Live {
    /// Puts a plan into force.
    pub fn new(serial: u64, plan: Plan) -> Live {
        let listeners = plan.listeners.iter().map(|listener| &listener.terms);
        let pools = plan.pools.iter().map(|pool| &pool.terms);
        let indices = (0..plan.listeners.len()).filter_map(|n| u16::try_from(n).ok());
        let indices: Vec<ListenerIndex> = indices.map(ListenerIndex).collect();
        let rules =
            plan.rules.iter().flat_map(|rule| indices.iter().filter_map(|n| rule.terms(*n)));
        let all = listeners.chain(pools).chain(rules).chain([&plan.terms]);
        let shortest = all
            .flat_map(|terms| {
                let t = &terms.timeouts;
                [
                    t.handshake,
                    t.header,
                    t.body_idle,
                    t.idle,
                    t.connect,
                    t.response_header,
                    t.response_idle,
                    t.tunnel_idle,
                    t.request,
                ]
            })
            .flatten()
            .min()
            .unwrap_or(PULSE_MAX);
        Live { serial, pulse: shortest.clamp(PULSE_MIN, PULSE_MAX), plan }
    }
}
