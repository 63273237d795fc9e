//! Objects that were met before, told by their address.
//!
//! Many edges share the `str` of a service; its address is known before the object is looked at. Only objects
//! that somebody holds on to may be noted: the address of one that died is given to another.

use backstay_graph::Node;

use super::ahead::fetch_line;

/// Nothing stands at this address.
const VACANT: usize = 0;

/// After so many misses, see whether looking by address is worth its while.
const TRIAL: usize = 64;

/// Addresses and their services.
#[derive(Default)]
pub(super) struct Identities {
    /// Open addressing with linear probing; at most half full.
    slots: Vec<(usize, Option<Node>)>,
    noted: usize,
    hits: usize,
    misses: usize,
}

impl Identities {
    /// The service whose object is at this address.
    #[inline]
    pub(super) fn find(&self, address: usize) -> Option<Node> {
        let mut at = self.home(address);
        loop {
            let &(known, node) = self.slots.get(at)?;
            if known == address {
                return node;
            }
            if known == VACANT {
                return None;
            }
            at = self.after(at);
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
        if self.noted * 2 >= self.slots.len() {
            let room = vec![(VACANT, None); (self.slots.len() * 2).max(256)];
            for (address, node) in std::mem::replace(&mut self.slots, room) {
                if address != VACANT {
                    self.insert(address, node);
                }
            }
        }
        self.insert(address, Some(node));
        self.noted += 1;
    }

    /// Some objects were found here, and of others the names were known only. Where that is the rule, the caller
    /// makes a `str` for each edge, and looking for addresses only costs.
    pub(super) fn count(&mut self, hits: usize, misses: usize) {
        self.hits += hits;
        self.misses += misses;
    }

    /// Whether looking by address was found not to be worth its while.
    pub(super) fn given_up(&self) -> bool {
        self.misses >= TRIAL && self.hits < self.misses
    }

    fn insert(&mut self, address: usize, node: Option<Node>) {
        let mut at = self.home(address);
        while self.slots[at].0 != VACANT {
            at = self.after(at);
        }
        self.slots[at] = (address, node);
    }

    /// Addresses differ in their middle: multiplying carries that to the top.
    #[inline]
    fn home(&self, address: usize) -> usize {
        let spread = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((spread >> 32) as usize * self.slots.len()) >> 32
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        let next = at + 1;
        if next == self.slots.len() { 0 } else { next }
    }
}
