//! The walk of [`RouteTable::lookup`], written down step by step.

use super::condition::{Condition, FieldTest, Mismatch, NamedTest};
use super::table::Trace;
use super::{HostPattern, PathPattern, Pattern, Request, RouteTable, RuleId};

/// One step of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The keys of this host are asked; the more specific ones before had no answer.
    Host(HostPattern),
    /// The rules of this key are asked, in their order.
    Path(Pattern),
    /// A rule was asked.
    Rule {
        /// Which.
        rule: RuleId,
        /// Why it does not apply; `Ok` ends the walk.
        verdict: Result<(), Mismatch>,
        /// What it asks and what the request holds, for people. Values of header fields and cookies
        /// are not shown, only what the rule asks. Empty when it asks nothing.
        reason: String,
    },
}

impl RouteTable {
    /// What [`RouteTable::lookup`] does for `request`, step by step. It is the same walk.
    pub fn explain(&self, request: &Request<'_>) -> (Option<RuleId>, Vec<Step>) {
        let mut writer = Writer { request, steps: Vec::new() };
        let rule = self.walk(request, &mut writer);
        (rule, writer.steps)
    }
}

struct Writer<'a> {
    request: &'a Request<'a>,
    steps: Vec<Step>,
}

impl Trace for Writer<'_> {
    fn host(&mut self, pattern: &HostPattern) {
        self.steps.push(Step::Host(pattern.clone()));
    }

    fn path(&mut self, host: &HostPattern, path: &str, prefix: bool) {
        let text = path.to_owned();
        let path = if prefix { PathPattern::Prefix(text) } else { PathPattern::Exact(text) };
        self.steps.push(Step::Path(Pattern { host: host.clone(), path }));
    }

    fn rule(&mut self, rule: RuleId, condition: Option<&Condition>, verdict: Result<(), Mismatch>) {
        let reason = match (condition, verdict) {
            (None, _) => String::new(),
            (Some(_), Ok(())) => "all conditions hold".to_owned(),
            (Some(condition), Err(mismatch)) => condition.reason(mismatch, self.request),
        };
        self.steps.push(Step::Rule { rule, verdict, reason });
    }
}

impl Condition {
    /// Why `mismatch` failed for `request`, as a sentence.
    fn reason(&self, mismatch: Mismatch, request: &Request<'_>) -> String {
        let test = |list: &[NamedTest], at: usize, what: &str| {
            list.get(at).map_or_else(String::new, |test| format!("{what} {}", test.sentence()))
        };
        match mismatch {
            Mismatch::Listener => "the request came by another listener".to_owned(),
            Mismatch::Method => format!(
                "the method is {}, the rule wants {}",
                String::from_utf8_lossy(request.method).escape_debug(),
                self.methods.join(" or ")
            ),
            Mismatch::Client => match request.client {
                Some(client) => format!("the client {client} is in none of the rule's networks"),
                None => "the client came by a unix socket and has no address".to_owned(),
            },
            Mismatch::Header(at) => test(&self.headers, at, "the header field"),
            Mismatch::Query(at) => test(&self.query, at, "the query parameter"),
            Mismatch::Cookie(at) => test(&self.cookies, at, "the cookie"),
        }
    }
}

impl NamedTest {
    fn sentence(&self) -> String {
        let name = &self.name;
        match &self.test {
            FieldTest::Present => format!("{name:?} is missing"),
            FieldTest::Absent => format!("{name:?} stands there, and the rule wants it absent"),
            FieldTest::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                format!("{name:?} is not {}", words.join(" or "))
            }
        }
    }
}
