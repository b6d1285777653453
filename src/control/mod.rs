//! The control surface written once: names, object paths, rights, the rows and documents that
//! travel, and the typed client of `org.cloudcup1`.
//!
//! It is not the server (that is `master::bus`) and not the operator's program (that is `ctl`);
//! both build on this room, so that a name or a signature stands in one place. Nothing here opens
//! a connection.

pub mod client;
pub mod names;
pub mod path;
pub mod rights;
pub mod rows;
