//! Bytes of bounded length inside a fixed-size record, with a mark when something was cut off.

/// At most `N` bytes (N ≤ 65 535).
#[derive(Clone, Copy)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    len: u16,
    cut: bool,
}

impl<const N: usize> Short<N> {
    /// No bytes.
    pub const EMPTY: Short<N> = Short { bytes: [0; N], len: 0, cut: false };

    /// The first `N` of `bytes`.
    #[inline]
    pub fn new(bytes: &[u8]) -> Short<N> {
        let mut short = Short::EMPTY;
        short.set(bytes);
        short
    }

    /// Replaces the bytes by the first `N` of `bytes`.
    #[inline]
    pub fn set(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(N);
        if let (Some(to), Some(from)) = (self.bytes.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        self.len = len as u16;
        self.cut = bytes.len() > N;
    }

    /// The bytes kept.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether there were more.
    pub const fn is_cut(&self) -> bool {
        self.cut
    }
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Short<N> {
        Short::EMPTY
    }
}

impl<const N: usize> std::fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?}{}",
            self.as_bytes().escape_ascii().to_string(),
            ["", "…"][usize::from(self.cut)]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_and_marked() {
        let short = Short::<4>::new(b"abcd");
        assert_eq!((short.as_bytes(), short.is_cut()), (&b"abcd"[..], false));
        let mut short = Short::<4>::new(b"abcde");
        assert_eq!((short.as_bytes(), short.is_cut()), (&b"abcd"[..], true));
        short.set(b"x");
        assert_eq!((short.as_bytes(), short.is_cut()), (&b"x"[..], false));
        assert_eq!(format!("{:?}", Short::<2>::new(b"\xff\n!")), "\"\\\\xff\\\\n\"…");
    }
}
