//! The life of one request and its response between a front and a back, protocol-blind.
