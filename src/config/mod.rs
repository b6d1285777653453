//! Configuration: text in, an immutable validated plan or the full list of problems out. Pure.

pub mod plan;
pub mod redirect;
