//! Objects that were met before, told by their address.
//!
//! Many edges share the `str` of a service; its address is known before the object is looked at. Only objects
//! that somebody holds on to may be noted: the address of one that died is given to another.

use backstay_graph::Node;

use super::ahead::fetch_line;

/// Nothing stands at this address.
const VACANT: usize = 0;

/// After so many misses, see whether looking by address is worth its while.
const TRIAL: usize = 1024;

/// Addresses and their services.
#[derive(Default)]
pub(super) struct Identities {
    /// Open addressing with linear probing; a power of two long and at most half full.
    slots: Vec<(usize, Option<Node>)>,
    noted: usize,
    hits: usize,
    misses: usize,
}

impl Identities {
    pub(super) fn find(&mut self, address: usize) -> Option<Node> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(address);
        loop {
            let (known, node) = self.slots[at];
            if known == address {
                self.hits += 1;
                return node;
            }
            if known == VACANT {
                return None;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Have the place where the search for an address begins at hand soon.
    #[inline]
    pub(super) fn fetch(&self, address: usize) {
        if let Some(home) = self.slots.get(self.home(address)) {
            fetch_line(home);
        }
    }

    /// An object's service; the object must outlive this.
    pub(super) fn note(&mut self, address: usize, node: Node) {
        if self.given_up() {
            return;
        }
        if self.noted * 2 >= self.slots.len() {
            let room = vec![(VACANT, None); (self.slots.len() * 2).max(64)];
            for (address, node) in std::mem::replace(&mut self.slots, room) {
                if address != VACANT {
                    self.insert(address, node);
                }
            }
        }
        self.insert(address, Some(node));
        self.noted += 1;
    }

    /// A name was known, but not its object. Where that is the rule, the caller makes a `str` for each edge, and
    /// looking for addresses only costs.
    pub(super) fn missed(&mut self) {
        self.misses += 1;
        if self.misses == TRIAL && self.given_up() {
            self.slots = Vec::new();
        }
    }

    /// Whether looking by address was found not to be worth its while.
    pub(super) fn given_up(&self) -> bool {
        self.misses >= TRIAL && self.hits < self.misses
    }

    fn insert(&mut self, address: usize, node: Option<Node>) {
        let mut at = self.home(address);
        while self.slots[at].0 != VACANT {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = (address, node);
    }

    /// Addresses differ in their middle: multiplying carries that to the top.
    fn home(&self, address: usize) -> usize {
        let spread = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((spread >> 32) as usize * self.slots.len()) >> 32
    }
}
