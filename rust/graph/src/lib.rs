//! Dependencies: order, levels, cycles, impact.
