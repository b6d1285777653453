//! A Rust source file as the rules see it: the text, the same text with comments and literals
//! blanked out, and the same again without test code. Not a parser: it knows just enough of the
//! language's surface (strings, comments, braces) that a word found in it is really code.
//! Invariant: all three texts have the same bytes per line count, so line numbers agree.

/// One file, in three readings of equal line structure.
pub struct Source {
    /// Path from the root of the repository.
    pub path: String,
    /// The text as it stands.
    pub text: String,
    /// Comments and the insides of literals replaced by spaces.
    pub code: String,
    /// `code` with everything under `#[cfg(test)]` replaced by spaces.
    pub live: String,
}

impl Source {
    /// Reads `text` as Rust source. Files that are tests by their place have no live code.
    pub fn new(path: &str, text: &str) -> Source {
        let code = blank(text);
        let by_place = path.starts_with("tests/")
            || path.ends_with("/tests.rs")
            || path.contains("/tests/")
            || path.starts_with("benches/");
        let live = if by_place { erase_all(&code) } else { erase_tests(&code) };
        Source { path: path.to_string(), text: text.to_string(), code, live }
    }

    /// The room (first folder or file under `src/`), if the file is in one.
    pub fn room(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let first = rest.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (name != "lib").then_some(name)
    }

    /// The 1-based line of byte offset `at`.
    pub fn line(&self, at: usize) -> usize {
        self.text[..at].bytes().filter(|b| *b == b'\n').count() + 1
    }

    /// The line with this 1-based number, as it stands.
    pub fn line_text(&self, line: usize) -> &str {
        self.text.lines().nth(line - 1).unwrap_or("")
    }

    /// Lines that are not test code.
    pub fn live_lines(&self) -> usize {
        let kept = self.live.lines().zip(self.code.lines());
        // A line counts unless the erasure emptied it; comments count, they are to be read too.
        kept.filter(|(live, code)| !(live.trim().is_empty() && !code.trim().is_empty())).count()
    }
}

/// Is this byte part of a word?
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Offsets at which `word` stands in `text` with no word character on either side.
pub fn words(text: &str, word: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let edge = |at: Option<&u8>| !at.is_some_and(|b| is_word(*b));
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| {
            let first = word.as_bytes()[0];
            let last = word.as_bytes()[word.len() - 1];
            let before = !is_word(first) || *at == 0 || edge(bytes.get(at - 1));
            let after = !is_word(last) || edge(bytes.get(at + word.len()));
            before && after
        })
        .collect()
}

/// Replaces comments and the insides of string and character literals by spaces.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            line_end(bytes, at)
        } else if rest.starts_with(b"/*") {
            block_comment_end(bytes, at)
        } else if let Some(end) = raw_string_end(bytes, at) {
            end
        } else if bytes[at] == b'"' {
            quoted_end(bytes, at)
        } else if bytes[at] == b'\'' {
            char_end(bytes, at)
        } else {
            at += 1;
            continue;
        };
        erase(&mut out[at..end]);
        at = end;
    }
    String::from_utf8(out).unwrap_or_default()
}

fn erase(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The end of a raw string (`r"`, `r#"`, `br"` …) that starts at `at`, if one does.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if at > 0 && is_word(bytes[at - 1]) {
        return None;
    }
    let mut i = at;
    if matches!(bytes.get(i), Some(b'b' | b'c')) {
        i += 1;
    }
    if bytes.get(i) != Some(&b'r') {
        return None;
    }
    i += 1;
    let hashes = bytes[i..].iter().take_while(|b| **b == b'#').count();
    i += hashes;
    if bytes.get(i) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let found = bytes[i + 1..].windows(close.len()).position(|w| w == close);
    Some(found.map_or(bytes.len(), |n| i + 1 + n + close.len()))
}

fn quoted_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a character literal, or of the quote alone when it starts a lifetime.
fn char_end(bytes: &[u8], start: usize) -> usize {
    match bytes.get(start + 1) {
        Some(b'\\') => {
            let from = start + 3;
            let close = bytes[from.min(bytes.len())..].iter().position(|b| *b == b'\'');
            close.map_or(bytes.len(), |n| from + n + 1)
        }
        Some(_) => {
            let close = bytes[start + 1..].iter().take(6).position(|b| *b == b'\'');
            match close {
                // 'a' is a literal, 'a: or 'a> a lifetime; a multi-byte character is a literal.
                Some(1) => start + 3,
                Some(n) if bytes[start + 1] >= 0x80 => start + n + 2,
                _ => start + 1,
            }
        }
        None => bytes.len(),
    }
}

fn erase_all(code: &str) -> String {
    code.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// Erases every item that stands under `#[cfg(test)]`.
fn erase_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for (start, _) in code.match_indices("#[cfg(test)]") {
        let end = item_end(code.as_bytes(), start + "#[cfg(test)]".len());
        erase(&mut out[start..end]);
    }
    String::from_utf8(out).unwrap_or_default()
}

/// The end of the item that starts at `from`: its closing brace, or its semicolon.
pub fn item_end(code: &[u8], from: usize) -> usize {
    let (mut at, mut nested) = (from, 0usize);
    while at < code.len() {
        match code[at] {
            b'(' | b'[' => nested += 1,
            b')' | b']' => nested = nested.saturating_sub(1),
            b';' if nested == 0 => return at + 1,
            b'{' if nested == 0 => return block_end(code, at),
            _ => {}
        }
        at += 1;
    }
    code.len()
}

/// The offset behind the brace that closes the one at `open`.
pub fn block_end(code: &[u8], open: usize) -> usize {
    let mut depth = 0usize;
    for (n, byte) in code[open..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return open + n + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_lines_stay() {
        let text = "a /* b\n c */ d // e\n\"f\\\"g\" 'h' '\\'' &'i j r#\"k\"l\"# b'{'\n";
        let source = Source::new("src/x/y.rs", text);
        assert_eq!(source.code.lines().count(), text.lines().count());
        let kept: String = source.code.split_whitespace().collect();
        assert_eq!(kept, "ad&ijb");
        assert_eq!(source.room(), Some("x"));
    }

    #[test]
    fn test_modules_are_not_live() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { let c = \"}\"; }\n}\nfn d() {}\n";
        let source = Source::new("src/x.rs", text);
        assert!(source.live.contains("fn a") && source.live.contains("fn d"));
        assert!(!source.live.contains("fn b"));
        assert_eq!(source.live_lines(), 2);
        assert_eq!(Source::new("tests/x.rs", text).live.trim(), "");
    }

    #[test]
    fn words_have_edges() {
        assert_eq!(words("Rc Arc Rc<T> .unwrap()", "Rc"), vec![0, 7]);
        assert_eq!(words("x.unwrap() unwrap_or", ".unwrap()"), vec![1]);
    }
}
