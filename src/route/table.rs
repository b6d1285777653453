//! The table: hosts, paths, rules, and the one walk over them.
//!
//! Two hash indices, one over host names and one over (host, path); each entry is a node that knows
//! its next less specific node, so falling back is following a chain. A path is hashed segment by
//! segment from the left, a host label by label from the right: one pass finds the most specific
//! node. Only as many segments and labels as the deepest key has are looked at. Every hit is
//! verified against the key's own bytes, so hashing decides speed and never the answer.

use std::collections::{HashMap, HashSet};

use super::condition::{Condition, Mismatch};
use super::{HostPattern, PathPattern, Pattern, Request, RuleId, host, path};

const NONE: u32 = u32::MAX;

/// The immutable table.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteTable {
    /// Number 0 is "any host".
    hosts: Vec<HostNode>,
    host_index: Index,
    host_depths: Depths,
    paths: Vec<PathNode>,
    path_index: Index,
    path_depths: Depths,
    /// Bytes of the longest key's path.
    path_longest: usize,
    rules: Vec<Entry>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
struct HostNode {
    pattern: HostPattern,
    /// The next less specific host; [`NONE`] behind "any host".
    wider: u32,
    /// The rules for every path of it.
    all: Span,
    /// Whether it has keys with a path.
    has_paths: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct PathNode {
    host: u32,
    text: String,
    exact: Span,
    prefix: Span,
    /// The node of the next shorter prefix of the same host.
    wider: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Span {
    from: u32,
    to: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    rule: RuleId,
    condition: u32,
}

/// What the walk tells about itself while it goes; [`super::explain`] writes it down.
pub(super) trait Trace {
    /// These patterns' host is asked now.
    fn host(&mut self, pattern: &HostPattern);
    /// The rules of this pattern are asked now.
    fn path(&mut self, host: &HostPattern, path: &str, prefix: bool);
    /// This rule passed or failed.
    fn rule(&mut self, rule: RuleId, condition: Option<&Condition>, verdict: Result<(), Mismatch>);
}

struct Silent;

impl Trace for Silent {
    fn host(&mut self, _: &HostPattern) {}
    fn path(&mut self, _: &HostPattern, _: &str, _: bool) {}
    fn rule(&mut self, _: RuleId, _: Option<&Condition>, _: Result<(), Mismatch>) {}
}

impl Default for RouteTable {
    fn default() -> RouteTable {
        TableBuilder::new().build()
    }
}

impl RouteTable {
    /// The rule for a request, if any. Does not allocate.
    pub fn lookup(&self, request: &Request<'_>) -> Option<RuleId> {
        self.walk(request, &mut Silent)
    }

    /// Patterns in the table.
    pub fn len(&self) -> usize {
        let filled = |span: &Span| usize::from(span.from != span.to);
        let hosts: usize = self.hosts.iter().map(|node| filled(&node.all)).sum();
        let paths: usize =
            self.paths.iter().map(|node| filled(&node.exact) + filled(&node.prefix)).sum();
        hosts + paths
    }

    /// Whether no request can meet a rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn walk<T: Trace>(&self, request: &Request<'_>, trace: &mut T) -> Option<RuleId> {
        if memchr::memchr(b'%', request.path).is_some() {
            return self.walk_escaped(request, trace);
        }
        self.walk_hosts(request.path, request, trace)
    }

    /// Apart, so that the room is only cleared where it is needed.
    #[cold]
    #[inline(never)]
    fn walk_escaped<T: Trace>(&self, request: &Request<'_>, trace: &mut T) -> Option<RuleId> {
        let mut room = [0; path::KEY_MAX + 4];
        self.walk_hosts(path::matched(request.path, &mut room), request, trace)
    }

    fn walk_hosts<T: Trace>(
        &self,
        text: &[u8],
        request: &Request<'_>,
        trace: &mut T,
    ) -> Option<RuleId> {
        let mut at = self.find_host(request.host);
        while let Some(node) = self.hosts.get(at as usize) {
            trace.host(&node.pattern);
            if node.has_paths
                && let Some(rule) = self.walk_paths(at, node, text, request, trace)
            {
                return Some(rule);
            }
            if node.all.from != node.all.to {
                trace.path(&node.pattern, "", true);
                if let Some(rule) = self.first(node.all, request, trace) {
                    return Some(rule);
                }
            }
            at = node.wider;
        }
        None
    }

    fn walk_paths<T: Trace>(
        &self,
        host: u32,
        node: &HostNode,
        text: &[u8],
        request: &Request<'_>,
        trace: &mut T,
    ) -> Option<RuleId> {
        let (exact, mut prefix) = self.find_path(host, text);
        if let Some(found) = self.paths.get(exact as usize) {
            trace.path(&node.pattern, &found.text, false);
            if let Some(rule) = self.first(found.exact, request, trace) {
                return Some(rule);
            }
        }
        while let Some(found) = self.paths.get(prefix as usize) {
            trace.path(&node.pattern, &found.text, true);
            if let Some(rule) = self.first(found.prefix, request, trace) {
                return Some(rule);
            }
            prefix = found.wider;
        }
        None
    }

    fn first<T: Trace>(&self, span: Span, request: &Request<'_>, trace: &mut T) -> Option<RuleId> {
        for entry in self.rules.get(span.from as usize..span.to as usize)? {
            let condition = self.conditions.get(entry.condition as usize);
            let verdict = condition.map_or(Ok(()), |condition| condition.test(request));
            trace.rule(entry.rule, condition, verdict);
            if verdict.is_ok() {
                return Some(entry.rule);
            }
        }
        None
    }

    /// The most specific host node for a host as sent.
    fn find_host(&self, sent: &[u8]) -> u32 {
        let mut best = 0;
        if self.hosts.len() == 1 {
            return best;
        }
        let name = host::bare(sent);
        let mut hash = HOST_SEED;
        let mut end = name.len();
        for depth in 1..=self.host_depths.max {
            let dot = name.get(..end).and_then(|left| left.iter().rposition(|byte| *byte == b'.'));
            let start = dot.map_or(0, |dot| dot + 1);
            hash = mix_in(hash, name.get(start..end).unwrap_or_default(), 0x20);
            let suffix = name.get(start..).unwrap_or_default();
            let Some(dot) = dot else {
                let whole =
                    self.host_index.find(hash ^ EXACT, |at| self.is_host(at, suffix, false));
                return whole.unwrap_or(best);
            };
            if self.host_depths.holds(depth)
                && let Some(found) = self.host_index.find(hash, |at| self.is_host(at, suffix, true))
            {
                best = found;
            }
            end = dot;
        }
        best
    }

    fn is_host(&self, at: u32, name: &[u8], below: bool) -> bool {
        match self.hosts.get(at as usize).map(|node| &node.pattern) {
            Some(HostPattern::Exact(own)) => !below && own.as_bytes().eq_ignore_ascii_case(name),
            Some(HostPattern::Below(own)) => below && own.as_bytes().eq_ignore_ascii_case(name),
            _ => false,
        }
    }

    /// The node of exactly this path and that of its longest prefix, or [`NONE`].
    fn find_path(&self, host: u32, text: &[u8]) -> (u32, u32) {
        let mut prefix = NONE;
        if text.first() != Some(&b'/') {
            return (NONE, NONE);
        }
        // A longer path meets no more keys: the rest of it is not read.
        let text_end = text.len();
        let text = text.get(..=self.path_longest).unwrap_or(text);
        let mut hash = path_seed(host);
        let mut start = 1;
        for depth in 1..=self.path_depths.max {
            let rest = text.get(start..).unwrap_or_default();
            let end =
                rest.iter().position(|byte| *byte == b'/').map_or(text.len(), |at| start + at);
            hash = mix_in(hash, text.get(start..end).unwrap_or_default(), 0);
            let so_far = text.get(..end).unwrap_or_default();
            if let Some((at, node)) = self.path_at(depth, host, so_far, hash) {
                if node.prefix.from != node.prefix.to {
                    prefix = at;
                }
                if end == text_end && node.exact.from != node.exact.to {
                    return (at, prefix);
                }
            }
            if end == text.len() {
                break;
            }
            start = end + 1;
        }
        (NONE, prefix)
    }
}

impl RouteTable {
    /// The node of a path with `depth` segments, if there is one.
    fn path_at(&self, depth: usize, host: u32, text: &[u8], hash: u64) -> Option<(u32, &PathNode)> {
        if !self.path_depths.holds(depth) {
            return None;
        }
        let same = |at| {
            let node: Option<&PathNode> = self.paths.get(at as usize);
            node.is_some_and(|node| node.host == host && node.text.as_bytes() == text)
        };
        let at = self.path_index.find(hash, same)?;
        Some((at, self.paths.get(at as usize)?))
    }
}

/// How many segments or labels the keys have: where there are none, nothing is looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Depths {
    max: usize,
    /// One bit for each depth; the last one stands for all that are deeper.
    mask: u64,
}

impl Depths {
    /// Tells of a key with `depth` parts, for which `upto` parts have to be read.
    fn put(&mut self, depth: usize, upto: usize) {
        self.max = self.max.max(upto);
        self.mask |= 1 << depth.min(63);
    }

    fn holds(self, depth: usize) -> bool {
        self.mask >> depth.min(63) & 1 == 1
    }
}

/// Makes a [`RouteTable`].
#[derive(Debug)]
pub struct TableBuilder {
    patterns: Vec<(Pattern, Vec<(RuleId, Condition)>)>,
}

impl Default for TableBuilder {
    fn default() -> TableBuilder {
        TableBuilder::new()
    }
}

impl TableBuilder {
    /// An empty one.
    pub fn new() -> TableBuilder {
        TableBuilder { patterns: Vec::new() }
    }

    /// Adds the ordered rules of a pattern. Of a pattern that is added twice the rules of the first
    /// addition come first.
    pub fn add(&mut self, pattern: Pattern, rules: Vec<(RuleId, Condition)>) {
        self.patterns.push((pattern, rules));
    }

    /// The table.
    pub fn build(self) -> RouteTable {
        let mut table = RouteTable {
            hosts: vec![HostNode {
                pattern: HostPattern::Any,
                wider: NONE,
                all: Span::default(),
                has_paths: false,
            }],
            host_index: Index::default(),
            host_depths: Depths::default(),
            paths: Vec::new(),
            path_index: Index::default(),
            path_depths: Depths::default(),
            path_longest: 0,
            rules: Vec::new(),
            conditions: Vec::new(),
        };
        // Equal patterns side by side, in the order in which they were added.
        let mut order: HashMap<Pattern, usize> = HashMap::new();
        let mut merged: Vec<(Pattern, Vec<(RuleId, Condition)>)> = Vec::new();
        for (pattern, rules) in self.patterns {
            match order.get(&pattern).and_then(|at| merged.get_mut(*at)) {
                Some((_, own)) => own.extend(rules),
                None => {
                    order.insert(pattern.clone(), merged.len());
                    merged.push((pattern, rules));
                }
            }
        }
        table.add_hosts(merged.iter().map(|(pattern, _)| &pattern.host));
        let numbered = table.hosts.iter().zip(0..);
        let hosts: HashMap<HostPattern, u32> =
            numbered.map(|(node, at)| (node.pattern.clone(), at)).collect();
        for (pattern, rules) in merged {
            let host = hosts.get(&pattern.host).copied().unwrap_or_default();
            table.add_pattern(host, pattern.path, rules);
        }
        table.link_paths();
        table
    }
}

impl RouteTable {
    fn add_hosts<'a>(&mut self, patterns: impl Iterator<Item = &'a HostPattern>) {
        let mut known = HashSet::new();
        for pattern in patterns {
            if *pattern != HostPattern::Any && known.insert(pattern) {
                self.hosts.push(HostNode {
                    pattern: pattern.clone(),
                    wider: NONE,
                    all: Span::default(),
                    has_paths: false,
                });
            }
        }
        self.host_index = Index::with_room(self.hosts.len());
        for (at, node) in self.hosts.iter().enumerate().skip(1) {
            let (name, salt, labels) = match &node.pattern {
                HostPattern::Exact(name) => (name, EXACT, 0),
                HostPattern::Below(name) => (name, 0, 1),
                HostPattern::Any => continue,
            };
            self.host_index.insert(host_hash(name) ^ salt, at as u32);
            let depth = name.split('.').count();
            self.host_depths.put(depth, depth + labels);
        }
        let wider: Vec<u32> =
            self.hosts.iter().map(|node| self.wider_host(&node.pattern)).collect();
        for (node, wider) in self.hosts.iter_mut().zip(wider) {
            node.wider = wider;
        }
    }

    fn wider_host(&self, pattern: &HostPattern) -> u32 {
        let (HostPattern::Exact(name) | HostPattern::Below(name)) = pattern else { return NONE };
        let mut rest = name.as_str();
        while let Some((_, suffix)) = rest.split_once('.') {
            let same = |at| self.is_host(at, suffix.as_bytes(), true);
            if let Some(found) = self.host_index.find(host_hash(suffix), same) {
                return found;
            }
            rest = suffix;
        }
        0
    }

    fn add_pattern(&mut self, host: u32, path: PathPattern, rules: Vec<(RuleId, Condition)>) {
        let from = self.rules.len() as u32;
        for (rule, condition) in rules {
            let number = if condition.is_empty() {
                NONE
            } else {
                self.conditions.push(condition);
                self.conditions.len() as u32 - 1
            };
            self.rules.push(Entry { rule, condition: number });
        }
        let span = Span { from, to: self.rules.len() as u32 };
        let Some(node) = self.hosts.get_mut(host as usize) else { return };
        let (text, exact, prefix) = match path {
            PathPattern::Prefix(text) if text.is_empty() => {
                node.all = span;
                return;
            }
            PathPattern::Prefix(text) => (text, Span::default(), span),
            PathPattern::Exact(text) => (text, span, Span::default()),
        };
        node.has_paths = true;
        self.paths.push(PathNode { host, text, exact, prefix, wider: NONE });
    }

    /// Joins the exact and the prefix node of one text, fills the index and the chains.
    fn link_paths(&mut self) {
        self.paths.sort_by(|a, b| (a.host, &a.text).cmp(&(b.host, &b.text)));
        self.paths.dedup_by(|later, first| {
            let same = later.host == first.host && later.text == first.text;
            if same && later.exact != Span::default() {
                first.exact = later.exact;
            }
            if same && later.prefix != Span::default() {
                first.prefix = later.prefix;
            }
            same
        });
        self.path_index = Index::with_room(self.paths.len());
        for (at, node) in self.paths.iter().enumerate() {
            self.path_index.insert(path_hash(node.host, &node.text), at as u32);
            let depth = node.text.matches('/').count();
            self.path_depths.put(depth, depth);
            self.path_longest = self.path_longest.max(node.text.len());
        }
        let wider: Vec<u32> = self
            .paths
            .iter()
            .map(|node| {
                let shorter = node.text.rfind('/').and_then(|at| node.text.get(..at));
                shorter.map_or(NONE, |text| self.find_path(node.host, text.as_bytes()).1)
            })
            .collect();
        for (node, wider) in self.paths.iter_mut().zip(wider) {
            node.wider = wider;
        }
    }
}

/// An open-addressed index from hashes to node numbers, at most half full.
#[derive(Clone, Debug, Default, PartialEq)]
struct Index {
    slots: Vec<(u32, u32)>,
}

impl Index {
    fn with_room(count: usize) -> Index {
        Index { slots: vec![(0, NONE); (count * 2).next_power_of_two().max(2)] }
    }

    fn insert(&mut self, hash: u64, node: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots.get(at).is_some_and(|slot| slot.1 != NONE) {
            at = (at + 1) & mask;
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = ((hash >> 32) as u32, node);
        }
    }

    fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let tag = (hash >> 32) as u32;
        let mut at = hash as usize & mask;
        loop {
            let (own, node) = *self.slots.get(at)?;
            if node == NONE {
                return None;
            }
            if own == tag && same(node) {
                return Some(node);
            }
            at = (at + 1) & mask;
        }
    }
}

const HOST_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Tells an exact host from the wildcard of the same name.
const EXACT: u64 = 0x5851_f42d_4c95_7f2d;

fn path_seed(host: u32) -> u64 {
    mix(u64::from(host) ^ 0xd6e8_feb8_6659_fd93, HOST_SEED)
}

fn path_hash(host: u32, text: &str) -> u64 {
    text.split('/').skip(1).fold(path_seed(host), |hash, part| mix_in(hash, part.as_bytes(), 0))
}

fn host_hash(name: &str) -> u64 {
    name.rsplit('.').fold(HOST_SEED, |hash, label| mix_in(hash, label.as_bytes(), 0x20))
}

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Folds a segment or label into `hash`; `case` is or-ed to each byte (0x20 makes case equal).
fn mix_in(mut hash: u64, text: &[u8], case: u8) -> u64 {
    let case = u64::from_ne_bytes([case; 8]);
    let mut rest = text;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        hash = mix(hash ^ (u64::from_le_bytes(*chunk) | case), EXACT);
        rest = after;
    }
    // What is left, in one or two loads that may overlap.
    let tail = match (rest.first_chunk::<4>(), rest.last_chunk::<4>(), rest) {
        (Some(first), Some(last), _) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        (_, _, [first, .., last]) => {
            let middle = rest.get(rest.len() / 2).copied().unwrap_or_default();
            u64::from(*first) << 16 | u64::from(middle) << 8 | u64::from(*last)
        }
        (_, _, [one]) => u64::from(*one),
        _ => 0,
    };
    mix(hash ^ (tail | case) ^ ((text.len() as u64) << 56), HOST_SEED)
}
