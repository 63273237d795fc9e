//! The experts: ways to decide who stays, between which a cache chooses while it runs.
//!
//! They are one algorithm with different numbers, so changing from one to another moves no entry and forgets
//! nothing. Which one decides is chosen in `duel.rs`; what the numbers do is in `residents.rs`.

/// How to decide who stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expert {
    /// What statistics call it.
    pub(crate) name: &'static str,
    /// The share of the capacity in which new entries live before they must prove themselves.
    pub(crate) window: f64,
    /// After how many times the capacity in accesses all use counts are halved.
    pub(crate) memory: u32,
    /// How many uses more than the one whose place it takes a newcomer needs, beyond one more. With 1, who is due
    /// later in the same round of a loop is not taken for one who is used less.
    pub(crate) handicap: u8,
    /// Whether defending a place costs the defender one use: so yesterday's favourites wear out.
    pub(crate) wears: bool,
}

/// All experts, the one that a cache starts with first.
///
/// It starts as a plain LRU and leaves it when another is seen to do better, so it is not worse than one where
/// nothing better can be had.
pub(crate) const EXPERTS: [Expert; 5] = [
    Expert {
        name: "recency",
        window: 1.0,
        memory: 10,
        handicap: 0,
        wears: false,
    },
    Expert {
        name: "loop",
        window: 0.002,
        memory: 20,
        handicap: 1,
        wears: false,
    },
    Expert {
        name: "frequency",
        window: 0.01,
        memory: 20,
        handicap: 0,
        wears: false,
    },
    Expert {
        name: "drift",
        window: 0.02,
        memory: 5,
        handicap: 0,
        wears: true,
    },
    Expert {
        name: "balance",
        window: 0.3,
        memory: 10,
        handicap: 0,
        wears: false,
    },
];
