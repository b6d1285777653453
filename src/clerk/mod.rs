//! The clerk: a helper process for outbound errands (name resolution, probes) that neither master nor workers may run.
