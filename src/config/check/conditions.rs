//! The conditions of a rule.

use crate::config::json::{Kind, Value};
use crate::config::keys;
use crate::config::plan::ListenerPlan;
use crate::route::{Condition, FieldTest, ListenerIndex, NamedTest};

use super::{Checker, nearest, shown};

/// Characters of a token (RFC 9110 §5.6.2): what methods, field and cookie names are made of.
pub(super) fn is_token(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(good)
}

#[derive(Clone, Copy, PartialEq)]
enum Named {
    Header,
    Query,
    Cookie,
}

impl Checker<'_> {
    pub(super) fn condition(&mut self, value: Value<'_>, listeners: &[ListenerPlan]) -> Condition {
        let Some(fields) = self.object(value, &keys::MATCH) else { return Condition::default() };
        let mut tests = |name: &str, kind| match fields.get(name) {
            Some(value) => self.named_tests(value, kind),
            None => Vec::new(),
        };
        let headers = tests("headers", Named::Header);
        let query = tests("query", Named::Query);
        let cookies = tests("cookies", Named::Cookie);
        let clients = fields.get("clients");
        Condition {
            listeners: fields.get("listeners").map(|value| self.listener_names(value, listeners)),
            methods: fields.get("methods").map_or_else(Vec::new, |value| self.methods(value)),
            clients: clients.map_or_else(Vec::new, |value| self.networks(value, 1)),
            headers,
            query,
            cookies,
        }
    }

    fn listener_names(
        &mut self,
        value: Value<'_>,
        listeners: &[ListenerPlan],
    ) -> Vec<ListenerIndex> {
        let mut found = Vec::new();
        for item in self.list(value, 1) {
            let Some(name) = self.string(item) else { continue };
            match listeners.iter().position(|listener| listener.name == name) {
                Some(at) => found.push(ListenerIndex(at as u16)),
                None => {
                    let names = listeners.iter().map(|listener| listener.name.as_str());
                    let hint = near_or_known(name, names);
                    let message = format!("no listener is called {:?}", shown(name));
                    self.error_hint("unknown-listener", item, message, hint);
                }
            }
        }
        found
    }

    fn methods(&mut self, value: Value<'_>) -> Vec<String> {
        let mut methods = Vec::new();
        for item in self.list(value, 1) {
            let Some(method) = self.string(item) else { continue };
            let upper = method.to_ascii_uppercase();
            let common = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];
            if !is_token(method) {
                let message = format!("{:?} is no method", shown(method));
                self.error("bad-value", item, message);
            } else if method != upper && common.contains(&upper.as_str()) {
                let message = format!("no client sends the method {method:?}");
                self.error_hint("bad-value", item, message, format!("write {upper:?}"));
            } else {
                methods.push(method.to_owned());
            }
        }
        methods
    }

    fn named_tests(&mut self, value: Value<'_>, kind: Named) -> Vec<NamedTest> {
        let mut tests = Vec::new();
        for member in self.map(value) {
            let mut name = member.key().to_owned();
            if kind != Named::Query && !is_token(&name) {
                let what = if kind == Named::Header { "header field" } else { "cookie" };
                let message = format!("{:?} is no name of a {what}", shown(&name));
                self.error("bad-value", member, message);
            }
            if kind == Named::Header {
                name.make_ascii_lowercase();
                if tests.iter().any(|test: &NamedTest| test.name == name) {
                    let message = format!("the header field {name:?} stands here twice");
                    self.error("duplicate-key", member, message);
                }
            }
            if let Some(test) = self.named_test(member) {
                tests.push(NamedTest { name, test });
            }
        }
        tests
    }

    fn named_test(&mut self, value: Value<'_>) -> Option<FieldTest> {
        match value.kind() {
            Kind::Flag(true) => Some(FieldTest::Present),
            Kind::Flag(false) => Some(FieldTest::Absent),
            Kind::Text(word) => Some(FieldTest::OneOf(vec![word.to_owned()])),
            Kind::List => {
                let items = self.list(value, 1);
                let words = items.iter().filter_map(|item| self.string(*item));
                Some(FieldTest::OneOf(words.map(str::to_owned).collect()))
            }
            _ => {
                self.wrong_type(value, &crate::config::shape::Shape::Test.allowed());
                None
            }
        }
    }
}

/// "did you mean", or the list of what there is when it is short.
pub(super) fn near_or_known<'n>(
    name: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> Option<String> {
    if let Some(near) = nearest(name, known.clone()) {
        return Some(format!("did you mean {near:?}?"));
    }
    let mut names: Vec<&str> = known.take(11).collect();
    if names.is_empty() || names.len() > 10 {
        return None;
    }
    names.sort_unstable();
    Some(format!("there is {}", names.join(", ")))
}
