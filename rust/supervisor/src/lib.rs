//! Spawn, watch, probe, restart, stop; limits; logs.
