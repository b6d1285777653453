//! Terms of a route as plain data, and the pure functions that apply them.

mod terms;

pub use terms::{Limits, Terms, Timeouts};
