//! The beginning of an exchange: a request head is there; which rule is it for, and what follows.

use super::conn::{Conn, ConnKey};
use super::core::{Core, Effect};
use super::live::Live;
use super::local::{self, Store};
use super::work::{Work, XKey};
use crate::config::plan::{Action, ListenerPlan, PoolIndex};
use crate::exchange::fault::Fault;
use crate::exchange::stage::Turn;
use crate::exchange::{Exchange, Leg};
use crate::msg::{BodySize, Head};
use crate::observe::Counter;
use crate::policy::forward::{self, Facts};
use crate::policy::{RequestId, Terms};
use crate::proto::h1::Offence;
use crate::route::{self, FieldSource, ListenerIndex, RuleId};
use std::sync::Arc;

/// The fields of a head, as conditions of rules want them.
struct HeadFields<'a>(&'a Head);

impl FieldSource for HeadFields<'_> {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0
            .fields()
            .filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
            .any(|field| visit(field.value))
    }
}

impl Core {
    /// The listener of the plan in force by which this client came.
    pub fn listener_of(&self, conn: &Conn) -> Option<&ListenerPlan> {
        self.live.plan.listener(self.listener_index(conn)?)
    }

    /// Its position in the plan in force.
    pub fn listener_index(&self, conn: &Conn) -> Option<ListenerIndex> {
        let super::conn::Role::Front { listener } = conn.role else { return None };
        self.doors.get(usize::from(listener)).copied().flatten()
    }

    /// The head that the codec has just filled; another takes its place.
    pub fn take_spare(&mut self) -> Box<Head> {
        let fresh = self.heads.take();
        std::mem::replace(&mut self.spare, fresh)
    }
}

/// Starts the exchange for the head in `core.spare`.
pub fn begin(conn: &mut Conn, key: ConnKey, core: &mut Core) {
    let head = core.take_spare();
    let live = core.live.clone();
    let listener = core.listener_index(conn);
    let rule = listener.and_then(|listener| find(&live, listener, conn, &head));
    let terms = terms_of(&live, listener, rule);
    let (body, expects) = (head.body, head.expect_continue && head.body != BodySize::None);
    let hop_limit = head.method() == crate::msg::Method::Connect;
    let x = insert(conn, key, core, head, terms, live);
    let Some(work) = core.work.get_mut(x) else { return };
    work.rule = rule;
    work.client = conn.peer.ip;
    work.x.expects = expects;
    work.closes = core.draining || listener.is_none();
    if let (BodySize::Exact(length), Some(limit)) = (body, work.x.terms.limits.body_bytes)
        && length > limit
    {
        work.closes = true;
        core.count(Counter::BodyLimit);
        return core.leave(Effect::Fail(x, Fault::BodyTooLarge));
    }
    if hop_limit {
        work.closes = true;
        return core.leave(Effect::Fail(x, Fault::MethodRefused));
    }
    if work.x.request.as_ref().is_some_and(|head| route::path::check(head.path()).is_err()) {
        work.closes = true;
        return core.leave(Effect::Fail(x, Fault::BadRequest));
    }
    act(conn, core, x, listener);
}

/// Does what the rule says.
fn act(conn: &Conn, core: &mut Core, x: XKey, listener: Option<ListenerIndex>) {
    let Some(work) = core.work.get_mut(x) else { return };
    // The usual case without a count on the plan.
    let rule = work.rule.and_then(|rule| work.live.plan.rule(rule));
    if let Some(Action::Pool(index)) = rule.map(|rule| &rule.action) {
        let index = *index;
        return forward_to(conn, core, x, listener, index);
    }
    let live = work.live.clone();
    let Some(rule) = work.rule.and_then(|rule| live.plan.rule(rule)) else {
        return core.leave(Effect::Fail(x, Fault::NoRoute));
    };
    match &rule.action {
        Action::Pool(_) => {}
        Action::Redirect { to, status } => {
            core.tally.add(Counter::LocalResponses, 1);
            let (heads, bufs, now) = (&mut core.heads, &mut core.bufs, core.now);
            local::redirect(work, Store { heads, bufs, now }, to, *status);
        }
        Action::Respond { status, headers, body } => {
            core.tally.add(Counter::LocalResponses, 1);
            let (heads, bufs, now) = (&mut core.heads, &mut core.bufs, core.now);
            local::respond(work, Store { heads, bufs, now }, *status, headers, body);
        }
    }
}

/// Sends the request on to a pool.
fn forward_to(
    conn: &Conn,
    core: &mut Core,
    x: XKey,
    listener: Option<ListenerIndex>,
    index: PoolIndex,
) {
    let pool = core.pools.at(index);
    let Some(users) = pool.and_then(|pool| core.pools.pool_mut(pool)).map(|pool| &mut pool.users)
    else {
        return core.leave(Effect::Fail(x, Fault::NoBackend));
    };
    *users += 1;
    if let Some(work) = core.work.get_mut(x) {
        work.pool = pool;
        work.pool_index = Some(index);
        work.x.turn(Turn::Pooled);
    }
    tell_backend(conn, core, x, listener);
    core.leave(Effect::Pick(x));
}

/// The rule for a request.
fn find(live: &Live, listener: ListenerIndex, conn: &Conn, head: &Head) -> Option<RuleId> {
    live.plan.routes.lookup(&route::Request {
        listener,
        client: conn.peer.ip,
        method: head.method_text(),
        host: head.host(),
        path: head.path(),
        query: head.query(),
        fields: &HeadFields(head),
    })
}

/// What holds for a request: its rule's terms, else its listener's, else the top level's.
fn terms_of(live: &Live, listener: Option<ListenerIndex>, rule: Option<RuleId>) -> Arc<Terms> {
    let plan = &live.plan;
    let of_rule = rule.and_then(|rule| plan.rule(rule)).zip(listener);
    of_rule
        .and_then(|(rule, listener)| rule.terms(listener))
        .or_else(|| listener.and_then(|index| plan.listener(index)).map(|plan| &plan.terms))
        .unwrap_or(&plan.terms)
        .clone()
}

/// Puts the exchange into the arena and ties it to its client.
fn insert(
    conn: &mut Conn,
    key: ConnKey,
    core: &mut Core,
    head: Box<Head>,
    terms: Arc<Terms>,
    live: Arc<Live>,
) -> XKey {
    let method = head.method();
    let x = Exchange::new(Leg::Conn(key.to_u64()), head, method, terms, core.now);
    let x = core.work.insert(Work::new(x, live));
    conn.attach(x, core.now);
    let at = core.now.after(core.live.pulse);
    core.arm(conn, key, at);
    x
}

/// Edits the request's head for the backend.
fn tell_backend(conn: &Conn, core: &mut Core, x: XKey, listener: Option<ListenerIndex>) {
    let id = RequestId::new(&mut core.seed);
    let Some(work) = core.work.get_mut(x) else { return };
    let plan = &work.live.plan;
    let trusted = listener.and_then(|index| plan.listener(index));
    let facts = Facts {
        peer: conn.peer.ip,
        secure: false,
        trusted_proxies: trusted.map_or(&[], |listener| &listener.trusted_proxies),
        request_id: id,
    };
    if let Some(head) = &mut work.x.request {
        work.client = forward::apply_request(head, &facts, &work.x.terms.forwarding);
    }
}

/// Starts an exchange that can only be refused: its request was not understood (then with what was
/// wrong) or did not come.
pub fn refuse(
    conn: &mut Conn,
    key: ConnKey,
    core: &mut Core,
    fault: Fault,
    offence: Option<Offence>,
) {
    let (live, listener) = (core.live.clone(), core.listener_index(conn));
    let terms = terms_of(&live, listener, None);
    let head = core.heads.take();
    let x = insert(conn, key, core, head, terms, live);
    if let Some(work) = core.work.get_mut(x) {
        work.closes = true;
        work.offence = offence;
        work.client = conn.peer.ip;
    }
    core.leave(Effect::Fail(x, fault));
}
