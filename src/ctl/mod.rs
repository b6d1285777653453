//! cupctl: commands and output formats.
