//! Terms of a route as plain data, and the pure functions that apply them.

mod chain;
pub mod forward;
pub mod reply;
mod request_id;
mod terms;

pub use forward::Forwarding;
pub use request_id::RequestId;
pub use terms::{Limits, Terms, Timeouts};
