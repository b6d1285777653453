//! The data plane: one event loop that owns its connections and exchanges.
