//! The state behind [`Ports`](crate::Ports): which port is held, by whom, and which goes next.
//!
//! Every port of the range has an entry of 16 bytes, and stands in at most two lists threaded through the
//! entries: the free ports that a holder had before, newest first, and the quarantine, oldest first. So leasing
//! and giving back allocate nothing, look up one name, and cost the same at any fill. A holder's entry goes when
//! its last port, held or remembered, goes to somebody else: there are never more holders than ports.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use crate::bitmap::Bitmap;

/// At most this many ports wait in quarantine, and at most a quarter of the range.
const QUARANTINE: usize = 256;
/// No port: 0 is never lent.
const NONE: u16 = 0;
/// The holder of a port that nobody has had.
const NOBODY: u32 = u32::MAX;

/// A port of the range.
#[derive(Debug, Clone, Copy)]
struct Port {
    /// Who holds it, or held it last.
    holder: u32,
    /// Changes with each lease and each return, so that a handle to an old lease gives nothing back; odd while
    /// it is held.
    stamp: u32,
    /// Its place among the free ports of its last holder.
    former: Links,
    /// Its place in quarantine.
    waiting: Links,
}

/// Two ports: the neighbours of one in a list, or the ends of the list. One number, because reading both after
/// writing one would wait for the processor's store buffer.
#[derive(Debug, Clone, Copy)]
struct Links(u32);

impl Links {
    const NONE: Self = Self::new(NONE, NONE);

    const fn new(before: u16, after: u16) -> Self {
        Self((before as u32) << 16 | after as u32)
    }

    /// The one before; of a list, the first.
    #[inline]
    fn before(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The one after; of a list, the last.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    fn after(self) -> u16 {
        self.0 as u16
    }

    #[inline]
    fn set_before(&mut self, port: u16) {
        *self = Self::new(port, self.after());
    }

    #[inline]
    fn set_after(&mut self, port: u16) {
        *self = Self::new(self.before(), port);
    }
}

#[derive(Debug)]
struct Holder {
    name: Arc<str>,
    /// The free ports it had before, newest first.
    former: Links,
    /// How many it holds now.
    held: u32,
}

#[derive(Debug)]
pub(crate) struct Table {
    first: u16,
    range: Box<[Port]>,
    /// Every held port, those outside the range too.
    held: Bitmap,
    held_in_range: usize,
    /// Ports of the range that are neither held nor in quarantine.
    ready: Bitmap,
    /// Ports just given back, oldest first.
    quarantine: Links,
    quarantined: usize,
    most_quarantined: usize,
    ids: HashMap<Arc<str>, u32, RandomState>,
    holders: Vec<Holder>,
    /// Places in `holders` to be used again.
    vacant: Vec<u32>,
    /// Fixed ports outside the range, while held.
    outside: HashMap<u16, (Arc<str>, u32), RandomState>,
    /// The stamp of the next port outside.
    next_outside: u32,
}

impl Table {
    pub(crate) fn new(first: u16, last: u16) -> Self {
        let count = usize::from(last - first) + 1;
        let mut ready = Bitmap::default();
        (first..=last).for_each(|port| ready.insert(port));
        let port = Port {
            holder: NOBODY,
            stamp: 0,
            former: Links::NONE,
            waiting: Links::NONE,
        };
        Self {
            first,
            range: vec![port; count].into(),
            held: Bitmap::default(),
            held_in_range: 0,
            ready,
            quarantine: Links::NONE,
            quarantined: 0,
            most_quarantined: QUARANTINE.min(count / 4),
            ids: HashMap::default(),
            holders: Vec::new(),
            vacant: Vec::new(),
            outside: HashMap::default(),
            next_outside: 1,
        }
    }

    /// Where a port of the range has its entry.
    #[inline]
    fn at(&self, port: u16) -> Option<usize> {
        let at = usize::from(port.wrapping_sub(self.first));
        (at < self.range.len()).then_some(at)
    }

    #[inline]
    fn entry(&mut self, port: u16) -> &mut Port {
        &mut self.range[usize::from(port.wrapping_sub(self.first))]
    }

    pub(crate) fn is_held(&self, port: u16) -> bool {
        self.held.contains(port)
    }

    /// Whether this very lease of the port is the one that holds it.
    #[inline]
    pub(crate) fn is_current(&self, port: u16, stamp: u32) -> bool {
        match self.at(port) {
            Some(at) => self.range[at].stamp == stamp && stamp & 1 == 1,
            None => self
                .outside
                .get(&port)
                .is_some_and(|(_, last)| *last == stamp),
        }
    }

    /// Who holds a port.
    pub(crate) fn holder(&self, port: u16) -> Option<&Arc<str>> {
        match self.at(port) {
            Some(at) if self.range[at].stamp & 1 == 1 => {
                Some(&self.holders[self.range[at].holder as usize].name)
            }
            Some(_) => None,
            None => self.outside.get(&port).map(|(name, _)| name),
        }
    }

    /// Every held port, ascending.
    pub(crate) fn held(&self) -> impl Iterator<Item = u16> {
        self.held.iter()
    }

    pub(crate) fn free(&self) -> usize {
        self.range.len() - self.held_in_range
    }

    /// How many holders have an entry.
    pub(crate) fn known(&self) -> usize {
        self.ids.len()
    }

    /// Lease a port of the range: one that `holder` had before, else the lowest, else the one that has waited
    /// longest in quarantine.
    #[inline]
    pub(crate) fn lease(&mut self, holder: &str) -> Option<(u16, u32, &Arc<str>)> {
        let known = self.ids.get(holder).copied();
        let former = known.map_or(NONE, |id| self.holders[id as usize].former.before());
        let port = if former != NONE {
            former
        } else if let Some(lowest) = self.ready.lowest() {
            lowest
        } else if self.quarantine.before() != NONE {
            self.quarantine.before()
        } else {
            return None;
        };
        let id = known.unwrap_or_else(|| self.introduce(holder));
        Some(self.grant(id, port))
    }

    /// Lease this very port, which must be free.
    pub(crate) fn lease_fixed(&mut self, holder: &str, port: u16) -> (u16, u32, &Arc<str>) {
        if self.at(port).is_none() {
            let stamp = self.next_outside;
            self.next_outside = stamp.wrapping_add(2);
            self.held.insert(port);
            let (name, _) = self.outside.entry(port).or_insert((holder.into(), stamp));
            return (port, stamp, name);
        }
        let known = self.ids.get(holder).copied();
        let id = known.unwrap_or_else(|| self.introduce(holder));
        self.grant(id, port)
    }

    /// The lowest `count` ports in a row that are ready.
    pub(crate) fn run(&self, count: usize) -> Option<u16> {
        let (mut first, mut length) = (NONE, 0);
        for port in self.ready.iter() {
            if length > 0 && usize::from(port - first) == length {
                length += 1;
            } else {
                (first, length) = (port, 1);
            }
            if length == count {
                return Some(first);
            }
        }
        None
    }

    /// Note a held port as free. `reusable`: its holder may have it back before others.
    #[inline]
    pub(crate) fn give_back(&mut self, port: u16, reusable: bool) {
        self.held.remove(port);
        if self.at(port).is_none() {
            self.outside.remove(&port);
            return;
        }
        self.held_in_range -= 1;
        let entry = self.entry(port);
        entry.stamp = entry.stamp.wrapping_add(1);
        let id = entry.holder;
        self.holders[id as usize].held -= 1;
        if reusable {
            self.remember(id, port);
        } else {
            self.entry(port).holder = NOBODY;
            self.dismiss(id);
        }
        self.wait(port);
    }

    /// Note a free port of the range as held.
    #[inline]
    fn grant(&mut self, id: u32, port: u16) -> (u16, u32, &Arc<str>) {
        if !self.ready.remove(port) {
            self.unwait(port);
        }
        let last = self.entry(port).holder;
        if last != NOBODY {
            self.forget(last, port);
            if last != id {
                self.dismiss(last);
            }
        }
        self.held.insert(port);
        self.held_in_range += 1;
        let entry = self.entry(port);
        entry.holder = id;
        entry.stamp = entry.stamp.wrapping_add(1);
        let stamp = entry.stamp;
        let holder = &mut self.holders[id as usize];
        holder.held += 1;
        (port, stamp, &holder.name)
    }

    /// Make an entry for a new holder, which must be given a port at once.
    #[cold]
    fn introduce(&mut self, holder: &str) -> u32 {
        let name: Arc<str> = holder.into();
        let entry = Holder {
            name: Arc::clone(&name),
            former: Links::NONE,
            held: 0,
        };
        let id = if let Some(id) = self.vacant.pop() {
            self.holders[id as usize] = entry;
            id
        } else {
            self.holders.push(entry);
            // No more holders than ports.
            u32::try_from(self.holders.len()).unwrap_or(NOBODY) - 1
        };
        self.ids.insert(name, id);
        id
    }

    /// Drop a holder's entry if it has no port any more, held or remembered.
    fn dismiss(&mut self, id: u32) {
        let holder = &self.holders[id as usize];
        if holder.held == 0 && holder.former.before() == NONE {
            self.ids.remove(&*holder.name);
            self.vacant.push(id);
        }
    }

    /// Put a free port on top of its holder's list.
    #[inline]
    fn remember(&mut self, id: u32, port: u16) {
        let list = &mut self.holders[id as usize].former;
        let after = list.before();
        if after == NONE {
            *list = Links::new(port, port);
        } else {
            list.set_before(port);
            self.entry(after).former.set_before(port);
        }
        self.entry(port).former = Links::new(NONE, after);
    }

    /// Take a port off its last holder's list.
    #[inline]
    fn forget(&mut self, id: u32, port: u16) {
        let links = self.entry(port).former;
        let (before, after) = (links.before(), links.after());
        if before == NONE {
            self.holders[id as usize].former.set_before(after);
        } else {
            self.entry(before).former.set_after(after);
        }
        if after == NONE {
            self.holders[id as usize].former.set_after(before);
        } else {
            self.entry(after).former.set_before(before);
        }
    }

    /// Put a free port into quarantine, and let the one that has waited longest out if it is full.
    #[inline]
    fn wait(&mut self, port: u16) {
        let last = self.quarantine.after();
        if last == NONE {
            self.quarantine = Links::new(port, port);
        } else {
            self.quarantine.set_after(port);
            self.entry(last).waiting.set_after(port);
        }
        self.entry(port).waiting = Links::new(last, NONE);
        self.quarantined += 1;
        if self.quarantined > self.most_quarantined {
            let oldest = self.quarantine.before();
            self.unwait(oldest);
            self.ready.insert(oldest);
        }
    }

    /// Take a port out of quarantine.
    #[inline]
    fn unwait(&mut self, port: u16) {
        let links = self.entry(port).waiting;
        let (before, after) = (links.before(), links.after());
        if before == NONE {
            self.quarantine.set_before(after);
        } else {
            self.entry(before).waiting.set_after(after);
        }
        if after == NONE {
            self.quarantine.set_after(before);
        } else {
            self.entry(after).waiting.set_before(before);
        }
        self.quarantined -= 1;
    }
}
