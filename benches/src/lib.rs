//! Comparisons with what a user would otherwise take: `cargo bench`.
