//! Configuration: text in, an immutable validated plan or the full list of problems out. Pure.
//!
//! [`check`] is the only door from text to [`Plan`]; master and workers run it on the same bytes
//! and get the same plan. Invariants: nothing here opens a file, resolves a name or reads a clock;
//! what the tables in [`keys`] hold is the whole format.

mod check;
mod diff;
mod effective;
mod explain;
pub mod json;
pub mod keys;
pub mod manual;
pub mod plan;
pub mod problem;
pub mod redirect;
mod schema;
pub mod shape;
pub mod terms;
#[cfg(test)]
mod tests;
mod words;

pub use check::{CheckContext, Checked, check};
pub use diff::{Area, Change, Detail, Event, diff};
pub use effective::effective;
pub use explain::{ExplainRequest, Explanation, Step, explain};
pub use plan::Plan;
pub use problem::{Problem, Severity};
pub use schema::schema;
