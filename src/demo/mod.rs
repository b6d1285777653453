//! The two embedded backends of `cloudcup --demo`.
