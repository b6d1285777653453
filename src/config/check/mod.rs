//! The checker: walks a document along the key tables and builds the plan.
//!
//! It never stops at a problem: what can't be understood is told and left out, the rest is still
//! checked. A plan is given only when no error was told. Pure: same bytes and context, same result.

mod build;
mod conditions;
mod lint;
mod listeners;
mod pools;
mod routes;
mod scalar;
mod seed;

use std::collections::HashSet;

use super::json::{self, Doc, Kind, Value};
use super::plan::Plan;
use super::problem::{Collector, Found, Problem, Severity};
use super::shape::{Key, Object};

/// What a document is checked against besides itself. The default knows nothing and asks nothing.
#[derive(Clone, Debug, Default)]
pub struct CheckContext {
    /// Files that the process may open (hard `RLIMIT_NOFILE`): a configured number of connections
    /// has to fit.
    pub descriptors: Option<u64>,
}

/// The outcome of a check.
#[derive(Debug)]
pub struct Checked {
    /// The plan, when there is no error.
    pub plan: Option<Plan>,
    /// Errors and warnings in the order of the text.
    pub problems: Vec<Problem>,
}

/// Checks a document: its plan, or every reason why it has none. Never panics; time and memory are
/// bounded by [`json::SIZE_MAX`], [`json::VALUES_MAX`] and
/// [`SHOWN_MAX`](super::problem::SHOWN_MAX).
pub fn check(text: &[u8], context: &CheckContext) -> Checked {
    let mut problems = Collector::default();
    let doc = json::read(text, &mut problems);
    let plan = doc.as_ref().and_then(|doc| {
        let seed = doc.root().get("root").is_some();
        let mut checker = Checker { problems: &mut problems, context, seed };
        checker.duplicates(doc);
        if seed { checker.seed_document(doc.root()) } else { checker.document(doc.root()) }
    });
    let plan = plan.filter(|_| problems.errors() == 0);
    debug_assert!(plan.is_some() || problems.errors() > 0, "a refusal without a reason");
    Checked { plan, problems: problems.finish(text) }
}

struct Checker<'c> {
    problems: &'c mut Collector,
    context: &'c CheckContext,
    /// A seed document: its identifiers, its leniency.
    seed: bool,
}

/// An object whose keys were checked.
#[derive(Clone, Copy)]
struct Fields<'d> {
    value: Value<'d>,
    shape: &'static Object,
}

impl<'d> Fields<'d> {
    /// The value of the key `name` or its alias.
    fn get(self, name: &str) -> Option<Value<'d>> {
        let key = self.key(name)?;
        self.value.get(name).or_else(|| self.value.get(key.alias?))
    }

    fn key(self, name: &str) -> Option<&'static Key> {
        let found = self.shape.keys.iter().find(|key| key.name == name);
        debug_assert!(found.is_some(), "{name} is in no table");
        found
    }
}

impl Checker<'_> {
    fn tell(
        &mut self,
        severity: Severity,
        id: &'static str,
        (at, pointer): (u32, String),
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let message = message.into();
        self.problems.push(Found { severity, id, at, pointer, message, hint });
    }

    /// Counts a problem without its words when enough are kept; hostile documents stay cheap.
    fn only_counted(&mut self, severity: Severity) -> bool {
        let full = self.problems.is_full();
        if full {
            self.problems.count(severity);
        }
        full
    }

    /// An error at a value.
    fn error(&mut self, id: &'static str, value: Value<'_>, message: impl Into<String>) {
        let place = (value.at(), value.pointer());
        self.tell(Severity::Error, id, place, message, None);
    }

    /// An error at a value, with what to write.
    fn error_hint(
        &mut self,
        id: &'static str,
        value: Value<'_>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let place = (value.at(), value.pointer());
        self.tell(Severity::Error, id, place, message, hint.into());
    }

    /// A problem at the key of a member.
    fn at_key(
        &mut self,
        severity: Severity,
        id: &'static str,
        member: Value<'_>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let place = (member.key_at(), member.pointer());
        self.tell(severity, id, place, message, hint.into());
    }

    fn wrong_type(&mut self, value: Value<'_>, allowed: &str) {
        let message =
            format!("{} must be {allowed}, not {}", called(value), value.kind().article());
        self.error("wrong-type", value, message);
    }

    /// The id of a problem: the seed's own where the document is a seed's.
    fn id(&self, current: &'static str, seed: &'static str) -> &'static str {
        if self.seed { seed } else { current }
    }

    /// Tells every key that stands twice in one object.
    fn duplicates(&mut self, doc: &Doc<'_>) {
        for object in doc.objects() {
            let mut known: HashSet<&str> = HashSet::new();
            for member in object.children() {
                if known.insert(member.key()) || self.only_counted(Severity::Error) {
                    continue;
                }
                let routes = self.seed && object.pointer() == "/routes";
                let id = if routes { "DuplicateRoute" } else { "duplicate-key" };
                let message = format!("the key {:?} stands here twice", shown(member.key()));
                self.at_key(Severity::Error, id, member, message, None);
            }
        }
    }

    /// Checks that `value` is an object with the keys of `shape`; tells all others and those that
    /// are missing.
    fn object<'d>(&mut self, value: Value<'d>, shape: &'static Object) -> Option<Fields<'d>> {
        if value.kind() != Kind::Object {
            self.wrong_type(value, "an object");
            return None;
        }
        for member in value.children() {
            self.known_key(member, shape);
        }
        for key in shape.keys {
            let (own, other) = (value.get(key.name), key.alias.and_then(|name| value.get(name)));
            match (own, other) {
                (None, None) if key.required => {
                    let message = format!("{:?} is missing in {}", key.name, shape.phrase());
                    self.error_hint("missing-key", value, message, must_be(key));
                }
                (Some(_), Some(other)) => {
                    let message = format!("{:?} is {:?} by another name", other.key(), key.name);
                    let hint = Some("leave one out".to_owned());
                    self.at_key(Severity::Error, "duplicate-key", other, message, hint);
                }
                _ => {}
            }
        }
        Some(Fields { value, shape })
    }

    fn known_key(&mut self, member: Value<'_>, shape: &'static Object) {
        let name = member.key();
        let known = |key: &&Key| key.name == name || key.alias == Some(name);
        if name == "$comment" || shape.keys.iter().any(|key| known(&key)) {
            return;
        }
        if self.only_counted(Severity::Error) {
            return;
        }
        if shape.later.contains(&name) {
            let message = format!("{name:?} is not supported in this version");
            self.at_key(Severity::Error, "not-supported", member, message, None);
            return;
        }
        let message = format!("unknown key {:?} in {}", shown(name), shape.phrase());
        let names = shape.keys.iter().flat_map(|key| [Some(key.name), key.alias]).flatten();
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("known keys: {}", key_list(shape)),
        };
        self.at_key(Severity::Error, "unknown-key", member, message, Some(hint));
    }

    /// Members of an object with keys of the user's choice, comments left out.
    fn map<'d>(&mut self, value: Value<'d>) -> Vec<Value<'d>> {
        if value.kind() != Kind::Object {
            self.wrong_type(value, "an object");
            return Vec::new();
        }
        value.children().filter(|member| member.key() != "$comment").collect()
    }

    /// Items of an array with at least `min` of them.
    fn list<'d>(&mut self, value: Value<'d>, min: usize) -> Vec<Value<'d>> {
        if value.kind() != Kind::List {
            self.wrong_type(value, "an array");
            return Vec::new();
        }
        let items: Vec<Value<'d>> = value.children().collect();
        if items.len() < min {
            self.error("bad-value", value, format!("{} must not be empty", called(value)));
        }
        items
    }
}

fn must_be(key: &Key) -> Option<String> {
    Some(format!("it must be {}", key.shape.allowed()))
}

fn key_list(shape: &Object) -> String {
    let names: Vec<&str> = shape.keys.iter().map(|key| key.name).collect();
    names.join(", ")
}

/// A hostile text, shortened and with control characters escaped.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// How a value is called in a message.
fn called(value: Value<'_>) -> String {
    match value.key() {
        "" if value.pointer().is_empty() => "the document".to_owned(),
        "" => "this".to_owned(),
        key => format!("{:?}", shown(key)),
    }
}

/// The known name that `name` is most like, when it is much like one.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > 64 {
        return None;
    }
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let scored = known.map(|own| (strsim::damerau_levenshtein(&plain, own), own));
    let best = scored.min_by_key(|(distance, _)| *distance)?;
    (best.0 <= 1 + best.1.len().min(name.len()) / 4).then_some(best.1)
}
