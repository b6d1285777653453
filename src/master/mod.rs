//! The control plane: sockets, supervision, applies, commands. Never touches a byte of traffic.
