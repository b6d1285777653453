//! Looks at sixteen bytes in one instruction, for those who must look at every byte.
//!
//! What it is: the only place that names vector instructions. What it is not: a parser.

/// Bytes looked at in one call.
pub const BLOCK: usize = 64;

/// What the bytes of a block are: one bit each, the first byte's lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// LF.
    pub lf: u64,
    /// Control bytes, CR and LF among them, the tab not.
    pub control: u64,
    /// CR.
    pub cr: u64,
}

/// Marks the line ends and control bytes of a block.
#[inline]
pub fn mark(block: &[u8; BLOCK]) -> Marks {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of the x86-64 baseline, so every processor this runs on has it.
    unsafe {
        mark_sse2(block)
    }
    #[cfg(not(target_arch = "x86_64"))]
    mark_plainly(block)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn mark_sse2(block: &[u8; BLOCK]) -> Marks {
    use core::arch::x86_64::{
        __m128i, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set_epi64x, _mm_set1_epi8,
    };
    #[inline]
    #[target_feature(enable = "sse2")]
    fn bits(bytes: __m128i, index: usize) -> u64 {
        u64::from(_mm_movemask_epi8(bytes) as u16) << (index * 16)
    }
    let mut marks = Marks::default();
    for (index, part) in block.as_chunks::<16>().0.iter().enumerate() {
        let whole = u128::from_le_bytes(*part);
        let bytes = _mm_set_epi64x((whole >> 64) as i64, whole as i64);
        let tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\t' as i8));
        let low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        let delete = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
        marks.cr |= bits(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\r' as i8)), index);
        marks.lf |= bits(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\n' as i8)), index);
        marks.control |= bits(_mm_or_si128(_mm_andnot_si128(tab, low), delete), index);
    }
    marks
}

/// The same byte by byte: for other processors, and to check the other way against.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn mark_plainly(block: &[u8; BLOCK]) -> Marks {
    let mut marks = Marks::default();
    for (index, byte) in block.iter().enumerate() {
        marks.lf |= u64::from(*byte == b'\n') << index;
        marks.cr |= u64::from(*byte == b'\r') << index;
        marks.control |= u64::from((*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) << index;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_marking_agree() {
        for byte in 0..=255u8 {
            for at in 0..BLOCK {
                let mut block = [b'x'; BLOCK];
                block[at] = byte;
                block[(at + 17) % BLOCK] = byte.wrapping_mul(7);
                assert_eq!(mark(&block), mark_plainly(&block), "{byte:02x} at {at}");
            }
        }
    }
}
