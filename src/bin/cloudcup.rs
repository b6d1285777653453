//! The service: master, and by exec of itself its workers and helpers.

fn main() {}
