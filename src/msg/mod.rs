//! Neutral HTTP messages: heads, fields, body sizes, pieces.
