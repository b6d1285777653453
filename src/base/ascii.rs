//! ASCII helpers for protocol text.

/// Decimal digits of a `u64`, without allocating.
pub struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    /// The shortest decimal form of `value`.
    pub fn new(mut value: u64) -> Decimal {
        let mut digits = [b'0'; 20];
        let mut start = digits.len();
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + (value % 10) as u8;
            value /= 10;
            start -= 1;
            if value == 0 {
                break;
            }
        }
        Decimal { digits, start }
    }

    /// The digits, most significant first.
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

/// Lower-case hexadecimal digits of a `u64`, without allocating or leading zeros.
pub struct Hex {
    digits: [u8; 16],
    start: usize,
}

impl Hex {
    /// The shortest hexadecimal form of `value`.
    pub fn new(mut value: u64) -> Hex {
        let mut digits = [b'0'; 16];
        let mut start = digits.len();
        for slot in digits.iter_mut().rev() {
            let nibble = (value & 15) as u8;
            *slot = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            value >>= 4;
            start -= 1;
            if value == 0 {
                break;
            }
        }
        Hex { digits, start }
    }

    /// The digits, most significant first.
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

/// The number that `text` spells in plain decimal digits. `None` when it is empty, holds anything
/// but digits (no sign, no space), or passes `u64::MAX`.
pub fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// `text` without the optional white space (SP, HTAB; RFC 9110 §5.6.3) around it.
pub fn trim_ows(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_like_the_standard_library() {
        for value in [0, 1, 9, 10, 99, 100, 16_384, u64::MAX] {
            assert_eq!(Decimal::new(value).as_bytes(), value.to_string().as_bytes());
            assert_eq!(Hex::new(value).as_bytes(), format!("{value:x}").as_bytes());
            assert_eq!(parse_decimal(value.to_string().as_bytes()), Some(value));
        }
    }

    #[test]
    fn only_plain_digits_are_a_number() {
        for text in ["", "+1", "-1", " 1", "1 ", "0x1", "1,1", "18446744073709551616", "１"] {
            assert_eq!(parse_decimal(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn only_space_and_tab_are_trimmed() {
        assert_eq!(trim_ows(b" \ta b\t "), b"a b");
        assert_eq!(trim_ows(b"\x0ba"), b"\x0ba");
        assert_eq!(trim_ows(b"  "), b"");
    }
}
