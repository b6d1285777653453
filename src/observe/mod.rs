//! Counters, access records, journal encodings: passive data.
