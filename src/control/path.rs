//! Object paths: an element made of any text and back.
//!
//! The escaping is the one of systemd (`sd_bus_path_encode`): every byte outside `[A-Za-z0-9]`, and
//! a leading digit, becomes `_` and two lower-case hex digits; the empty text is `_`. So distinct
//! names never share a path and `busctl` output stays readable.

use super::names;

/// `text` as one element of an object path.
pub fn escape(text: &str) -> String {
    if text.is_empty() {
        return "_".to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for (at, byte) in text.bytes().enumerate() {
        let plain = byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && at > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push('_');
            out.push_str(&format!("{byte:02x}"));
        }
    }
    out
}

/// The text that [`escape`] made `element` of; `None` when no text does.
pub fn unescape(element: &str) -> Option<String> {
    if element == "_" {
        return Some(String::new());
    }
    let mut out = Vec::with_capacity(element.len());
    let mut rest = element.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'_' {
            if !first.is_ascii_alphanumeric() {
                return None;
            }
            out.push(first);
            rest = tail;
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        if !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail.get(2..)?;
    }
    let text = String::from_utf8(out).ok()?;
    (!text.is_empty() && escape(&text) == element).then_some(text)
}

/// The path of the worker with process id `pid`.
pub fn worker(pid: u32) -> String {
    format!("{}/{}", names::WORKER_PATH, escape(&pid.to_string()))
}

/// The path of the pool `name`.
pub fn pool(name: &str) -> String {
    format!("{}/{}", names::POOL_PATH, escape(name))
}

/// The path of the member `id` (its stable 64-bit identity) of the pool `name`.
pub fn backend(name: &str, id: u64) -> String {
    format!("{}/{}/m{id:016x}", names::BACKEND_PATH, escape(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_as_systemd_does() {
        for (text, element) in [
            ("", "_"),
            ("api", "api"),
            ("4711", "_34711"),
            ("a.b-c", "a_2eb_2dc"),
            ("/game/*", "_2fgame_2f_2a"),
            ("*", "_2a"),
            ("_", "_5f"),
            ("ä", "_c3_a4"),
        ] {
            assert_eq!(escape(text), element, "{text}");
            assert_eq!(unescape(element).as_deref(), Some(text), "{element}");
        }
    }

    #[test]
    fn refuses_what_no_text_makes() {
        for element in ["4a", "_4", "_zz", "a-b", "_c3", "_61", "_2E", "a_"] {
            assert_eq!(unescape(element), None, "{element}");
        }
    }

    proptest! {
        #[test]
        fn every_text_survives(text in ".*") {
            let element = escape(&text);
            prop_assert!(element.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            prop_assert_eq!(unescape(&element), Some(text));
        }

        #[test]
        fn unescape_never_panics(element in ".*") {
            let _ = unescape(&element);
        }
    }
}
