//! The control surface written once: D-Bus names, interfaces, rights, answer types.
