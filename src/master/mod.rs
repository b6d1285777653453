//! The control plane: sockets, supervision, applies, commands. Never touches a byte of traffic.

pub mod apply;
pub mod bus;
pub mod command;
pub mod compat;
pub mod events;
pub mod history;
pub mod snapshot;
pub mod supervisor;
