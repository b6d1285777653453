//! Reads the tables of messages: one case a line, columns separated by tabs, `#` for remarks.
//! Shared by the test binaries that run them.

/// One line of a table: where it stands, its name, and the other columns as they are written.
pub struct Case {
    pub line: usize,
    pub name: String,
    columns: Vec<String>,
}

impl Case {
    /// The text of the column behind the name with this number.
    pub fn text(&self, column: usize) -> &str {
        &self.columns[column]
    }

    /// The bytes that the column stands for: escapes undone, `-` for nothing at all.
    pub fn bytes(&self, column: usize) -> Option<Vec<u8>> {
        match self.text(column) {
            "-" => None,
            text => Some(unescape(text)),
        }
    }

    /// The lines of the column, as bytes.
    pub fn lines(&self, column: usize) -> Vec<Vec<u8>> {
        match self.bytes(column) {
            None => Vec::new(),
            Some(bytes) => bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
        }
    }
}

/// All cases of the table `text`, which has `columns` columns beside the name.
pub fn read(text: &str, columns: usize) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.split('\t').map(str::to_owned);
        let case = Case {
            line: index + 1,
            name: parts.next().expect("a line has a name"),
            columns: parts.collect(),
        };
        assert_eq!(case.columns.len(), columns, "line {}: {}", case.line, case.name);
        cases.push(case);
    }
    let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert!(twice.is_none(), "a name stands twice: {twice:?}");
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (bytes, used) = match first {
            '\\' => escape(rest),
            '{' => repeat(rest),
            _ => (vec![first as u8], 1),
        };
        assert!(first.is_ascii(), "not ASCII: {text}");
        out.extend(bytes);
        rest = &rest[used..];
    }
    out
}

fn escape(rest: &str) -> (Vec<u8>, usize) {
    match rest.as_bytes()[1] {
        b'r' => (b"\r".to_vec(), 2),
        b'n' => (b"\n".to_vec(), 2),
        b't' => (b"\t".to_vec(), 2),
        b'\\' => (b"\\".to_vec(), 2),
        b'e' => (Vec::new(), 2),
        b'x' => (vec![u8::from_str_radix(&rest[2..4], 16).expect("two digits")], 4),
        other => panic!("unknown escape {}", char::from(other)),
    }
}

fn repeat(rest: &str) -> (Vec<u8>, usize) {
    let end = rest.find('}').expect("a closing brace");
    let (byte, count) = rest[1..end].split_once('*').expect("byte and count");
    let count = count.parse().expect("a count");
    (byte.as_bytes().repeat(count), end + 1)
}
