//! Codec pairs in memory: a client codec talks to a server codec through byte buffers that are
//! split in every way.

mod document;
mod generated;
mod h1;
#[path = "../tables/read.rs"]
mod read;
mod tables;
mod wire;
