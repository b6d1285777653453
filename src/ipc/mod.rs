//! Messages and descriptors between the master and its children.
