//! The board: one memfd of gauges and lines shared by all workers.
