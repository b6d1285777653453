//! The target of a redirect: literal text with parts of the request put in.
//!
//! Invariant: a template starts with literal text that fixes where the browser goes (`http://…`,
//! `https://…` or a path with a first segment), so that a request can't turn it into another site.

/// A parsed target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Host,
    Path,
    Query,
    Uri,
}

/// What a request gives to a template.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The host asked for, without port.
    pub host: &'a [u8],
    /// The path as sent, with its leading slash.
    pub path: &'a [u8],
    /// The query string without its `?`, when there is one.
    pub query: Option<&'a [u8]>,
}

const NAMES: [(&str, Part); 4] =
    [("host", Part::Host), ("path", Part::Path), ("query", Part::Query), ("uri", Part::Uri)];

impl Template {
    /// Parses `text`. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Template, String> {
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!("{bad:?} can't stand in a URL; percent-encode it"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let close = rest[open..].find('}').ok_or("'{' without its '}'")? + open;
            let name = &rest[open + 1..close];
            let part = NAMES.iter().find(|(known, _)| *known == name).map(|(_, part)| part);
            parts.push(
                part.ok_or_else(|| format!("{{{name}}} is nothing that can be put in"))?.clone(),
            );
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        anchored(text, &parts)?;
        let asks = |part| parts.contains(part);
        if !text.contains('?') && !asks(&Part::Query) && !asks(&Part::Uri) {
            parts.push(Part::Query);
        }
        Ok(Template { text: text.to_owned(), parts })
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Appends the location for one request to `out`.
    pub fn render(&self, given: &Given<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Host => out.extend_from_slice(given.host),
                Part::Path => out.extend_from_slice(given.path),
                Part::Query => put_query(given, out),
                Part::Uri => {
                    out.extend_from_slice(given.path);
                    put_query(given, out);
                }
            }
        }
    }
}

fn put_query(given: &Given<'_>, out: &mut Vec<u8>) {
    if let Some(query) = given.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

/// Refuses a template whose site a request could choose.
fn anchored(text: &str, parts: &[Part]) -> Result<(), String> {
    let first = match parts.first() {
        Some(Part::Text(first)) => first.as_str(),
        _ => "",
    };
    let after = first.strip_prefix("https://").or_else(|| first.strip_prefix("http://"));
    if let Some(after) = after {
        let whole = parts.len() == 1;
        let host_ends = after.contains('/') || whole;
        let next_is_path = matches!(parts.get(1), Some(Part::Path | Part::Uri));
        if after.is_empty() {
            return match parts.get(1) {
                Some(Part::Host) => Ok(()),
                _ => Err("the host is missing after \"://\"".to_owned()),
            };
        }
        if host_ends || next_is_path || after.contains('?') {
            return Ok(());
        }
        return Err("a request could extend the host; put '/' or {path} after it".to_owned());
    }
    let mut chars = first.chars();
    match (chars.next(), chars.next()) {
        (Some('/'), Some(second)) if second != '/' && second != '\\' => Ok(()),
        _ if text == "/" => Ok(()),
        _ => Err("it must start with http://, https:// or a path with a first segment".to_owned()),
    }
}
