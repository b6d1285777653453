//! Answers to the master's questions about what goes on in this worker.

use super::conn::{Conn, ConnKey, Role};
use super::run::Worker;
use crate::ipc::QueryKind;
use serde_json::{Value, json};

/// Most connections in one answer, whatever was asked for: the answer has a bound.
const CONNECTIONS_MAX: usize = 8_192;

/// The answer, as JSON text.
pub fn answer(worker: &Worker, kind: QueryKind) -> String {
    let value = match kind {
        QueryKind::Connections { limit } => connections(worker, limit as usize),
        QueryKind::State => state(worker),
    };
    value.to_string()
}

/// The newest client connections.
fn connections(worker: &Worker, limit: usize) -> Value {
    let mut fronts: Vec<(ConnKey, &Conn)> =
        worker.conns.iter().filter(|(_, conn)| conn.is_front()).collect();
    fronts.sort_by_key(|(_, conn)| std::cmp::Reverse(conn.born));
    fronts.truncate(limit.min(CONNECTIONS_MAX));
    fronts.into_iter().map(|(key, conn)| connection(worker, key, conn)).collect()
}

fn connection(worker: &Worker, key: ConnKey, conn: &Conn) -> Value {
    let now = worker.core.now;
    let listener = match conn.role {
        Role::Front { listener } => worker.names.get(usize::from(listener)).map(|name| &**name),
        Role::Back { .. } => None,
    };
    let client = conn.peer.ip.map(|ip| std::net::SocketAddr::new(ip, conn.peer.port).to_string());
    let mut entry = json!({
        "id": format!("{}.{}", worker.core.page.slot(), key.to_u64()),
        "listener": listener.unwrap_or(""),
        "client": client.as_deref().unwrap_or("unix"),
        "state": conn.state.word(),
        "age_ms": now.since(conn.born).as_millis() as u64,
        "requests": conn.served,
    });
    if let Some(work) = conn.x.and_then(|x| worker.core.work.get(x)) {
        let plan = &work.live.plan;
        let rule = work.rule.and_then(|rule| plan.rule(rule));
        let member = work.member.and_then(|key| worker.core.pools.member(key));
        let head = work.x.request.as_deref();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        entry["exchange"] = json!({
            "stage": work.x.stage().word(),
            "route": rule.map_or("", |rule| &rule.name),
            "pool": member.map_or("", |member| &member.pool),
            "backend": member.map_or("", |member| &member.text),
            "method": head.map_or(String::new(), |head| text(head.method_text())),
            "host": head.map_or(String::new(), |head| text(head.host())),
            "path": head.map_or(String::new(), |head| text(head.path())),
            "status": work.x.status,
            "serial": work.live.serial,
            "attempts": work.x.attempts(),
            "received": work.received,
            "sent": work.sent,
            "age_ms": now.since(work.x.times.started).as_millis() as u64,
        });
    }
    entry
}

/// The worker's own view of itself.
fn state(worker: &Worker) -> Value {
    let core = &worker.core;
    let pools: Vec<Value> = core
        .pools
        .pools()
        .map(|(_, pool)| {
            let members = pool.members.iter().filter_map(|key| core.pools.member(*key));
            let members: Vec<Value> = members
                .map(|m| json!({"address": &*m.text, "open": m.open, "idle": m.idle.len()}))
                .collect();
            json!({"name": &*pool.name, "waiting": pool.waiting.len(), "members": members})
        })
        .collect();
    json!({
        "slot": core.page.slot(),
        "serial": core.live.serial,
        "draining": core.draining,
        "accepting": matches!(worker.accepting, super::accept::Accepting::In { .. }),
        "fronts": worker.fronts,
        "backs": worker.backs,
        "exchanges": core.work.len(),
        "timers": core.wheel.len(),
        "blocks": {"out": core.bufs.out(), "resting": core.bufs.resting(), "max": core.bufs.max()},
        "heads": core.heads.out(),
        "kernel_pipes": core.kernel.out(),
        "pools": pools,
    })
}
