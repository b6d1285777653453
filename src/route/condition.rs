//! Conditions of a rule beyond host and path. All that are given must hold.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{ListenerIndex, Request, path};

/// What a rule asks of a request besides host and path. Empty lists ask nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Condition {
    /// One of these listeners; `None` asks nothing.
    pub listeners: Option<Vec<ListenerIndex>>,
    /// One of these methods.
    pub methods: Vec<String>,
    /// The peer in one of these networks.
    pub clients: Vec<IpNet>,
    /// Header fields.
    pub headers: Vec<NamedTest>,
    /// Query parameters, compared decoded.
    pub query: Vec<NamedTest>,
    /// Cookies, compared as sent.
    pub cookies: Vec<NamedTest>,
}

/// A test of a named value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedTest {
    /// The name; of header fields in lower case.
    pub name: String,
    /// What is asked of it.
    pub test: FieldTest,
}

/// What is asked of a named value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FieldTest {
    /// It stands there, with whatever value.
    Present,
    /// It does not stand there.
    Absent,
    /// One of its values is one of these.
    OneOf(Vec<String>),
}

/// The first condition that did not hold; numbers are positions in the lists of [`Condition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The listener.
    Listener,
    /// The method.
    Method,
    /// The peer's address.
    Client,
    /// A header field.
    Header(usize),
    /// A query parameter.
    Query(usize),
    /// A cookie.
    Cookie(usize),
}

impl Condition {
    /// Whether it asks nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Condition::default()
    }

    /// Tests a request; the error is the first condition that does not hold.
    pub fn test(&self, request: &Request<'_>) -> Result<(), Mismatch> {
        if self.listeners.as_ref().is_some_and(|list| !list.contains(&request.listener)) {
            return Err(Mismatch::Listener);
        }
        let spells = |method: &String| method.as_bytes() == request.method;
        if !self.methods.is_empty() && !self.methods.iter().any(spells) {
            return Err(Mismatch::Method);
        }
        if !self.clients.is_empty() && !covers(&self.clients, request.client) {
            return Err(Mismatch::Client);
        }
        first_failing(&self.headers, |test| header_holds(test, request))
            .map_or(Ok(()), |at| Err(Mismatch::Header(at)))?;
        first_failing(&self.query, |test| query_holds(test, request))
            .map_or(Ok(()), |at| Err(Mismatch::Query(at)))?;
        first_failing(&self.cookies, |test| cookie_holds(test, request))
            .map_or(Ok(()), |at| Err(Mismatch::Cookie(at)))
    }
}

/// Whether `client` lies in one of `nets`. An IPv4 peer of a dual-stack socket counts as IPv4.
fn covers(nets: &[IpNet], client: Option<IpAddr>) -> bool {
    client.is_some_and(|client| {
        let client = client.to_canonical();
        nets.iter().any(|net| net.contains(&client))
    })
}

fn first_failing(tests: &[NamedTest], holds: impl Fn(&NamedTest) -> bool) -> Option<usize> {
    tests.iter().position(|test| !holds(test))
}

impl FieldTest {
    /// `any` tells whether some value satisfies the visitor it is given.
    fn holds(
        &self,
        any: impl Fn(&mut dyn FnMut(&[u8]) -> bool) -> bool,
        same: fn(&[u8], &[u8]) -> bool,
    ) -> bool {
        match self {
            FieldTest::Present => any(&mut |_| true),
            FieldTest::Absent => !any(&mut |_| true),
            FieldTest::OneOf(words) => {
                any(&mut |value| words.iter().any(|word| same(value, word.as_bytes())))
            }
        }
    }
}

fn header_holds(test: &NamedTest, request: &Request<'_>) -> bool {
    test.test.holds(|visit| request.fields.any_value(&test.name, visit), |a, b| a == b)
}

fn query_holds(test: &NamedTest, request: &Request<'_>) -> bool {
    let name = test.name.as_bytes();
    let any = |visit: &mut dyn FnMut(&[u8]) -> bool| {
        let query = request.query.unwrap_or_default();
        query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).any(|pair| {
            let (own, value) = split_once(pair, b'=');
            path::form_equals(own, name) && visit(value)
        })
    };
    test.test.holds(any, path::form_equals)
}

fn cookie_holds(test: &NamedTest, request: &Request<'_>) -> bool {
    let any = |visit: &mut dyn FnMut(&[u8]) -> bool| {
        request.fields.any_value("cookie", &mut |field| {
            field.split(|byte| *byte == b';').any(|pair| {
                let (own, value) = split_once(crate::base::ascii::trim_ows(pair), b'=');
                own == test.name.as_bytes() && visit(value)
            })
        })
    };
    test.test.holds(any, |a, b| a == b)
}

fn split_once(text: &[u8], at: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(at, text) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, b""),
    }
}
