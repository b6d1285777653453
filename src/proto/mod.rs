//! Protocol codecs: bytes and time in, neutral events out, and back. No I/O.
