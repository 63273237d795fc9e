//! Traces to measure hit rates on: made here with fixed seeds, the same on every machine.

/// A sequence of keys to ask for, as a cache's user would: get, and set what was not there.
pub struct Trace {
    /// What is in it.
    pub name: &'static str,
    /// How many entries the cache has.
    pub capacity: usize,
    /// The keys in order.
    pub keys: Vec<u64>,
    /// How many of them fill the cache before hits are counted.
    pub filling: usize,
}

/// A small generator (`SplitMix64`), so that no other crate's version changes a trace.
pub struct Random(u64);

impl Random {
    /// One that always gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// From 0 to below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Whether something of this probability happens.
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Spread a number over all bits: the hash that the traces' caches use.
pub fn mix(number: u64) -> u64 {
    let first = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let second = (first ^ (first >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    second ^ (second >> 31)
}

/// Draws item `n` with a probability that falls as `1 / n^exponent`.
struct Zipf(Vec<u64>);

impl Zipf {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "weights, to within their rounding"
    )]
    fn new(items: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=items)
            .map(|item| {
                sum += (item as f64).powf(-exponent);
                sum
            })
            .collect();
        Self(
            sums.into_iter()
                .map(|part| (part / sum * 2_f64.powi(53)) as u64)
                .collect(),
        )
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let at = random.below(1 << 53);
        self.0.partition_point(|&end| end <= at) as u64
    }
}

/// Keys of another kind: far from those that count from 0.
const ELSEWHERE: u64 = 1 << 40;

/// `new` percent new items, the rest one of the newest `window`.
fn recent(length: usize, new: u64, window: u64, seed: u64) -> Vec<u64> {
    let mut random = Random::new(seed);
    let mut newest = 1;
    let mut key = || {
        if random.chance(new) {
            newest += 1;
            newest
        } else {
            newest - random.below(window.min(newest))
        }
    };
    (0..length).map(|_| key()).collect()
}

/// Items of a catalogue, how many are in a run, and the percentage of operations on the newest thousand, for which
/// an LRU of 10,000 entries has the 96.3 % that are named for it.
const CATALOGUE: u64 = 11_400;
const RUN: u64 = 20;
const RECENT: u64 = 70;

/// 100,000 operations on a cache that was filled by going through the catalogue once: 70 % ask for one of the
/// newest thousand items; the others for any item (`run` 1), or go on in a run of items that follow one another.
fn mission(run: u64, seed: u64) -> Vec<u64> {
    let mut random = Random::new(seed);
    let (mut at, mut left) = (0, 0);
    let mut key = || {
        if random.chance(RECENT) {
            return CATALOGUE - 1 - random.below(1000);
        }
        if left == 0 {
            (at, left) = (random.below(CATALOGUE / run) * run, run);
        }
        (at, left) = (at + 1, left - 1);
        at - 1
    };
    let operations: Vec<u64> = (0..100_000).map(|_| key()).collect();
    (0..CATALOGUE).chain(operations).collect()
}

fn trace(name: &'static str, capacity: usize, keys: Vec<u64>) -> Trace {
    Trace {
        name,
        capacity,
        keys,
        filling: 0,
    }
}

/// The four traces that targets are set for.
pub fn named() -> Vec<Trace> {
    let zipf = Zipf::new(1_000_000, 1.0);
    let mut random = Random::new(2);
    let plain = (0..1_000_000).map(|_| zipf.draw(&mut random)).collect();
    let mut random = Random::new(3);
    let scans = (0..1_000_000)
        .map(|at| match at % 10_000 {
            7_000.. => ELSEWHERE + at,
            _ => zipf.draw(&mut random),
        })
        .collect();
    vec![
        trace(
            "30% new, 70% newest 1k",
            10_000,
            recent(500_000, 30, 1_000, 1),
        ),
        trace("zipf 1.0", 10_000, plain),
        trace("zipf 1.0 with scans", 10_000, scans),
        trace(
            "loop of 12k",
            10_000,
            (0..240_000).map(|at| at % 12_000).collect(),
        ),
    ]
}

/// The mission's workload: independent draws, and runs.
pub fn missions() -> Vec<Trace> {
    [("mission, any item", 1), ("mission, runs of 20", RUN)]
        .map(|(name, run)| Trace {
            name,
            capacity: 10_000,
            keys: mission(run, 19),
            filling: usize::try_from(CATALOGUE).unwrap_or(0),
        })
        .into()
}

/// Traces of other kinds.
pub fn others() -> Vec<Trace> {
    let mut traces = steady();
    traces.extend(small());
    traces.extend(mixed());
    traces.extend(changing());
    traces
}

/// The same all the time.
fn steady() -> Vec<Trace> {
    let flat = Zipf::new(100_000, 0.8);
    let distances = Zipf::new(30_000, 1.0);
    let mut random = Random::new(6);
    let mut stack: Vec<u64> = Vec::new();
    let mut depth = |at: u64| {
        let depth = usize::try_from(distances.draw(&mut random)).unwrap_or(0);
        let key = match stack.len().checked_sub(depth + 1) {
            Some(place) => stack.remove(place),
            None => ELSEWHERE + at,
        };
        stack.push(key);
        key
    };
    let depths = (0..200_000).map(&mut depth).collect();
    let uniform = (0..500_000).map(|_| random.below(20_000)).collect();
    vec![
        trace(
            "30% new, 70% newest 5k",
            10_000,
            recent(500_000, 30, 5_000, 4),
        ),
        trace(
            "30% new, 70% newest 9k",
            10_000,
            recent(500_000, 30, 9_000, 5),
        ),
        trace(
            "50% new, 50% newest 20k",
            10_000,
            recent(500_000, 50, 20_000, 5),
        ),
        trace(
            "zipf 0.8 of 100k",
            10_000,
            draws(1_000_000, &flat, &mut random),
        ),
        trace("stack depths by zipf", 10_000, depths),
        trace("uniform of 20k", 10_000, uniform),
        trace(
            "loop of 100k",
            10_000,
            (0..1_000_000).map(|at| at % 100_000).collect(),
        ),
    ]
}

/// For caches of a few entries.
fn small() -> Vec<Trace> {
    let zipf = Zipf::new(1_000, 0.9);
    let mut random = Random::new(7);
    vec![
        trace(
            "10 entries, zipf 0.9 of 1k",
            10,
            draws(100_000, &zipf, &mut random),
        ),
        trace(
            "100 entries, zipf 0.9 of 1k",
            100,
            draws(100_000, &zipf, &mut random),
        ),
        trace("64 entries, newest 50", 64, recent(100_000, 30, 50, 13)),
        trace(
            "64 entries, loop of 80",
            64,
            (0..20_000).map(|at| at % 80).collect(),
        ),
    ]
}

/// Of several kinds at once.
fn mixed() -> Vec<Trace> {
    let zipf = Zipf::new(1_000_000, 1.0);
    let mut random = Random::new(8);
    let both = (0..1_000_000_u64).map(|at| {
        if random.chance(50) {
            ELSEWHERE + at / 2 % 12_000
        } else {
            zipf.draw(&mut random)
        }
    });
    let both = trace("loop of 12k and zipf", 10_000, both.collect());
    let core = (0..500_000_u64).map(|at| match at % 3 {
        0 => random.below(5_000),
        _ => ELSEWHERE + at,
    });
    let core = trace("hot 5k in a scan", 10_000, core.collect());
    let mut key = 0;
    let bursts = (0..500_000_u64).map(|at| {
        if at % 20 == 0 {
            key = random.below(200_000);
        }
        key
    });
    let bursts = trace("bursts of 20", 10_000, bursts.collect());
    let mut start = 0;
    let walks = (0..500_000_u64).map(|at| {
        if at % 100 == 0 && random.chance(50) {
            start = random.below(500) * 100;
        }
        start + at % 100
    });
    let walks = trace("walks of 100, half again", 10_000, walks.collect());
    vec![both, core, bursts, walks]
}

/// That change their kind, or their favourites.
fn changing() -> Vec<Trace> {
    let zipf = Zipf::new(1_000_000, 1.0);
    let mut random = Random::new(9);
    let shifting = (0..1_000_000_u64).map(|at| zipf.draw(&mut random) + at / 100_000 * 5_000_000);
    let shifting = trace("zipf that shifts every 100k", 10_000, shifting.collect());
    let drifting = (0..1_000_000_u64).map(|at| {
        if random.chance(80) {
            at / 50 + random.below(8_000)
        } else {
            ELSEWHERE + random.below(1_000_000)
        }
    });
    let drifting = trace("hot 8k that drifts", 10_000, drifting.collect());
    let mut phases = Vec::new();
    for phase in 0..6_u64 {
        match phase % 3 {
            0 => {
                let keys = recent(150_000, 30, 5_000, 20 + phase);
                phases.extend(keys.into_iter().map(|key| key + phase * ELSEWHERE));
            }
            1 => phases.extend(draws(150_000, &zipf, &mut random)),
            _ => phases.extend((0..150_000).map(|at| ELSEWHERE / 2 + at % 12_000)),
        }
    }
    vec![
        shifting,
        drifting,
        trace("newest, zipf, loop in turn", 10_000, phases),
    ]
}

fn draws(length: usize, zipf: &Zipf, random: &mut Random) -> Vec<u64> {
    (0..length).map(|_| zipf.draw(random)).collect()
}
