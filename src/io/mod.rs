//! Sockets, readiness, transports, dialling: the worker's edge to the kernel.
