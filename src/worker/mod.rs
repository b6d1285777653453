//! The data plane: one event loop that owns its connections and exchanges.
//!
//! What it is: everything between the kernel's events and the pure machines of `proto`, `exchange`,
//! `balance` and `policy`. What it is not: it opens no file, resolves no name, makes no unix socket
//! and starts no program after its start message; those are the master's and the clerk's.
//!
//! Rooms: `run` (the worker and its turn) · `accept` · `front` and `back` (the two sides) · `begin`
//! (routing) · `flow` (bodies) · `settle` (effects: pick, fail, close) · `pools` · `timers` · `local`
//! (answers made here) · `drain` · `link` (the master) · `jobs` (helper threads) · `desk` (questions).
//!
//! Invariants: one connection is borrowed at a time, the other side of an exchange is reached by key
//! only; a descriptor is registered once; no connection that could run sleeps; at rest no block,
//! head, pipe or exchange is out.

mod accept;
mod back;
mod begin;
mod check;
mod conn;
mod core;
mod desk;
mod drain;
mod flow;
mod front;
mod jobs;
mod link;
mod live;
mod local;
mod pools;
mod record;
mod run;
mod settle;
mod timers;
mod work;

pub use link::main;
pub use live::Live;
pub use run::{Holdings, Settings, Worker};

use crate::policy::Limits;
use crate::proto::h1;

/// What a codec is allowed, from the terms of a route or listener.
fn limits_of(limits: &Limits) -> h1::Limits {
    h1::Limits {
        head_bytes: limits.header_bytes,
        fields: limits.header_fields,
        keep_underscores: true,
        ..h1::Limits::new()
    }
}

#[cfg(test)]
mod tests;
