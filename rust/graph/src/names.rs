//! Names to numbers and back.
//!
//! All names stand one after another in one text, and the table holds numbers, not pointers: a million names are
//! four allocations. The table is our own, because a general one keeps its marks and its entries apart: here a
//! look-up touches one cache line of it, and [`Names::intern_all`] has many of those under way at once.

use std::ops::Range;

use ahash::RandomState;

use crate::Node;

/// How many names [`Names::intern_all`] looks up side by side.
const ABREAST: usize = 64;

/// Numbered names. A number stays a name's own until the name is forgotten, and is not used again.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    hasher: RandomState,
    /// For names of 8 to 16 bytes one multiplication is hash enough; by secret keys, so that nobody can choose
    /// names that meet.
    keys: (u64, u64),
    /// Open addressing with linear probing; a power of two long and at most three eighths full: then
    /// nearly every search ends where it begins, and the processor guesses so.
    slots: Vec<Slot>,
    text: String,
    /// Where each name ends in `text`; it begins where the one before ends.
    ends: Vec<usize>,
    /// Whether the name of a number was forgotten.
    gone: Vec<bool>,
    /// How many names are known.
    known: usize,
}

/// A name's number, with enough of its hash to tell most others apart without looking at them, and to find its
/// place again when the table grows.
#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    /// `VACANT`: nothing is here.
    number: u32,
}

const VACANT: u32 = u32::MAX;
const EMPTY: Slot = Slot {
    tag: 0,
    number: VACANT,
};

/// Whether two texts are the same. Most names have 8 to 16 bytes, and two comparisons are less than a call.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (ends(a), ends(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// The whole text, if it has 8 to 16 bytes: its first eight and its last eight.
#[inline]
fn ends(text: &[u8]) -> Option<(u64, u64)> {
    if text.len() > 16 {
        return None;
    }
    let (first, last) = (text.first_chunk()?, text.last_chunk()?);
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(*last)))
}

/// Not of the table: a name that was just asked for.
const REPEATED: u32 = VACANT - 1;
const AGAIN: Slot = Slot {
    tag: 0,
    number: REPEATED,
};

impl Slot {
    fn new(tag: u32, node: Node) -> Self {
        Self {
            tag,
            number: u32::try_from(node.index()).unwrap_or(VACANT),
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        let hasher = RandomState::default();
        Self {
            keys: (hasher.hash_one(1), hasher.hash_one(2)),
            hasher,
            slots: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
            gone: Vec::new(),
            known: 0,
        }
    }
}

impl Names {
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is cut off was folded in"
    )]
    fn tag(&self, name: &str) -> u32 {
        match ends(name.as_bytes()) {
            Some((first, last)) => {
                let (first, last) = (first ^ self.keys.0, last ^ self.keys.1 ^ name.len() as u64);
                let product = u128::from(first) * u128::from(last);
                ((product >> 96) ^ (product >> 32)) as u32
            }
            None => (self.hasher.hash_one(name.as_bytes()) >> 32) as u32,
        }
    }

    /// Where the search for a tag begins: its highest bits, as many as the table needs. Only for a table.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        (tag as usize * self.slots.len()) >> 32
    }

    /// The number of a name, made if new.
    #[inline]
    pub(crate) fn intern(&mut self, name: &str) -> Node {
        let tag = self.tag(name);
        if !self.slots.is_empty() {
            let number = self.slots[self.stop(tag)].number;
            if number != VACANT {
                let node = Node::new(number as usize);
                if self.is_name(node, name) {
                    return node;
                }
            }
        }
        self.intern_tagged(tag, name)
    }

    /// The numbers of many names, those that are new made in turn.
    ///
    /// The table is asked for all names before the first answer is used, so that the waits for memory overlap. A
    /// name that stood two places before, as the services in a list of their dependencies mostly did, is not asked
    /// for.
    pub(crate) fn intern_all(&mut self, names: &[&str], numbers: &mut Vec<Node>) {
        if self.slots.is_empty() {
            self.grow();
        }
        numbers.reserve(names.len());
        for names in names.chunks(ABREAST) {
            let first = numbers.len();
            let mut slots = [EMPTY; ABREAST];
            let (mut two_before, mut before) = (&[][..], &[][..]);
            for (slot, &name) in slots.iter_mut().zip(names) {
                let text = name.as_bytes();
                *slot = if !text.is_empty() && equal(two_before, text) {
                    AGAIN
                } else {
                    let tag = self.tag(name);
                    let number = self.slots[self.stop(tag)].number;
                    Slot { tag, number }
                };
                (two_before, before) = (before, text);
            }
            for (at, (&Slot { tag, number }, name)) in slots.iter().zip(names).enumerate() {
                let node = match number {
                    VACANT => self.intern_tagged(tag, name),
                    REPEATED => numbers[first + at - 2],
                    number => {
                        let node = Node::new(number as usize);
                        if self.is_name(node, name) {
                            node
                        } else {
                            self.intern_tagged(tag, name)
                        }
                    }
                };
                numbers.push(node);
            }
        }
    }

    /// The number of a name that is most likely new.
    #[cold]
    #[inline(never)]
    fn intern_tagged(&mut self, tag: u32, name: &str) -> Node {
        let at = match self.find(tag, name) {
            Ok((_, node)) => return node,
            Err(_) if self.known * 8 >= self.slots.len() * 3 => {
                self.grow();
                self.vacancy(tag)
            }
            Err(at) => at,
        };
        let node = Node::new(self.ends.len());
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.gone.push(false);
        self.known += 1;
        self.slots[at] = Slot::new(tag, node);
        node
    }

    /// The number of a name, if it is known.
    pub(crate) fn node(&self, name: &str) -> Option<Node> {
        self.find(self.tag(name), name).ok().map(|(_, node)| node)
    }

    /// The place and number of a name, or the place where it would go.
    #[inline]
    fn find(&self, tag: u32, name: &str) -> Result<(usize, Node), usize> {
        if self.slots.is_empty() {
            return Err(0);
        }
        let mut at = self.home(tag);
        loop {
            let slot = self.slots[at];
            if slot.number == VACANT {
                return Err(at);
            }
            if slot.tag == tag {
                let node = Node::new(slot.number as usize);
                if self.is_name(node, name) {
                    return Ok((at, node));
                }
            }
            at = self.after(at);
        }
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// The first place from home that is vacant or bears the tag.
    #[inline]
    fn stop(&self, tag: u32) -> usize {
        let mut at = self.home(tag);
        while self.slots[at].tag != tag && self.slots[at].number != VACANT {
            at = self.after(at);
        }
        at
    }

    /// The first vacant place for a tag.
    fn vacancy(&self, tag: u32) -> usize {
        let mut at = self.home(tag);
        while self.slots[at].number != VACANT {
            at = self.after(at);
        }
        at
    }

    fn grow(&mut self) {
        let room = vec![EMPTY; (self.slots.len() * 2).max(16)];
        let slots = std::mem::replace(&mut self.slots, room);
        for slot in slots.into_iter().filter(|slot| slot.number != VACANT) {
            let at = self.vacancy(slot.tag);
            self.slots[at] = slot;
        }
    }

    pub(crate) fn name(&self, node: Node) -> &str {
        &self.text[self.span(node)]
    }

    #[inline]
    pub(crate) fn is_name(&self, node: Node, name: &str) -> bool {
        equal(&self.text.as_bytes()[self.span(node)], name.as_bytes())
    }

    #[inline]
    fn span(&self, node: Node) -> Range<usize> {
        let number = node.index();
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[number]
    }

    /// The node of a number, if it has a name.
    pub(crate) fn at(&self, index: usize) -> Option<Node> {
        (self.gone.get(index) == Some(&false)).then(|| Node::new(index))
    }

    /// Forget a name; its number is not used again.
    pub(crate) fn forget(&mut self, name: &str) -> Option<Node> {
        let (mut hole, node) = self.find(self.tag(name), name).ok()?;
        self.gone[node.index()] = true;
        self.known -= 1;
        // Close the hole, so that no search ends at it too early: whoever stands behind it and may stand in it
        // moves up.
        let mask = self.slots.len() - 1;
        let mut at = hole;
        loop {
            at = self.after(at);
            let slot = self.slots[at];
            if slot.number == VACANT {
                break;
            }
            let steps = |from: usize| at.wrapping_sub(from) & mask;
            if steps(self.home(slot.tag)) >= steps(hole) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
        Some(node)
    }

    /// How many names are known.
    pub(crate) fn len(&self) -> usize {
        self.known
    }

    /// One more than the largest number.
    pub(crate) fn bound(&self) -> usize {
        self.ends.len()
    }

    /// The numbers of all known names, in the order they were named in.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        let known = |(index, gone): (usize, &bool)| (!gone).then(|| Node::new(index));
        self.gone.iter().enumerate().filter_map(known)
    }
}
