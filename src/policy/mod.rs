//! Terms of a route as plain data, and the pure functions that apply them.
