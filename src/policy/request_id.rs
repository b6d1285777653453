//! Names for requests: 128 random bits as 26 characters.
//!
//! Not secret and not unguessable: the generator is seeded. Unique enough to find a request in the
//! logs of several hosts.

use crate::base::seed::Seed;

/// Crockford's base 32: no letters that are mistaken for digits.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Longest identifier that is taken over from a trusted proxy, in bytes.
pub const LONGEST: usize = 128;

/// The name of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 26]);

impl RequestId {
    /// The next name.
    pub fn new(seed: &mut Seed) -> RequestId {
        let mut bits = u128::from(seed.word()) << 64 | u128::from(seed.word());
        let mut text = [b'0'; 26];
        for byte in text.iter_mut().rev() {
            if let Some(digit) = ALPHABET.get((bits & 31) as usize) {
                *byte = *digit;
            }
            bits >>= 5;
        }
        RequestId(text)
    }

    /// Its text.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or("?"))
    }
}

/// Whether a proxy's identifier is taken over: 1 to [`LONGEST`] visible characters that need no
/// escaping anywhere.
pub fn is_acceptable(text: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/~".contains(byte);
    !text.is_empty() && text.len() <= LONGEST && text.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_differ_and_look_the_same_way() {
        let mut seed = Seed::new(42);
        let ids: HashSet<RequestId> = (0..10_000).map(|_| RequestId::new(&mut seed)).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids.iter().take(100) {
            assert!(id.as_bytes().iter().all(|b| ALPHABET.contains(b)));
            assert!(is_acceptable(id.as_bytes()));
        }
        let again = RequestId::new(&mut Seed::new(7));
        assert_eq!(again, RequestId::new(&mut Seed::new(7)));
    }

    #[test]
    fn strange_identifiers_are_not_taken_over() {
        for bad in [&b""[..], b"a b", b"a\"b", b"a,b", b"\xff", &[b'a'; 129]] {
            assert!(!is_acceptable(bad), "{bad:?}");
        }
    }
}
