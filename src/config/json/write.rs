//! JSON out, members in the order in which they were put in.

use std::fmt::Write as _;

/// A value to be written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) enum Tree {
    Flag(bool),
    Number(u64),
    Text(String),
    /// JSON text that is known to be right.
    Raw(&'static str),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl From<&str> for Tree {
    fn from(text: &str) -> Tree {
        Tree::Text(text.to_owned())
    }
}

impl From<String> for Tree {
    fn from(text: String) -> Tree {
        Tree::Text(text)
    }
}

impl From<u64> for Tree {
    fn from(number: u64) -> Tree {
        Tree::Number(number)
    }
}

impl From<u32> for Tree {
    fn from(number: u32) -> Tree {
        Tree::Number(number.into())
    }
}

impl From<u16> for Tree {
    fn from(number: u16) -> Tree {
        Tree::Number(number.into())
    }
}

impl From<bool> for Tree {
    fn from(flag: bool) -> Tree {
        Tree::Flag(flag)
    }
}

impl<T: Into<Tree>> From<Vec<T>> for Tree {
    fn from(items: Vec<T>) -> Tree {
        Tree::List(items.into_iter().map(T::into).collect())
    }
}

impl<const N: usize> From<[(&str, Tree); N]> for Tree {
    fn from(members: [(&str, Tree); N]) -> Tree {
        Tree::Object(members.into_iter().map(|(name, tree)| (name.to_owned(), tree)).collect())
    }
}

impl Tree {
    /// Adds a member to an object.
    pub fn put(&mut self, name: &str, tree: impl Into<Tree>) {
        if let Tree::Object(members) = self {
            members.push((name.to_owned(), tree.into()));
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Tree::List(items) => items.is_empty(),
            Tree::Object(members) => members.is_empty(),
            _ => false,
        }
    }

    /// Two spaces deep for each level, short values on one line, a newline at the end.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.push('\n');
        out
    }

    /// On one line.
    pub fn line(&self) -> String {
        let mut out = String::new();
        self.write_line(&mut out);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        const SHORT: usize = 88;
        let flat = |tree: &Tree| !matches!(tree, Tree::Object(members) if !members.is_empty());
        let short = |out: &mut String| {
            let line = self.line();
            let fits = line.len() + 2 * depth <= SHORT;
            if fits {
                out.push_str(&line);
            }
            fits
        };
        match self {
            Tree::Object(members) if !members.is_empty() => {
                if members.iter().all(|(_, tree)| flat(tree)) && members.len() <= 4 && short(out) {
                    return;
                }
                out.push('{');
                for (at, (name, tree)) in members.iter().enumerate() {
                    separate(out, at, depth);
                    write_text(out, name);
                    out.push_str(": ");
                    tree.write(out, depth + 1);
                }
                let _ = write!(out, "\n{:1$}}}", "", 2 * depth);
            }
            Tree::List(items) if !items.is_empty() => {
                if items.iter().all(flat) && short(out) {
                    return;
                }
                out.push('[');
                for (at, tree) in items.iter().enumerate() {
                    separate(out, at, depth);
                    tree.write(out, depth + 1);
                }
                let _ = write!(out, "\n{:1$}]", "", 2 * depth);
            }
            _ => self.write_line(out),
        }
    }

    fn write_line(&self, out: &mut String) {
        match self {
            Tree::Flag(flag) => _ = write!(out, "{flag}"),
            Tree::Number(number) => _ = write!(out, "{number}"),
            Tree::Text(text) => write_text(out, text),
            Tree::Raw(raw) => out.push_str(raw),
            Tree::List(items) => {
                out.push('[');
                for (at, tree) in items.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    tree.write_line(out);
                }
                out.push(']');
            }
            Tree::Object(members) => {
                out.push('{');
                for (at, (name, tree)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    write_text(out, name);
                    out.push_str(": ");
                    tree.write_line(out);
                }
                out.push('}');
            }
        }
    }
}

fn separate(out: &mut String, at: usize, depth: usize) {
    let comma = if at > 0 { "," } else { "" };
    let _ = write!(out, "{comma}\n{:1$}", "", 2 * depth + 2);
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Escaped too: what a terminal or an editor may take for a command or a line.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
