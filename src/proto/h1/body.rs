//! Content as it arrives: by length, in chunks, or until the connection ends.
//!
//! What it is: the reading half of RFC 9112 §6 and §7. Chunk lines are read by a strict automaton
//! over bytes, so that a verdict never depends on how the bytes were split.
//!
//! What it is not: a keeper of content. It tells how many bytes at the front of the input are
//! content, and the caller takes them.

use super::parse::{self, Progress};
use super::{Limits, Offence};
use crate::base::buf::Buf;
use crate::msg::{Head, is_token_byte, is_value_byte};

/// What the next bytes of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Part {
    /// Nothing more: the end is to be told.
    Over,
    /// Content of announced length, `left` bytes of it to come.
    Length,
    /// A line with the size of the next chunk.
    ChunkLine,
    /// Data of a chunk, `left` bytes of it to come.
    ChunkData,
    /// CR LF after the data of a chunk.
    ChunkEnd,
    /// Trailer fields and the empty line.
    Trailers,
    /// Content until the connection ends.
    UntilClose,
}

/// The reader of one message's content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    left: u64,
    /// Bytes of chunk extensions seen in this message.
    extensions: u32,
    part: Part,
}

/// What the reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    NeedMore,
    Body(usize),
    Trailers,
    End,
}

impl Reader {
    /// No content.
    pub(super) const fn none() -> Reader {
        Reader { left: 0, extensions: 0, part: Part::Over }
    }

    /// Exactly `length` bytes.
    pub(super) const fn exact(length: u64) -> Reader {
        let part = if length == 0 { Part::Over } else { Part::Length };
        Reader { left: length, extensions: 0, part }
    }

    /// Chunks.
    pub(super) const fn chunked() -> Reader {
        Reader { left: 0, extensions: 0, part: Part::ChunkLine }
    }

    /// All there is until the connection ends.
    pub(super) const fn until_close() -> Reader {
        Reader { left: 0, extensions: 0, part: Part::UntilClose }
    }

    /// Bytes of announced content still to come; `None` when the length isn't known in advance.
    pub(super) const fn remaining(&self) -> Option<u64> {
        match self.part {
            Part::Over => Some(0),
            Part::Length => Some(self.left),
            _ => None,
        }
    }

    /// Whether the end of the connection is the end of the content.
    pub(super) const fn ends_with_connection(&self) -> bool {
        matches!(self.part, Part::UntilClose)
    }

    /// What is at the front of `input`. Consumes framing, never content.
    pub(super) fn poll(
        &mut self,
        input: &mut Buf,
        progress: &mut Progress,
        head: &mut Head,
        limits: &Limits,
    ) -> Result<Found, Offence> {
        loop {
            match self.part {
                Part::Over => return Ok(Found::End),
                Part::UntilClose => return Ok(content(input, u64::MAX)),
                Part::Length | Part::ChunkData => return Ok(content(input, self.left)),
                Part::ChunkEnd => match input.data() {
                    [b'\r', b'\n', ..] => {
                        input.consume(2);
                        self.part = Part::ChunkLine;
                    }
                    [] | [b'\r'] => return Ok(Found::NeedMore),
                    _ => return Err(Offence::ChunkUnterminated),
                },
                Part::ChunkLine => {
                    let left = limits.extension_bytes.saturating_sub(self.extensions);
                    let Some(line) = chunk_line(input.data(), left)? else {
                        return Ok(Found::NeedMore);
                    };
                    input.consume(line.len);
                    self.extensions += line.extensions;
                    self.left = line.size;
                    self.part = if line.size == 0 { Part::Trailers } else { Part::ChunkData };
                }
                Part::Trailers => {
                    let Some(len) = parse::trailers(input.data(), progress, head, limits)? else {
                        return Ok(Found::NeedMore);
                    };
                    input.consume(len);
                    self.part = Part::Over;
                    if head.field_count() > 0 {
                        return Ok(Found::Trailers);
                    }
                }
            }
        }
    }

    /// Counts `n` bytes of content as taken. Returns how many of them were none.
    pub(super) fn take(&mut self, n: u64) -> u64 {
        let taken = match self.part {
            Part::UntilClose => return 0,
            Part::Length | Part::ChunkData => n.min(self.left),
            _ => 0,
        };
        self.left -= taken;
        if self.left == 0 {
            self.part = match self.part {
                Part::Length => Part::Over,
                Part::ChunkData => Part::ChunkEnd,
                other => other,
            };
        }
        n - taken
    }

    /// The connection ended where that ends the content.
    pub(super) fn end(&mut self) {
        self.part = Part::Over;
    }
}

fn content(input: &Buf, left: u64) -> Found {
    match usize::try_from(left).unwrap_or(usize::MAX).min(input.len()) {
        0 => Found::NeedMore,
        len => Found::Body(len),
    }
}

/// A chunk line, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ChunkLine {
    size: u64,
    /// Bytes of the line, CR LF included.
    len: usize,
    /// Bytes of its extensions.
    extensions: u32,
}

/// Digits of a chunk size at most: what a `u64` takes.
const SIZE_DIGITS_MAX: usize = 16;

/// Reads a chunk line (RFC 9112 §7.1) from the start of `data`; `None` when more bytes are needed.
fn chunk_line(data: &[u8], extensions_max: u32) -> Result<Option<ChunkLine>, Offence> {
    let mut size = 0u64;
    let mut digits = 0;
    for byte in data {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => break,
        };
        digits += 1;
        if digits > SIZE_DIGITS_MAX || size > (i64::MAX as u64) >> 4 {
            return Err(Offence::ChunkSizeOverflow);
        }
        size = size << 4 | u64::from(digit);
    }
    let rest = data.get(digits..).unwrap_or_default();
    match rest {
        [] | [b'\r'] if digits > 0 || rest.is_empty() => Ok(None),
        _ if digits == 0 => Err(Offence::ChunkSizeInvalid),
        [b'\r', b'\n', ..] => Ok(Some(ChunkLine { size, len: digits + 2, extensions: 0 })),
        [b'\r', ..] => Err(Offence::BareCr),
        [b'\n', ..] => Err(Offence::BareLf),
        [b';' | b' ' | b'\t', ..] => {
            let len = extensions(rest, extensions_max)?;
            Ok(len.map(|len| ChunkLine { size, len: digits + len + 2, extensions: len as u32 }))
        }
        _ => Err(Offence::ChunkSizeInvalid),
    }
}

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted ) ] )` a byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ext {
    /// White space before the first `;`.
    Lead,
    /// After `;`.
    NameDue,
    Name,
    /// White space after a name.
    AfterName,
    /// After `=`.
    ValueDue,
    Value,
    Quoted,
    /// After a backslash in a quoted value.
    Escaped,
    /// After the closing quote.
    AfterQuote,
    /// White space after a value.
    AfterValue,
    /// After CR.
    Cr,
}

/// Reads chunk extensions (RFC 9112 §7.1.1) up to the CR LF that ends the line. Returns their
/// length without it, or `None` when more bytes are needed.
fn extensions(data: &[u8], max: u32) -> Result<Option<usize>, Offence> {
    let mut at = Ext::Lead;
    for (index, byte) in data.iter().enumerate() {
        if at == Ext::Cr {
            return match byte {
                b'\n' => Ok(Some(index - 1)),
                _ => Err(Offence::BareCr),
            };
        }
        if index >= max as usize && *byte != b'\r' {
            return Err(Offence::ChunkExtensionTooLong);
        }
        at = match (at, *byte) {
            (_, b'\n') => return Err(Offence::BareLf),
            (Ext::Name | Ext::Value | Ext::AfterQuote, b'\r') => Ext::Cr,
            (Ext::Quoted | Ext::Escaped, b'\r') => return Err(Offence::BareCr),
            (Ext::Quoted, b'"') => Ext::AfterQuote,
            (Ext::Quoted, b'\\') => Ext::Escaped,
            (Ext::Quoted | Ext::Escaped, byte) if is_value_byte(byte) => Ext::Quoted,
            (Ext::Quoted | Ext::Escaped, _) => return Err(Offence::ChunkExtensionInvalid),
            (Ext::Lead, b' ' | b'\t') => Ext::Lead,
            (Ext::NameDue, b' ' | b'\t') => Ext::NameDue,
            (Ext::ValueDue, b' ' | b'\t') => Ext::ValueDue,
            (Ext::Name | Ext::AfterName, b' ' | b'\t') => Ext::AfterName,
            (Ext::Value | Ext::AfterQuote | Ext::AfterValue, b' ' | b'\t') => Ext::AfterValue,
            (Ext::NameDue | Ext::Name, byte) if is_token_byte(byte) => Ext::Name,
            (Ext::ValueDue | Ext::Value, byte) if is_token_byte(byte) => Ext::Value,
            (Ext::ValueDue, b'"') => Ext::Quoted,
            (Ext::Name | Ext::AfterName, b'=') => Ext::ValueDue,
            (Ext::NameDue | Ext::ValueDue, _) => return Err(Offence::ChunkExtensionInvalid),
            (_, b';') => Ext::NameDue,
            // White space and nothing behind it: the size itself is spelled wrongly.
            (Ext::Lead, _) => return Err(Offence::ChunkSizeInvalid),
            _ => return Err(Offence::ChunkExtensionInvalid),
        };
    }
    Ok(None)
}
