//! Arenas, buffers, queues, time: what everything stands on. Uses std only; knows no protocol, no I/O.
