//! The exposition as it was last read, kept as one text in which only what changed is written anew.
//!
//! A number that is as wide as the one before is written over it. Where a width changed, its block is copied with
//! the new numbers in it; where a series came or went, its block is written from the series. What stays of the page
//! then moves to make room. Handing a page out costs one copy, and none is made of what nobody asked for.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use crate::definition::Definition;
use crate::store::{Slice, Store};
use crate::text::{self, Format};
use crate::value::{Spelling, values};

/// The text of every family, in Prometheus' text format.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Shared with the expositions that are still being read: written to in place when there is none.
    bytes: Arc<Vec<u8>>,
    /// What the bytes are, in their order.
    sections: Vec<Section>,
}

/// One family's part of the page.
#[derive(Debug)]
struct Section {
    store: Arc<Store>,
    header: usize,
    blocks: Vec<BlockText>,
}

/// One block's part of the page.
#[derive(Debug, Default)]
struct BlockText {
    /// The slice's version that it shows.
    version: u64,
    /// Which seats have a series, a bit each.
    live: u64,
    /// How many bytes it has.
    len: usize,
    /// Where each line's number is, counted from the block's first byte.
    numbers: Vec<Number>,
}

/// From the first digit to before the end of the line.
#[derive(Debug, Clone, Copy)]
struct Number {
    start: u32,
    end: u32,
}

/// What of the page is to be replaced by what of the text written anew.
struct Edit {
    old: Range<usize>,
    new: Range<usize>,
}

impl Section {
    fn len(&self) -> usize {
        self.header + self.blocks.iter().map(|block| block.len).sum::<usize>()
    }
}

impl Page {
    /// Make it show what is now. `families` are those of the last time without those that went, and new ones
    /// behind them.
    pub(crate) fn refresh(&mut self, families: &[Arc<Store>]) -> Arc<Vec<u8>> {
        let (mut at, mut fresh, mut edits) = (0, Vec::new(), Vec::new());
        let mut known = mem::take(&mut self.sections).into_iter().peekable();
        for family in families {
            // In one order on both sides: what is not this one is gone.
            let other = |known: &Section| !Arc::ptr_eq(&known.store, family);
            while let Some(gone) = known.next_if(other) {
                let end = at + gone.len();
                edits.push(Edit {
                    old: at..end,
                    new: 0..0,
                });
                at = end;
            }
            let section = known.next().unwrap_or_else(|| {
                let start = fresh.len();
                text::header(&family.definition, Format::Text, &mut fresh);
                edits.push(Edit {
                    old: at..at,
                    new: start..fresh.len(),
                });
                Section {
                    store: Arc::clone(family),
                    header: 0,
                    blocks: Vec::new(),
                }
            });
            at = self.section(section, at, &mut fresh, &mut edits);
        }
        edits.push(Edit {
            old: at..self.bytes.len(),
            new: 0..0,
        });
        if edits
            .iter()
            .any(|edit| !edit.old.is_empty() || !edit.new.is_empty())
        {
            self.edit(&fresh, &edits);
        }
        Arc::clone(&self.bytes)
    }

    /// Bring the section that begins at `at` up to date. Returns where it ended before.
    fn section(
        &mut self,
        mut section: Section,
        mut at: usize,
        fresh: &mut Vec<u8>,
        edits: &mut Vec<Edit>,
    ) -> usize {
        at += section.header;
        if section.header == 0 {
            section.header = edits.last().map_or(0, |edit| edit.new.len());
        }
        let store = Arc::clone(&section.store);
        let slots = store.slots();
        section
            .blocks
            .resize_with(slots.blocks.len(), BlockText::default);
        for (slice, block) in slots.blocks.iter().zip(&mut section.blocks) {
            let old = at..at + block.len;
            at = old.end;
            let marks = slice.block.take_marks();
            let same = block.version == slice.version;
            if same && marks & block.live == 0 {
                continue;
            }
            let start = fresh.len();
            if same {
                let bytes = &mut Arc::make_mut(&mut self.bytes)[old.clone()];
                if block.patch(&store.definition, slice, marks, bytes) {
                    continue;
                }
                block.widen(&store.definition, slice, marks, bytes, fresh);
            } else {
                block.write(&store.definition, slice, fresh);
            }
            edits.push(Edit {
                old,
                new: start..fresh.len(),
            });
        }
        drop(slots);
        self.sections.push(section);
        at
    }

    /// Make every edit. They are in the order of the page.
    fn edit(&mut self, fresh: &[u8], edits: &[Edit]) {
        match moves(edits) {
            // Counters grow, so this is what mostly happens.
            Some(moves) => edit_in_place(Arc::make_mut(&mut self.bytes), fresh, edits, &moves),
            None => self.bytes = Arc::new(edited(&self.bytes, fresh, edits)),
        }
    }

    /// Where the lines of each family are, without its header.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (&Arc<Store>, Range<usize>)> {
        self.sections.iter().scan(0, |at, section| {
            let (start, end) = (*at + section.header, *at + section.len());
            *at = end;
            Some((&section.store, start..end))
        })
    }
}

/// How far what lies behind each edit moves. `None`: some of it moves towards the front.
fn moves(edits: &[Edit]) -> Option<Vec<usize>> {
    let (mut less, mut more) = (0, 0);
    let moves = edits.iter().map(|edit| {
        less += edit.old.len();
        more += edit.new.len();
        more.checked_sub(less)
    });
    moves.collect()
}

/// Make every edit where nothing moves towards the front: from the back, so that nothing is overwritten that has
/// still to move.
fn edit_in_place(page: &mut Vec<u8>, fresh: &[u8], edits: &[Edit], moves: &[usize]) {
    let mut end = page.len();
    page.resize(end + moves.last().copied().unwrap_or_default(), 0);
    for (index, edit) in edits.iter().enumerate().rev() {
        page.copy_within(edit.old.end..end, edit.old.end + moves[index]);
        let before = index.checked_sub(1).map_or(0, |before| moves[before]);
        let start = edit.old.start + before;
        page[start..start + edit.new.len()].copy_from_slice(&fresh[edit.new.clone()]);
        end = edit.old.start;
    }
}

/// The page with every edit made.
fn edited(page: &[u8], fresh: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(page.len() + fresh.len());
    let mut kept = 0;
    for edit in edits {
        bytes.extend_from_slice(&page[kept..edit.old.start]);
        bytes.extend_from_slice(&fresh[edit.new.clone()]);
        kept = edit.old.end;
    }
    bytes.extend_from_slice(&page[kept..]);
    bytes
}

impl BlockText {
    /// Write the marked series' values over those in `bytes`. False: one does not fit, and all must be written
    /// anew.
    fn patch(&self, definition: &Definition, slice: &Slice, marks: u64, bytes: &mut [u8]) -> bool {
        let lines = definition.lines.len();
        let (mut spelling, mut fits) = (Spelling::default(), true);
        let mut left = marks & self.live;
        while left != 0 && fits {
            let seat = left.trailing_zeros();
            left &= left - 1;
            let before = (self.live & ((1 << seat) - 1)).count_ones() as usize;
            let mut numbers = self.numbers[before * lines..][..lines].iter();
            // Cells only: to look at the series would cost more than all the rest.
            let (block, seat) = (&slice.block, slice.block.seat(seat as usize));
            values(definition, block, seat, |value| {
                let Some(number) = numbers.next() else { return };
                let room = &mut bytes[number.start as usize..number.end as usize];
                let spelled = spelling.of(value);
                if spelled.len() == room.len() {
                    room.copy_from_slice(spelled);
                } else {
                    fits = false;
                }
            });
        }
        fits
    }

    /// Append the block to `out` as it is in `bytes`, with the marked series' values in it.
    fn widen(
        &mut self,
        definition: &Definition,
        slice: &Slice,
        marks: u64,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) {
        let (first, mut spelling) = (out.len(), Spelling::default());
        let offset = |at: usize| u32::try_from(at - first).unwrap_or(u32::MAX);
        // What lies before this is in `out`.
        let mut kept = 0;
        let mut left = self.live;
        for numbers in self.numbers.chunks_exact_mut(definition.lines.len()) {
            let seat = left.trailing_zeros();
            left &= left - 1;
            if marks >> seat & 1 == 0 {
                for number in numbers {
                    // What is not marked only moves, with all that stands before it.
                    number.start = offset(out.len() + number.start as usize - kept);
                    number.end = offset(out.len() + number.end as usize - kept);
                }
                continue;
            }
            let mut numbers = numbers.iter_mut();
            values(
                definition,
                &slice.block,
                slice.block.seat(seat as usize),
                |value| {
                    let Some(number) = numbers.next() else { return };
                    out.extend_from_slice(&bytes[kept..number.start as usize]);
                    kept = number.end as usize;
                    number.start = offset(out.len());
                    out.extend_from_slice(spelling.of(value));
                    number.end = offset(out.len());
                },
            );
        }
        out.extend_from_slice(&bytes[kept..]);
        self.len = out.len() - first;
    }

    /// Append every line of the block to `out`, from the series themselves.
    fn write(&mut self, definition: &Definition, slice: &Slice, out: &mut Vec<u8>) {
        let (first, mut spelling) = (out.len(), Spelling::default());
        let offset = |at: usize| u32::try_from(at - first).unwrap_or(u32::MAX);
        self.version = slice.version;
        self.live = 0;
        self.numbers.clear();
        for (seat, series) in slice.series.iter().enumerate() {
            let Some(series) = series else { continue };
            self.live |= 1 << seat;
            let mut lines = definition.lines.iter();
            values(definition, &series.block, series.seat, |value| {
                let Some(line) = lines.next() else { return };
                out.extend_from_slice(&line.head);
                out.extend_from_slice(&series.text);
                out.extend_from_slice(&line.tail);
                let start = offset(out.len());
                out.extend_from_slice(spelling.of(value));
                let end = offset(out.len());
                out.push(b'\n');
                self.numbers.push(Number { start, end });
            });
        }
        self.len = out.len() - first;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn edits_in_place_are_those_of_a_page_made_anew(
            parts in prop::collection::vec((0usize..6, 0usize..6, 0usize..9), 0..12),
        ) {
            let (mut page, mut fresh, mut edits) = (Vec::new(), Vec::new(), Vec::new());
            for (index, (kept, old, new)) in parts.into_iter().enumerate() {
                let letter = u8::try_from(index).unwrap();
                page.extend(vec![b'a' + letter; kept]);
                let (from, into) = (page.len(), fresh.len());
                page.extend(vec![b'?'; old]);
                fresh.extend(vec![b'A' + letter; new]);
                edits.push(Edit { old: from..page.len(), new: into..fresh.len() });
            }
            page.extend(b"the end");
            let anew = edited(&page, &fresh, &edits);
            if let Some(moves) = moves(&edits) {
                edit_in_place(&mut page, &fresh, &edits, &moves);
                prop_assert_eq!(page, anew);
            }
        }
    }
}
