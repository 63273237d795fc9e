//! Daemons that die at any moment, in the middle of anything: no orphan, no duplicate, no lost one.

// Helpers outside of test functions fail by panicking too.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use backstay_supervisor::InstanceView;
use backstay_supervisor::census::Census;
use backstay_supervisor::event::InstanceState;
use backstay_supervisor::spec::{RestartCondition, Stdio};
use rustix::process::Signal;
use support::{Keeper, runs, script};

const NAMES: [&str; 6] = ["a.1", "a.2", "b.1", "c.1", "d.1", "d.2"];

/// A small generator (Marsaglia's xorshift): the same seed, the same run of orders.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

async fn live_and_die(keeper: &Keeper, dice: &mut Dice, wanted: &mut BTreeMap<&'static str, bool>) {
    let mut daemon = keeper.connect().await;
    for _ in 0..dice.roll(8) {
        let name = NAMES[usize::try_from(dice.roll(NAMES.len() as u64)).unwrap()];
        match dice.roll(5) {
            0 | 1 => {
                let mut spec = script(name, "(exec sleep 1000) & wait");
                spec.restart.condition = RestartCondition::Always;
                spec.restart.delay_ms = 1;
                spec.restart.max_delay_ms = 5;
                spec.stdio = if name.starts_with('a') {
                    Stdio::Mcp
                } else {
                    Stdio::Logs
                };
                daemon.client.start(spec).await.unwrap();
                wanted.insert(name, true);
            }
            2 => {
                if daemon.client.stop(name).await.is_ok() {
                    wanted.insert(name, false);
                }
            }
            3 => {
                if daemon.client.restart(name).await.is_ok() {
                    wanted.insert(name, true);
                }
            }
            _ => {
                let _not_running = daemon.client.signal(name, "SEGV").await;
            }
        }
        if dice.roll(3) == 0 {
            daemon.next().await;
        }
    }
    // It dies here, whatever is under way.
}

/// The main processes, if every instance is as it was last ordered to be and the keeper
/// has just those below it: a shell and a sleeper for each that runs.
fn settled(
    keeper: &Keeper,
    views: &[InstanceView],
    wanted: &BTreeMap<&'static str, bool>,
) -> Option<Vec<i32>> {
    let as_ordered = |view: &InstanceView| {
        let wanted = wanted[view.name.as_str()];
        view.state
            == if wanted {
                InstanceState::Ready
            } else {
                InstanceState::Stopped
            }
    };
    let mut running: Vec<_> = views.iter().filter_map(|view| view.pid).collect();
    let below = Census::look().living_descendants(keeper.pid());
    let children = below.iter().filter(|entry| entry.parent == keeper.pid());
    let mut mains: Vec<_> = children.map(|entry| entry.pid).collect();
    running.sort_unstable();
    mains.sort_unstable();
    let settled = views.len() == wanted.len()
        && views.iter().all(as_ordered)
        && mains == running
        && below.len() == 2 * running.len();
    settled.then_some(running)
}

#[tokio::test]
async fn a_hundred_daemons_die_and_every_instance_is_as_last_ordered_and_there_once() {
    for seed in [0x5eed_0001, 0x5eed_0002] {
        let mut keeper = Keeper::start();
        let (mut dice, mut wanted) = (Dice(seed), BTreeMap::new());
        for _ in 0..50 {
            live_and_die(&keeper, &mut dice, &mut wanted).await;
        }
        let daemon = keeper.adopt().await;
        let running = support::within("each as ordered, once, and nothing else", async {
            loop {
                let views = daemon.client.list().await.unwrap();
                if let Some(running) = settled(&keeper, &views, &wanted) {
                    break running;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        keeper.signal(Signal::TERM);
        keeper.exited().await;
        assert!(running.into_iter().all(|pid| !runs(pid)), "seed {seed:x}");
    }
}
