//! Resources and ports: who holds what, and what is left.
