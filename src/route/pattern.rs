//! Route keys: `[host]/path`, with `*.` in front of a host and `/*` at the end of a path.

use std::fmt;

use super::{host, path};

/// A parsed route key in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// Which hosts.
    pub host: HostPattern,
    /// Which paths.
    pub path: PathPattern,
}

/// The host part; names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// No host part.
    Any,
    /// This host.
    Exact(String),
    /// Every host below this one (`*.` before it), at any depth; not itself.
    Below(String),
}

/// The path part, in the compared form of [`path::matched`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// This path.
    Exact(String),
    /// This path and all below it. Without its last slash: `""` is every path.
    Prefix(String),
}

/// Why a text is no route key, and what could be written in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub hint: Option<String>,
}

fn error<T>(message: impl Into<String>, hint: Option<String>) -> Result<T, PatternError> {
    Err(PatternError { message: message.into(), hint })
}

impl Pattern {
    /// Parses a route key.
    pub fn parse(key: &str) -> Result<Pattern, PatternError> {
        if key == "*" {
            return Ok(Pattern {
                host: HostPattern::Any,
                path: PathPattern::Prefix(String::new()),
            });
        }
        let Some(slash) = key.find('/') else {
            let hint = if key.is_empty() { "*".to_owned() } else { format!("{key}/*") };
            return error("a route key is \"*\", a path or a host with a path", Some(hint));
        };
        let (name, path) = key.split_at(slash);
        Ok(Pattern { host: parse_host(name, path)?, path: parse_path(name, path)? })
    }
}

fn parse_host(name: &str, path: &str) -> Result<HostPattern, PatternError> {
    if name.is_empty() {
        return Ok(HostPattern::Any);
    }
    if name == "*" {
        return error("a host of \"*\" is every host", Some(path.to_owned()));
    }
    let bare = std::str::from_utf8(host::bare(name.as_bytes())).unwrap_or(name);
    if bare != name {
        let message = "port and trailing dot of the host play no part in routing";
        return error(message, Some(format!("{bare}{path}")));
    }
    let (below, plain) = match name.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let v6 = plain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(v6) = v6 {
        return match v6.parse::<std::net::Ipv6Addr>() {
            Ok(_) if !below => Ok(HostPattern::Exact(plain.to_ascii_lowercase())),
            _ => error(format!("{name:?} is no host"), None),
        };
    }
    if plain.contains('*') {
        let message = "in a host, \"*\" can only be the whole first label (\"*.example.com\")";
        return error(message, None);
    }
    if let Some(fault) = host::name_fault(plain) {
        return error(format!("the host {plain:?} is not valid: {fault}"), None);
    }
    let plain = plain.to_ascii_lowercase();
    Ok(if below { HostPattern::Below(plain) } else { HostPattern::Exact(plain) })
}

fn parse_path(name: &str, path: &str) -> Result<PathPattern, PatternError> {
    let (prefix, plain) = match path.strip_suffix("/*") {
        Some(rest) => (true, rest),
        None => (false, path),
    };
    if plain.contains('*') {
        let short = plain.split('*').next().unwrap_or_default().trim_end_matches('/');
        let message = "in a path, \"*\" can only be the whole last segment";
        return error(message, Some(format!("{name}{short}/*")));
    }
    if let Some(at) = plain.find('?') {
        let hint = format!("{name}{}", &plain[..at]);
        return error("a query string is no part of a route key; use \"match\"", Some(hint));
    }
    if let Some(bad) = plain.chars().find(|c| unprintable(*c) || *c == ' ') {
        return error(format!("{bad:?} can't stand in a path"), None);
    }
    if let Err(fault) = path::check(plain.as_bytes()) {
        return error(format!("no request would match: {}", fault.sentence()), None);
    }
    let mut room = [0; path::KEY_MAX + 4];
    let compared = path::matched(plain.as_bytes(), &mut room);
    if compared.len() > path::KEY_MAX {
        return error(format!("the path is longer than {} bytes", path::KEY_MAX), None);
    }
    let Ok(compared) = std::str::from_utf8(compared) else {
        return error("the escapes of the path are not UTF-8", None);
    };
    let compared = compared.to_owned();
    Ok(if prefix { PathPattern::Prefix(compared) } else { PathPattern::Exact(compared) })
}

/// Whether a character may change how a line is shown or where it ends: control, direction and
/// other invisible characters. Names that reach logs and screens hold none.
pub fn unprintable(c: char) -> bool {
    !matches!(c, '\'' | '"' | '\\') && c.escape_debug().len() > 1
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, &self.path) {
            (HostPattern::Any, PathPattern::Prefix(path)) if path.is_empty() => {
                return out.write_str("*");
            }
            (HostPattern::Any, _) => {}
            (HostPattern::Exact(name), _) => out.write_str(name)?,
            (HostPattern::Below(name), _) => write!(out, "*.{name}")?,
        }
        match &self.path {
            PathPattern::Exact(path) => out.write_str(path),
            PathPattern::Prefix(path) => write!(out, "{path}/*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_their_one_spelling() {
        for (key, wanted) in [
            ("*", "*"),
            ("/*", "*"),
            ("/", "/"),
            ("/a/*", "/a/*"),
            ("/A%2fb/%7e", "/A%2Fb/~"),
            ("API.Example.com/v1/*", "api.example.com/v1/*"),
            ("*.Apps.example.com/*", "*.apps.example.com/*"),
            ("[::1]/x", "[::1]/x"),
            ("127.0.0.1/*", "127.0.0.1/*"),
        ] {
            assert_eq!(Pattern::parse(key).map(|p| p.to_string()).as_deref(), Ok(wanted), "{key}");
        }
    }

    #[test]
    fn what_is_no_key() {
        for (key, hint) in [
            ("", Some("*")),
            ("example.com", Some("example.com/*")),
            ("*/a", Some("/a")),
            ("example.com:80/a", Some("example.com/a")),
            ("example.com./a", Some("example.com/a")),
            ("/a*", Some("/a/*")),
            ("/a/*/b", Some("/a/*")),
            ("/a?b", Some("/a")),
            ("a*.example.com/", None),
            ("bücher.example/", None),
            ("/a b", None),
            ("/a\u{202e}b", None),
            ("/a\u{1b}[2Jb", None),
            ("/a/../b", None),
            ("/a%zz", None),
        ] {
            let error = Pattern::parse(key).expect_err(key);
            assert_eq!(error.hint.as_deref(), hint, "{key}");
        }
        assert!(Pattern::parse(&format!("/{}", "a".repeat(2000))).is_err());
    }
}
