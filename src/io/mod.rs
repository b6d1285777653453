//! Sockets, readiness, transports, dialling: the worker's edge to the kernel.
//!
//! Not here: any protocol, any timer, any decision. Every call is non-blocking. With the feature
//! `sim` each kind of descriptor has a simulated sibling ([`sim`]), so that the real worker runs
//! on a simulated kernel; without it the enums collapse to the kernel's own.

pub mod listen;
pub mod poll;
pub mod ready;
#[cfg(feature = "sim")]
pub mod sim;
pub mod splice;
pub mod stream;
pub mod transport;
