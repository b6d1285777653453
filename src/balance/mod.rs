//! Choosing a pool member: pick algorithms and health as pure machines (plain numbers in, choice out).
