//! Which of a service's instances gets a call.
//!
//! Instances are few and known to the caller, so choosing looks at them where they are: nothing is kept here but
//! a turn counter. What cannot take calls is left out before, with one exception: when most are ejected for their
//! failures, all count again, because then it is not the instances.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::time::Time;

/// How an instance is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The one with fewer calls in flight of two taken at random (Mitzenmacher, "The power of two choices").
    #[default]
    LeastOutstanding,
    /// Each in turn.
    RoundRobin,
    /// The same one for the same key while it is there (weighted rendezvous hashing; Thaler and Ravishankar).
    ConsistentHash,
}

/// An instance as a choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// A hash of its name: what keeps a key at it.
    pub id: u64,
    /// Calls in flight.
    pub outstanding: usize,
    /// Its share of the calls against the others'; 0 for none.
    pub weight: f64,
    /// How far it has warmed up, from 0 to 1: a new instance gets less at first.
    pub warmth: f64,
    /// It failed too often and rests.
    pub ejected: bool,
}

impl Candidate {
    /// One that is warm, idle and well.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            outstanding: 0,
            weight: 1.0,
            warmth: 1.0,
            ejected: false,
        }
    }

    /// The share it gets now. Some at once, or it would never warm up.
    fn share(&self) -> f64 {
        self.weight * self.warmth.clamp(COLD, 1.0)
    }
}

/// How warm something is that began at `since`, where warming up takes so long: from 0 to 1.
pub fn warmth(since: Time, now: Time, takes: Duration) -> f64 {
    let age = since.until(now);
    if age >= takes {
        1.0
    } else {
        age.as_secs_f64() / takes.as_secs_f64()
    }
}

/// What an instance gets of its weight when it is new.
const COLD: f64 = 0.1;
/// Ejections count while no more than this share of the instances is ejected.
const MOST_EJECTED: f64 = 0.5;

/// Chooses by one policy.
#[derive(Debug, Default)]
pub struct Balance {
    policy: Policy,
    turn: AtomicUsize,
}

impl Balance {
    /// With this policy.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            turn: AtomicUsize::new(0),
        }
    }

    /// The policy.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The index of the one that gets the call; `None` where none can. `key` is what stays at one instance (a
    /// hash of the session), `random` any number from 0 to 1.
    pub fn choose(&self, candidates: &[Candidate], key: u64, random: [f64; 2]) -> Option<usize> {
        let ejected = candidates.iter().filter(|one| one.ejected).count();
        #[expect(clippy::cast_precision_loss, reason = "a service has few instances")]
        let respected = ejected as f64 <= MOST_EJECTED * candidates.len() as f64;
        let open = |one: &Candidate| one.weight > 0.0 && !(respected && one.ejected);
        let mut able = candidates.iter().enumerate().filter(|(_, one)| open(one));
        match self.policy {
            Policy::RoundRobin => {
                let count = able.clone().count();
                let turn = self.turn.fetch_add(1, Relaxed).checked_rem(count)?;
                able.nth(turn).map(|(index, _)| index)
            }
            Policy::ConsistentHash => able
                .max_by(|(_, a), (_, b)| rank(a, key).total_cmp(&rank(b, key)))
                .map(|(index, _)| index),
            Policy::LeastOutstanding => {
                let total: f64 = able.clone().map(|(_, one)| one.share()).sum();
                let first = by_share(able.clone(), total, random[0])?;
                let rest = total - candidates[first].share();
                let others = able.filter(|(index, _)| *index != first);
                let Some(second) = by_share(others, rest, random[1]) else {
                    return Some(first);
                };
                let load = |index: usize| {
                    #[expect(clippy::cast_precision_loss, reason = "calls in flight are few")]
                    let waiting = candidates[index].outstanding as f64 + 1.0;
                    waiting / candidates[index].share()
                };
                Some(if load(second) < load(first) {
                    second
                } else {
                    first
                })
            }
        }
    }
}

/// One taken at random, by shares that sum up to `total`.
fn by_share<'a>(
    candidates: impl Iterator<Item = (usize, &'a Candidate)>,
    total: f64,
    random: f64,
) -> Option<usize> {
    let mut left = total * random.clamp(0.0, 1.0);
    let mut last = None;
    for (index, one) in candidates {
        last = Some(index);
        left -= one.share();
        if left < 0.0 {
            break;
        }
    }
    last
}

/// A candidate's rank for a key: who has the highest has the key. By -weight / ln(hash), keys fall to
/// candidates in proportion to their weights.
fn rank(one: &Candidate, key: u64) -> f64 {
    let hash = mix(one.id ^ mix(key));
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let unit = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -one.weight / unit.ln()
}

/// Spreads a change of any bit over all (the finalizer of `SplitMix64`; Steele, Lea and Flood).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: u64) -> Vec<Candidate> {
        (1..=count).map(Candidate::new).collect()
    }

    /// Numbers from 0 to 1 that do not repeat and need no seed.
    fn randoms(count: u32) -> impl Iterator<Item = [f64; 2]> {
        (0..count).map(|i| {
            [0.618_033_988_749_895, 0.754_877_666_246_693].map(|step| (f64::from(i) * step).fract())
        })
    }

    fn shares(balance: &Balance, candidates: &[Candidate], calls: u32) -> Vec<f64> {
        let mut got = vec![0.0; candidates.len()];
        for (key, random) in (0..).zip(randoms(calls)) {
            got[balance.choose(candidates, mix(key), random).unwrap()] += 1.0 / f64::from(calls);
        }
        got
    }

    #[test]
    fn of_two_the_less_busy_one_is_taken() {
        let mut two = some(2);
        two[0].outstanding = 5;
        let balance = Balance::default();
        assert!(randoms(100).all(|random| balance.choose(&two, 0, random) == Some(1)));
    }

    #[test]
    fn each_gets_its_turn() {
        let balance = Balance::new(Policy::RoundRobin);
        let chosen: Vec<_> = (0..6)
            .map(|_| balance.choose(&some(3), 0, [0.0; 2]).unwrap())
            .collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_key_stays_where_it_is_when_others_come_and_go() {
        let balance = Balance::new(Policy::ConsistentHash);
        let (five, four) = (some(5), some(4));
        let mut moved = 0;
        for key in 0..1000 {
            let before = balance.choose(&five, key, [0.0; 2]).unwrap();
            let after = balance.choose(&four, key, [0.0; 2]).unwrap();
            if before == 4 {
                moved += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        assert!(
            (150..250).contains(&moved),
            "{moved} of 1000 had the one that went"
        );
    }

    #[test]
    fn weights_are_shares() {
        for policy in [Policy::ConsistentHash, Policy::LeastOutstanding] {
            let mut two = some(2);
            two[0].weight = 0.1;
            two[1].weight = 0.9;
            // Where nothing is in flight, two choices of two always see both: the heavier is the freer.
            let got = shares(&Balance::new(policy), &two, 10_000);
            assert!(got[0] < 0.12, "{policy:?}: {got:?}");
        }
    }

    #[test]
    fn what_has_no_weight_gets_nothing() {
        for policy in [
            Policy::ConsistentHash,
            Policy::LeastOutstanding,
            Policy::RoundRobin,
        ] {
            let mut two = some(2);
            two[0].weight = 0.0;
            assert!(shares(&Balance::new(policy), &two, 100)[0] < f64::EPSILON);
        }
    }

    #[test]
    fn a_cold_instance_gets_less() {
        let mut ten = some(10);
        ten[0].warmth = 0.0;
        let got = shares(&Balance::default(), &ten, 10_000);
        assert!(got[0] < 0.05, "{got:?}");
    }

    #[test]
    fn warmth_grows_with_age_and_is_whole_where_nothing_has_to_warm_up() {
        let takes = Duration::from_nanos(100);
        let percent = |now| warmth(Time(10), Time(now), takes) * 100.0;
        let percents = [10, 35, 110, 500].map(|now| percent(now).round().to_string());
        assert_eq!(percents, ["0", "25", "100", "100"]);
        assert!((warmth(Time(10), Time(10), Duration::ZERO) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn ejected_instances_rest_unless_most_of_them_are() {
        let mut three = some(3);
        three[0].ejected = true;
        let balance = Balance::new(Policy::RoundRobin);
        assert!(shares(&balance, &three, 99)[0] < f64::EPSILON);
        three[1].ejected = true;
        assert!(
            shares(&balance, &three, 99)
                .iter()
                .all(|share| *share > 0.3)
        );
        assert_eq!(balance.choose(&[], 0, [0.0; 2]), None);
    }
}
