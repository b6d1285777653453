//! Host names as routing sees them: without port and trailing dot, in lower case.

/// `host` without its port and trailing dot. Bytes that form no port stay.
///
/// ```
/// # use cloudcup::route::host::bare;
/// assert_eq!(bare(b"Example.com.:8080"), b"Example.com");
/// assert_eq!(bare(b"[::1]:80"), b"[::1]");
/// ```
pub fn bare(host: &[u8]) -> &[u8] {
    let from_colon = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count() + 1;
    let name = match host.len().checked_sub(from_colon) {
        Some(at) if host.get(at) == Some(&b':') => host.get(..at).unwrap_or(host),
        _ => host,
    };
    name.strip_suffix(b".").unwrap_or(name)
}

/// Why `name` is no host name (RFC 1123 letters, digits and hyphens, and the underscore that real
/// names have); `None` when it is one.
pub fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the name is empty".to_owned());
    }
    if name.len() > 253 {
        return Some("the name is longer than 253 bytes".to_owned());
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c))) {
        return Some(match bad.is_ascii() {
            true => format!("{bad:?} can't stand in a host name"),
            false => format!("{bad:?} is not ASCII; write the name in its xn-- form"),
        });
    }
    let bad_label = |label: &str| label.is_empty() || label.len() > 63;
    name.split('.').any(bad_label).then(|| "a label is empty or longer than 63 bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_and_dot_are_dropped() {
        for (given, wanted) in [
            ("example.com", "example.com"),
            ("example.com:80", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("example.com:", "example.com"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("", ""),
            (":80", ""),
            ("80", "80"),
            ("a:b", "a:b"),
        ] {
            assert_eq!(bare(given.as_bytes()), wanted.as_bytes(), "{given}");
        }
    }

    #[test]
    fn faults_of_names() {
        for good in ["a", "example.com", "my_host", "xn--bcher-kva.example", "a-b.c1"] {
            assert_eq!(name_fault(good), None, "{good}");
        }
        for bad in ["", ".", "a..b", ".a", "bücher.example", "a b", "a:80", &"a".repeat(64)] {
            assert!(name_fault(bad).is_some(), "{bad}");
        }
    }
}
