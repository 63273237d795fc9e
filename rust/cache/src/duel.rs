//! Which expert decides: each runs a shadow of the cache on a sample of the keys, and the best one is followed.
//!
//! A shadow holds hashes only, has the cache's capacity divided by the sampling rate, and sees the accesses of one
//! key in so many: its hit rate is close to what the whole cache would have under that expert. Hits are compared
//! access by access, so what counts is where the experts differ, not how often both hit. Costs one branch for keys
//! that are not in the sample.

use crate::expert::{EXPERTS, Expert};
use crate::residents::Residents;

/// The part of the cache's entries that a shadow holds: what the duel costs, against how soon it is decided.
const PART: u64 = 32;
/// The least and the most entries that a shadow holds: below, chance decides; above, nothing more is learnt.
const LEAST: u64 = 64;
const MOST: u64 = 1024;
/// How long a difference is remembered: so many times the cache's size in accesses.
const HORIZON: f64 = 8.0;
/// A lead of this many hits is luck, whatever else is known.
const MARGIN: f64 = 2.0;
/// How much surer one must be to leave plain recency, and how much less to return to it: where nothing better can be
/// had, chance must not make it worse than an LRU.
const TO_LEAVE: f64 = 1.5;
const TO_RETURN: f64 = 0.5;

struct Shadow {
    residents: Residents,
    /// Hits more than the expert in charge had, fading.
    lead: f64,
    /// On how many accesses the two differed, fading.
    differed: f64,
}

/// The contest of the experts.
pub(crate) struct Duel {
    shadows: [Shadow; EXPERTS.len()],
    in_charge: usize,
    capacity: u64,
    /// A hash is in the sample if it has none of these bits.
    mask: u64,
    accesses: u64,
    compared_at: u64,
}

/// Where in a hash the sample is taken: bits that neither the index nor the ghosts sort by first.
const SAMPLE_SHIFT: u32 = 36;

impl Duel {
    /// Of a cache that holds up to `capacity` in cost and, where that is known, as many entries.
    pub(crate) fn new(capacity: u64, entries: Option<u64>) -> Self {
        let mut mask = 0;
        while entries.is_some_and(|entries| entries / (mask + 1) > enough(entries)) {
            mask = mask << 1 | 1;
        }
        let shadows = EXPERTS.map(|expert| Shadow {
            residents: Residents::new((capacity / (mask + 1)).max(1), expert),
            lead: 0.0,
            differed: 0.0,
        });
        Self {
            shadows,
            in_charge: 0,
            capacity,
            mask: mask << SAMPLE_SHIFT,
            accesses: 0,
            compared_at: 0,
        }
    }

    /// Note an access; says who is in charge from now on, when that changes.
    #[inline]
    pub(crate) fn access(&mut self, hash: u64, cost: u32, entries: usize) -> Option<Expert> {
        self.accesses += 1;
        if hash & self.mask == 0 {
            self.sampled(hash, cost, entries)
        } else {
            None
        }
    }

    /// Follow a change of the cache's capacity.
    pub(crate) fn resize(&mut self, capacity: u64) {
        self.capacity = capacity;
        let capacity = self.shadow_capacity();
        for shadow in &mut self.shadows {
            shadow.residents.resize(capacity);
        }
    }

    #[cold]
    fn sampled(&mut self, hash: u64, cost: u32, entries: usize) -> Option<Expert> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate of fading, to within its rounding"
        )]
        let fade = {
            let passed = (self.accesses - self.compared_at) as f64;
            (-passed / (HORIZON * entries.max(1) as f64)).exp()
        };
        self.compared_at = self.accesses;
        let hits = self
            .shadows
            .each_mut()
            .map(|shadow| hit(&mut shadow.residents, hash, cost));
        let ours = hits[self.in_charge];
        let mut best = None;
        let mut most = 0.0;
        for (at, (shadow, hit)) in self.shadows.iter_mut().zip(hits).enumerate() {
            shadow.lead *= fade;
            shadow.differed *= fade;
            if hit != ours {
                shadow.differed += 1.0;
                shadow.lead += if hit { 1.0 } else { -1.0 };
                // A sign test: the lead that chance gives has this standard deviation.
                let chance = shadow.differed.sqrt() + MARGIN;
                let lead = shadow.lead - chance * sureness(self.in_charge, at);
                if lead > most {
                    (most, best) = (lead, Some(at));
                }
            }
        }
        let enough = enough(entries as u64).saturating_mul(2);
        if self
            .shadows
            .iter()
            .any(|shadow| shadow.residents.len() as u64 > enough)
        {
            self.halve();
        }
        let best = best?;
        self.in_charge = best;
        for shadow in &mut self.shadows {
            (shadow.lead, shadow.differed) = (0.0, 0.0);
        }
        Some(EXPERTS[best])
    }

    /// Sample half as many keys from now on.
    fn halve(&mut self) {
        self.mask = self.mask << 1 | 1 << SAMPLE_SHIFT;
        let (mask, capacity) = (self.mask, self.shadow_capacity());
        for Shadow { residents, .. } in &mut self.shadows {
            let gone: Vec<_> = residents
                .iter()
                .filter(|&place| residents.hash_of(place) & mask != 0)
                .collect();
            for place in gone {
                residents.remove(place);
            }
            residents.resize(capacity);
        }
    }

    fn shadow_capacity(&self) -> u64 {
        (self.capacity / ((self.mask >> SAMPLE_SHIFT) + 1)).max(1)
    }
}

/// How sure one must be to let `to` decide instead of `from`.
fn sureness(from: usize, to: usize) -> f64 {
    match (from, to) {
        (0, _) => TO_LEAVE,
        (_, 0) => TO_RETURN,
        _ => 1.0,
    }
}

/// How many entries a shadow of a cache of so many needs.
fn enough(entries: u64) -> u64 {
    (entries / PART).clamp(LEAST, MOST)
}

fn hit(residents: &mut Residents, hash: u64, cost: u32) -> bool {
    if let Some(place) = residents.find(hash, |_| true) {
        residents.touch(place);
        true
    } else {
        if u64::from(cost) <= residents.capacity() {
            residents.admit(hash, cost, |_| {});
        }
        false
    }
}
