//! System calls and descriptors: the only room with unsafe code.
