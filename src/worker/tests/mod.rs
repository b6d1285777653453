//! The worker over real loopback sockets, in one thread: worker, clients and origins take turns, so
//! that its insides can be looked at between any two steps.

mod http;
mod life;
mod rig;
