//! A strict JSON reader that remembers where everything stands.
//!
//! It is no general JSON library: it reads one document into a flat arena whose nodes know their
//! offset and their parent, so that every problem has an exact position and pointer. It goes on
//! after slips of the pen (comments, a comma too many or too few) to find the other problems too.
//! Invariants: depth, size and number of values are bounded before memory is; numbers stay text
//! (nothing is rounded); a document with a problem of its own is never used.

mod read;
mod write;

use std::fmt::Write as _;

pub(super) use read::read;
pub(super) use write::Tree;

use crate::route::unprintable;

/// Bytes of a document.
pub const SIZE_MAX: usize = 16 * 1024 * 1024;
/// Nested arrays and objects.
pub const DEPTH_MAX: usize = 32;
/// Values of a document.
pub const VALUES_MAX: usize = 1_000_000;

const NONE: u32 = u32::MAX;

/// A document that was read.
#[derive(Debug)]
pub(super) struct Doc<'t> {
    text: &'t str,
    nodes: Vec<Node>,
    decoded: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: NodeKind,
    at: u32,
    parent: u32,
    next: u32,
    key: Key,
}

/// What the value is called by its parent.
#[derive(Clone, Copy, Debug)]
enum Key {
    Root,
    Item(u32),
    Member { at: u32, name: Text },
}

#[derive(Clone, Copy, Debug)]
enum NodeKind {
    Null,
    Flag(bool),
    Number { end: u32 },
    Text(Text),
    List { first: u32 },
    Object { first: u32 },
}

/// A string: a piece of the text when it holds no escape, else decoded aside.
#[derive(Clone, Copy, Debug)]
enum Text {
    Plain { from: u32, to: u32 },
    Decoded(u32),
}

/// One value of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'d> {
    doc: &'d Doc<'d>,
    node: u32,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind<'d> {
    Null,
    Flag(bool),
    /// As it was written.
    Number(&'d str),
    Text(&'d str),
    List,
    Object,
}

impl Kind<'_> {
    pub fn article(&self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Flag(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a string",
            Kind::List => "an array",
            Kind::Object => "an object",
        }
    }
}

impl<'d> Doc<'d> {
    pub fn root(&'d self) -> Value<'d> {
        Value { doc: self, node: 0 }
    }

    /// Every object of the document, outer ones first.
    pub fn objects(&'d self) -> impl Iterator<Item = Value<'d>> {
        let is_object = |(_, node): &(usize, &Node)| matches!(node.kind, NodeKind::Object { .. });
        let value = |(at, _)| Value { doc: self, node: at as u32 };
        self.nodes.iter().enumerate().filter(is_object).map(value)
    }

    fn string(&self, text: Text) -> &str {
        match text {
            Text::Plain { from, to } => self.text.get(from as usize..to as usize),
            Text::Decoded(at) => self.decoded.get(at as usize).map(String::as_str),
        }
        .unwrap_or_default()
    }

    fn pointer(&self, mut node: u32) -> String {
        let mut keys = Vec::new();
        while let Some(found) = self.nodes.get(node as usize) {
            keys.push(found.key);
            node = found.parent;
        }
        let mut out = String::new();
        for key in keys.into_iter().rev() {
            match key {
                Key::Root => {}
                Key::Item(at) => _ = write!(out, "/{at}"),
                Key::Member { name, .. } => push_token(&mut out, self.string(name)),
            }
        }
        out
    }
}

/// Appends one reference token of a JSON pointer. A hostile key is shown in part, and what no screen
/// or log should be given (control and direction characters) as the escape of it.
pub(super) fn push_token(out: &mut String, name: &str) {
    out.push('/');
    for (at, c) in name.chars().enumerate() {
        match c {
            _ if at == 200 => return out.push('…'),
            '~' => out.push_str("~0"),
            '/' => out.push_str("~1"),
            c if unprintable(c) => out.extend(c.escape_debug()),
            c => out.push(c),
        }
    }
}

impl<'d> Value<'d> {
    fn own(self) -> Option<&'d Node> {
        self.doc.nodes.get(self.node as usize)
    }

    pub fn kind(self) -> Kind<'d> {
        match self.own().map(|node| (node.kind, node.at)) {
            None | Some((NodeKind::Null, _)) => Kind::Null,
            Some((NodeKind::Flag(flag), _)) => Kind::Flag(flag),
            Some((NodeKind::Number { end }, at)) => {
                Kind::Number(self.doc.text.get(at as usize..end as usize).unwrap_or_default())
            }
            Some((NodeKind::Text(text), _)) => Kind::Text(self.doc.string(text)),
            Some((NodeKind::List { .. }, _)) => Kind::List,
            Some((NodeKind::Object { .. }, _)) => Kind::Object,
        }
    }

    /// Byte offset of the value.
    pub fn at(self) -> u32 {
        self.own().map_or(0, |node| node.at)
    }

    /// Byte offset of the member's key, or of the value where it has none.
    pub fn key_at(self) -> u32 {
        match self.own().map(|node| node.key) {
            Some(Key::Member { at, .. }) => at,
            _ => self.at(),
        }
    }

    /// The member's key; empty where it has none.
    pub fn key(self) -> &'d str {
        match self.own().map(|node| node.key) {
            Some(Key::Member { name, .. }) => self.doc.string(name),
            _ => "",
        }
    }

    pub fn pointer(self) -> String {
        self.doc.pointer(self.node)
    }

    /// Items of an array or members of an object, in order. Nothing for other values.
    pub fn children(self) -> impl Iterator<Item = Value<'d>> {
        let first = match self.own().map(|node| node.kind) {
            Some(NodeKind::List { first } | NodeKind::Object { first }) => first,
            _ => NONE,
        };
        let doc = self.doc;
        let step = move |node: &u32| {
            doc.nodes.get(*node as usize).map(|node| node.next).filter(|next| *next != NONE)
        };
        std::iter::successors(Some(first).filter(|first| *first != NONE), step)
            .map(move |node| Value { doc, node })
    }

    /// The member called `name` of an object.
    pub fn get(self, name: &str) -> Option<Value<'d>> {
        match self.kind() {
            Kind::Object => self.children().find(|member| member.key() == name),
            _ => None,
        }
    }
}
