//! The control plane: sockets, supervision, applies, commands. Never touches a byte of traffic.

pub mod command;
pub mod events;
pub mod snapshot;
