//! Host and path table to rule; lookup and explanation share one walk.
//!
//! What it is: an immutable table from (host, path) to ordered rules with conditions, looked up
//! by borrowed bytes without allocation. What it is not: it knows no pools, answers or time-outs; a
//! [`RuleId`] is all it gives. Invariants: the most specific pattern wins (exact host, longest
//! wildcard host, any host; within it exact path, longest prefix); where no rule of a pattern
//! applies, the next less specific one is asked; what [`path::check`] accepted is what is matched
//! and what is forwarded (decision 0010).

mod condition;
mod explain;
pub mod host;
pub mod path;
mod pattern;
mod table;
#[cfg(test)]
mod tests;

pub use condition::{Condition, FieldTest, Mismatch, NamedTest};
pub use explain::Step;
pub use pattern::{HostPattern, PathPattern, Pattern, PatternError, unprintable};
pub use table::{RouteTable, TableBuilder};

use std::net::IpAddr;

/// Number of a rule, given by whoever builds the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u32);

/// Number of a listener, in the order of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerIndex(pub u16);

/// What routing looks at. All borrowed; nothing is copied.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The listener by which it came.
    pub listener: ListenerIndex,
    /// The peer of the connection (after a PROXY header); `None` on a unix socket.
    pub client: Option<IpAddr>,
    /// The method, as sent.
    pub method: &'a [u8],
    /// The host asked for; case, port and a trailing dot play no part.
    pub host: &'a [u8],
    /// The path as sent, without query; [`path::check`] has accepted it.
    pub path: &'a [u8],
    /// The query string without its `?`, when there is one.
    pub query: Option<&'a [u8]>,
    /// The header fields.
    pub fields: &'a dyn FieldSource,
}

/// Where conditions find header fields.
pub trait FieldSource {
    /// Calls `visit` with each value of the field `name` (lower case), in order, until it returns
    /// true; says whether it did.
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

impl<N: AsRef<str>, V: AsRef<str>> FieldSource for [(N, V)] {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter()
            .filter(|(own, _)| own.as_ref().eq_ignore_ascii_case(name))
            .any(|(_, value)| visit(value.as_ref().as_bytes()))
    }
}

impl<N: AsRef<str>, V: AsRef<str>, const L: usize> FieldSource for [(N, V); L] {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.as_slice().any_value(name, visit)
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FieldSource for Vec<(N, V)> {
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.as_slice().any_value(name, visit)
    }
}
