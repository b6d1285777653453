//! From bytes to a [`Doc`]. Goes on after slips of the pen; stops at what has no one reading.

use super::{DEPTH_MAX, Doc, Key, NONE, Node, NodeKind, SIZE_MAX, Text, VALUES_MAX};
use crate::config::problem::{Collector, Found, Severity};

/// Reads a document. `None` when it could not be read to its end; a document that was given is
/// still to be refused when `problems` holds an error.
pub(in crate::config) fn read<'t>(bytes: &'t [u8], problems: &mut Collector) -> Option<Doc<'t>> {
    let mut whole = |id, at: usize, message: String, hint: Option<&str>| {
        let hint = hint.map(str::to_owned);
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        let pointer = String::new();
        problems.push(Found { severity: Severity::Error, id, at, pointer, message, hint });
    };
    if bytes.len() > SIZE_MAX {
        whole(
            "too-large",
            0,
            format!("the document has {} bytes; 16 MiB are allowed", bytes.len()),
            None,
        );
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            let hint = match byte {
                0xff | 0xfe if at == 0 => Some("it looks like UTF-16; save it as UTF-8"),
                _ => Some("save the file as UTF-8"),
            };
            whole("encoding", at, format!("the byte 0x{byte:02x} is not UTF-8"), hint);
            return None;
        }
    };
    if text.starts_with('\u{feff}') {
        let hint = Some("save the file without it");
        whole("encoding", 0, "the document starts with a byte order mark".to_owned(), hint);
        return None;
    }
    let doc = Doc { text, nodes: Vec::new(), decoded: Vec::new() };
    let mut reader = Reader { doc, problems, at: 0, depth: 0, parent: NONE };
    reader.document().ok()?;
    Some(reader.doc)
}

struct Reader<'t, 'p> {
    doc: Doc<'t>,
    problems: &'p mut Collector,
    at: usize,
    depth: usize,
    parent: u32,
}

/// The reader can't go on; the reason was told.
struct Lost;

type Step<T> = Result<T, Lost>;

impl Reader<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.doc.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.doc.text.get(self.at..).unwrap_or_default()
    }

    fn tell(&mut self, id: &'static str, at: usize, message: String, hint: Option<String>) {
        let pointer = self.doc.pointer(self.parent);
        let at = at as u32;
        self.problems.push(Found { severity: Severity::Error, id, at, pointer, message, hint });
    }

    fn slip(&mut self, at: usize, message: &str, hint: &str) -> Step<()> {
        self.tell("SyntaxError", at, message.to_owned(), Some(hint.to_owned()));
        if self.problems.is_full() { Err(Lost) } else { Ok(()) }
    }

    fn lost<T>(&mut self, message: String, hint: Option<&str>) -> Step<T> {
        self.tell("SyntaxError", self.at, message, hint.map(str::to_owned));
        Err(Lost)
    }

    /// What stands here, for a message.
    fn here(&self) -> String {
        match self.rest().chars().next() {
            None => "the document ends".to_owned(),
            Some('\0') => "there is a NUL byte".to_owned(),
            Some(c) => format!("there is {c:?}"),
        }
    }

    fn document(&mut self) -> Step<()> {
        self.space()?;
        self.value(Key::Root)?;
        self.space()?;
        if self.peek().is_some() {
            let message = format!("{} after the end of the document", self.here());
            return self.lost(message, Some("a file holds one JSON value"));
        }
        Ok(())
    }

    /// Skips white space, and comments with a problem.
    fn space(&mut self) -> Step<()> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'/' | b'#') => self.comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn comment(&mut self) -> Step<()> {
        let rest = self.rest();
        let length = if rest.starts_with("//") || rest.starts_with('#') {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else {
            let message = format!("{} where a value or a key should be", self.here());
            return self.lost(message, None);
        };
        let hint = "use a \"$comment\" key";
        self.slip(self.at, "JSON has no comments", hint)?;
        self.at += length;
        Ok(())
    }

    fn add(&mut self, kind: NodeKind, at: usize, key: Key) -> Step<u32> {
        let number = self.doc.nodes.len();
        if number >= VALUES_MAX {
            let message = format!("more than {VALUES_MAX} values");
            self.tell("too-large", at, message, None);
            return Err(Lost);
        }
        let parent = self.parent;
        self.doc.nodes.push(Node { kind, at: at as u32, parent, next: NONE, key });
        Ok(number as u32)
    }

    fn value(&mut self, key: Key) -> Step<u32> {
        let at = self.at;
        match self.peek() {
            Some(b'{') => self.nested(key, true),
            Some(b'[') => self.nested(key, false),
            Some(b'"') => {
                let text = self.string()?;
                self.add(NodeKind::Text(text), at, key)
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                self.add(NodeKind::Number { end: self.at as u32 }, at, key)
            }
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$') => self.word(key),
            Some(b'\'') => {
                let message = "JSON strings stand in double quotes".to_owned();
                self.lost(message, None)
            }
            _ => {
                let message = format!("{} where a value should be", self.here());
                self.lost(message, None)
            }
        }
    }

    fn word(&mut self, key: Key) -> Step<u32> {
        let at = self.at;
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let kind = match word {
            "true" => NodeKind::Flag(true),
            "false" => NodeKind::Flag(false),
            "null" => NodeKind::Null,
            _ => {
                let known = matches!(word.to_ascii_lowercase().as_str(), "true" | "false" | "null");
                let hint =
                    if known { "write it in lower case" } else { "put strings in double quotes" };
                let word: String = word.chars().take(40).collect();
                return self.lost(format!("{word:?} is no JSON value"), Some(hint));
            }
        };
        self.at += end;
        self.add(kind, at, key)
    }

    fn number(&mut self) -> Step<()> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        let mut good = whole > 0 && !(leading_zero && whole > 1);
        if self.peek() == Some(b'.') {
            self.at += 1;
            good &= self.digits() > 0;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            good &= self.digits() > 0;
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._+-:".contains(&byte))
        {
            good = false;
        }
        if good {
            return Ok(());
        }
        self.at = start;
        let written: String = self
            .rest()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "+-._:".contains(*c))
            .take(40)
            .collect();
        self.lost(
            format!("\"{written}\" is no JSON number"),
            Some("put addresses, sizes and durations in double quotes"),
        )
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        count
    }

    fn nested(&mut self, key: Key, object: bool) -> Step<u32> {
        if self.depth >= DEPTH_MAX {
            let message = format!("arrays and objects are nested more than {DEPTH_MAX} deep");
            self.tell("too-deep", self.at, message, None);
            return Err(Lost);
        }
        let kind =
            if object { NodeKind::Object { first: NONE } } else { NodeKind::List { first: NONE } };
        let node = self.add(kind, self.at, key)?;
        let before = std::mem::replace(&mut self.parent, node);
        self.depth += 1;
        self.at += 1;
        if object {
            self.members(node)?
        } else {
            self.items(node)?
        };
        self.depth -= 1;
        self.parent = before;
        Ok(node)
    }

    /// After a value: `true` when another one follows, `false` when the bracket was closed.
    fn goes_on(&mut self, close: u8) -> Step<bool> {
        let after_value = self.at;
        self.space()?;
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') => {
                let comma = self.at;
                self.at += 1;
                self.space()?;
                if self.peek() == Some(close) {
                    self.slip(comma, "a comma after the last value", "remove it")?;
                    self.at += 1;
                    return Ok(false);
                }
                Ok(true)
            }
            Some(b'"' | b'{' | b'[') => {
                self.slip(after_value, "a comma is missing after this value", "add it")?;
                Ok(true)
            }
            _ => {
                let close = char::from(close);
                let message = format!("{} where ',' or '{close}' should be", self.here());
                self.lost(message, None)
            }
        }
    }

    fn items(&mut self, node: u32) -> Step<()> {
        self.space()?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        let mut last = NONE;
        for number in 0.. {
            let item = self.value(Key::Item(number))?;
            self.link(node, &mut last, item);
            if !self.goes_on(b']')? {
                break;
            }
        }
        Ok(())
    }

    fn members(&mut self, node: u32) -> Step<()> {
        self.space()?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut last = NONE;
        loop {
            let at = self.at as u32;
            if self.peek() != Some(b'"') {
                let message = format!("{} where a key should be", self.here());
                return self.lost(message, Some("keys are strings in double quotes"));
            }
            let name = self.string()?;
            self.space()?;
            if self.peek() != Some(b':') {
                let message = format!("{} where ':' should be", self.here());
                return self.lost(message, None);
            }
            self.at += 1;
            self.space()?;
            let member = self.value(Key::Member { at, name })?;
            self.link(node, &mut last, member);
            if !self.goes_on(b'}')? {
                break;
            }
        }
        Ok(())
    }

    fn link(&mut self, parent: u32, last: &mut u32, node: u32) {
        let before = std::mem::replace(last, node);
        if let Some(before) = self.doc.nodes.get_mut(before as usize) {
            before.next = node;
            return;
        }
        if let Some(Node { kind: NodeKind::List { first } | NodeKind::Object { first }, .. }) =
            self.doc.nodes.get_mut(parent as usize)
        {
            *first = node;
        }
    }

    /// A string; the reader stands on its opening quote.
    fn string(&mut self) -> Step<Text> {
        self.at += 1;
        let from = self.at;
        let mut decoded: Option<String> = None;
        loop {
            let start = self.at;
            let stop = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
            let length = self.rest().bytes().position(stop).unwrap_or(self.rest().len());
            self.at += length;
            if let Some(decoded) = &mut decoded {
                decoded.push_str(self.doc.text.get(start..self.at).unwrap_or_default());
            }
            match self.peek() {
                Some(b'"') => {
                    let to = self.at as u32;
                    self.at += 1;
                    let Some(decoded) = decoded else {
                        return Ok(Text::Plain { from: from as u32, to });
                    };
                    self.doc.decoded.push(decoded);
                    return Ok(Text::Decoded(self.doc.decoded.len() as u32 - 1));
                }
                Some(b'\\') => {
                    let sofar = self.doc.text.get(from..self.at).unwrap_or_default();
                    let mut whole = decoded.unwrap_or_else(|| sofar.to_owned());
                    whole.push(self.escape()?);
                    decoded = Some(whole);
                }
                Some(b'\n' | b'\r') | None => {
                    self.at = from - 1;
                    return self.lost("the string is not closed on its line".to_owned(), None);
                }
                Some(byte) => {
                    let message = format!("the control character 0x{byte:02x} stands in a string");
                    return self.lost(message, Some("write it as an escape, such as \\u0009"));
                }
            }
        }
    }

    fn escape(&mut self) -> Step<char> {
        let start = self.at;
        let kind = self.doc.text.as_bytes().get(self.at + 1).copied();
        self.at += 2;
        Ok(match kind {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start),
            _ => {
                self.at = start;
                let message = "this is no escape of JSON".to_owned();
                return self.lost(message, Some("a backslash itself is written \\\\"));
            }
        })
    }

    /// `\uXXXX`, or a pair of them; the reader stands behind the `u`.
    fn unicode(&mut self, start: usize) -> Step<char> {
        let Some(high) = self.unit() else {
            self.at = start;
            return self.lost("\\u needs four hexadecimal digits".to_owned(), None);
        };
        if let Some(c) = char::from_u32(high) {
            return Ok(c);
        }
        if high < 0xdc00 && self.rest().starts_with("\\u") {
            self.at += 2;
            if let Some(low @ 0xdc00..=0xdfff) = self.unit() {
                let both = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.at = start;
        self.lost(format!("\\u{high:04x} is half of a surrogate pair"), None)
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.doc.text.get(self.at..self.at + 4)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unit = u32::from_str_radix(digits, 16).ok().filter(|_| all)?;
        self.at += 4;
        Some(unit)
    }
}
