//! Cloud Cup: a systemd-native, socket-activated HTTP reverse proxy.
//!
//! The layers, lowest first; an import may only point downwards (`docs/ARCHITECTURE.md` holds the
//! table, `tests/tidy.rs` enforces it):
//!
//! 0. [`base`] · 1. [`msg`] [`observe`] [`sys`] · 2. [`proto`] [`route`] [`balance`] [`policy`]
//!    [`shared`] [`control`] · 3. [`exchange`] [`config`] [`io`] · 4. [`ipc`] · 5. [`worker`]
//!    [`master`] [`clerk`] [`demo`] · 6. [`ctl`] · 7. the binaries.
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
#![deny(unsafe_code)]

pub mod balance;
pub mod base;
pub mod clerk;
pub mod config;
pub mod control;
pub mod ctl;
pub mod demo;
pub mod exchange;
pub mod io;
pub mod ipc;
pub mod master;
pub mod msg;
pub mod observe;
pub mod policy;
pub mod proto;
pub mod route;
pub mod shared;
#[allow(unsafe_code)] // The one room that may speak to the kernel without a safe wrapper.
pub mod sys;
pub mod worker;
