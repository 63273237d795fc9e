//! Cells: where values live.
//!
//! A block holds the cells of a fixed number of series, once per row. A thread writes to one row only, so two
//! cores do not pull one cache line back and forth, and a reader sums the rows.
//!
//! The first cell of each row says which series of the block were written to since it was last asked. A writer
//! changes its cell and then looks at that mark; a reader takes the mark and then looks at the cells. All four
//! steps are sequentially consistent, so one of the two sees the other: a change that a reader misses is marked
//! for the next. On x86 that costs a writer nothing, since its addition is a full barrier anyway.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::available_parallelism;

/// No more rows than this, however many cores there are: reading costs a row each.
const MOST_ROWS: usize = 16;
/// Cells in a cache line.
const LINE: usize = 8;
/// Where in a row the marks are.
const MARKS: usize = 0;
/// Where in a row the first series' cells are.
const FIRST: usize = 1;
/// Cells in a row, about: enough that writers seldom share a block, and few enough that a block of one series
/// wastes little.
const CELLS: usize = 64;

/// One cache line of cells; its alignment is what keeps rows apart.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; LINE]);

/// How many rows a sharded block has on this machine.
pub(crate) fn rows() -> usize {
    static ROWS: LazyLock<usize> = LazyLock::new(|| {
        available_parallelism()
            .map_or(1, usize::from)
            .next_power_of_two()
            .min(MOST_ROWS)
    });
    *ROWS
}

/// How many series of so many cells each share a block.
pub(crate) fn series_per_block(width: usize) -> usize {
    ((CELLS - FIRST) / width).max(1)
}

/// The row this thread writes to. Threads take rows in turn.
#[inline]
fn my_row() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static ROW: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    ROW.with(|row| {
        if row.get() == usize::MAX {
            row.set(NEXT.fetch_add(1, Relaxed));
        }
        row.get()
    })
}

/// The cells of some series, `width` each, in one or more rows. Cloning shares the cells.
#[derive(Debug, Clone)]
pub(crate) struct Block(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    /// Integers, or the floats of cells that hold only floats.
    lines: Box<[Line]>,
    /// What was added to cells of integers that is not whole. Made by the first such addition.
    fractions: OnceLock<Box<[Line]>>,
    /// Always a power of two, kept as a mask.
    row_mask: usize,
    row_lines: usize,
    width: usize,
}

/// One series' cells within its block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    /// The first cell, counted in a row.
    first: usize,
    mark: u64,
}

fn zeros(lines: usize) -> Box<[Line]> {
    (0..lines).map(|_| Line::default()).collect()
}

fn add_float(at: &AtomicU64, amount: f64) {
    let mut old = at.load(Relaxed);
    loop {
        let new = (f64::from_bits(old) + amount).to_bits();
        match at.compare_exchange_weak(old, new, SeqCst, Relaxed) {
            Ok(_) => return,
            Err(seen) => old = seen,
        }
    }
}

/// The amount as an integer, if it is one that floats count exactly.
fn whole(amount: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "it is whole if nothing is lost on the way there and back"
    )]
    let exact = (amount < 9_007_199_254_740_992.0 && amount as u64 as f64 == amount)
        .then_some(amount as u64);
    exact
}

impl Block {
    /// A block of zeros for as many series of `width` cells as a block has, in `rows` rows (a power of two).
    pub(crate) fn new(width: usize, rows: usize) -> Self {
        debug_assert!(rows.is_power_of_two());
        let row_lines = (FIRST + series_per_block(width) * width).div_ceil(LINE);
        Self(Arc::new(Cells {
            lines: zeros(row_lines * rows),
            fractions: OnceLock::new(),
            row_mask: rows - 1,
            row_lines,
            width,
        }))
    }

    /// The cells of the series that sits at `index`.
    pub(crate) fn seat(&self, index: usize) -> Seat {
        Seat {
            first: FIRST + index * self.0.width,
            mark: 1 << index,
        }
    }

    /// Add to a cell that holds a float.
    #[inline]
    pub(crate) fn add(&self, seat: Seat, cell: usize, amount: f64) {
        let row = self.0.row();
        add_float(self.0.at(row, seat.first + cell), amount);
        self.0.mark(row, seat);
    }

    /// Add to a cell that holds an integer what may not be one; never negative.
    pub(crate) fn count(&self, seat: Seat, cell: usize, amount: f64) {
        let cells = &*self.0;
        let row = cells.row();
        if let Some(amount) = whole(amount) {
            cells.at(row, seat.first + cell).fetch_add(amount, SeqCst);
        } else {
            let fractions = cells.fractions.get_or_init(|| zeros(cells.lines.len()));
            add_float(cells.of(fractions, row, seat.first + cell), amount);
        }
        cells.mark(row, seat);
    }

    /// Add one to a cell that holds an integer.
    #[inline]
    pub(crate) fn count_one(&self, seat: Seat, cell: usize) {
        let row = self.0.row();
        self.0.at(row, seat.first + cell).fetch_add(1, SeqCst);
        self.0.mark(row, seat);
    }

    /// Add one to a cell that holds an integer, and `amount` to one that holds a float.
    #[inline]
    pub(crate) fn count_and_add(&self, seat: Seat, [one, sum]: [usize; 2], amount: f64) {
        let row = self.0.row();
        self.0.at(row, seat.first + one).fetch_add(1, SeqCst);
        add_float(self.0.at(row, seat.first + sum), amount);
        self.0.mark(row, seat);
    }

    /// Replace a float. Only for blocks of one row.
    #[inline]
    pub(crate) fn set(&self, seat: Seat, cell: usize, value: f64) {
        debug_assert_eq!(self.0.row_mask, 0, "a sharded cell cannot be set");
        self.0
            .at(0, seat.first + cell)
            .store(value.to_bits(), SeqCst);
        self.0.mark(0, seat);
    }

    /// The sum over all rows of a cell of floats.
    pub(crate) fn float(&self, seat: Seat, cell: usize) -> f64 {
        let column = self.0.column(&self.0.lines, seat.first + cell);
        column.map(f64::from_bits).sum()
    }

    /// The sum over all rows of a cell of integers.
    pub(crate) fn integer(&self, seat: Seat, cell: usize) -> u64 {
        self.0
            .column(&self.0.lines, seat.first + cell)
            .fold(0, u64::wrapping_add)
    }

    /// What was added to a cell of integers beside integers.
    pub(crate) fn fraction(&self, seat: Seat, cell: usize) -> f64 {
        self.0.fractions.get().map_or(0.0, |fractions| {
            self.0
                .column(fractions, seat.first + cell)
                .map(f64::from_bits)
                .sum()
        })
    }

    /// Which series were written to since this was last asked, a bit each in the order of their seats.
    pub(crate) fn take_marks(&self) -> u64 {
        let mut marks = 0;
        for row in 0..=self.0.row_mask {
            let at = self.0.at(row, MARKS);
            // Mostly nothing happened, and a look keeps the line shared.
            if at.load(SeqCst) != 0 {
                marks |= at.swap(0, SeqCst);
            }
        }
        marks
    }

    /// Zero a series' cells, for the next one that sits there.
    pub(crate) fn clear(&self, seat: Seat) {
        let cells: Range<usize> = seat.first..seat.first + self.0.width;
        for row in 0..=self.0.row_mask {
            for cell in cells.clone() {
                self.0.at(row, cell).store(0, Relaxed);
                if let Some(fractions) = self.0.fractions.get() {
                    self.0.of(fractions, row, cell).store(0, Relaxed);
                }
            }
        }
    }
}

impl Cells {
    #[inline]
    fn of<'a>(&self, lines: &'a [Line], row: usize, cell: usize) -> &'a AtomicU64 {
        &lines[row * self.row_lines + cell / LINE].0[cell % LINE]
    }

    #[inline]
    fn at(&self, row: usize, cell: usize) -> &AtomicU64 {
        self.of(&self.lines, row, cell)
    }

    #[inline]
    fn row(&self) -> usize {
        if self.row_mask == 0 {
            0
        } else {
            my_row() & self.row_mask
        }
    }

    #[inline]
    fn mark(&self, row: usize, seat: Seat) {
        let marks = self.at(row, MARKS);
        if marks.load(SeqCst) & seat.mark == 0 {
            marks.fetch_or(seat.mark, SeqCst);
        }
    }

    fn column<'a>(&'a self, lines: &'a [Line], cell: usize) -> impl Iterator<Item = u64> + 'a {
        (0..=self.row_mask).map(move |row| self.of(lines, row, cell).load(SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_never_share_a_cache_line() {
        let block = Block::new(CELLS, 4);
        let address = |row| std::ptr::from_ref(block.0.at(row, MARKS)).addr() / 64;
        assert!((1..4).all(|row| address(row) - address(row - 1) >= block.0.row_lines));
        assert_eq!(address(0) * 64, std::ptr::from_ref(block.0.at(0, 0)).addr());
    }

    #[test]
    fn threads_add_up() {
        const EACH: u32 = if cfg!(miri) { 50 } else { 10_000 };
        let block = Block::new(3, 4);
        let seat = block.seat(1);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        block.add(seat, 0, 0.5);
                        block.count_one(seat, 1);
                        block.count(seat, 2, 2.0);
                        block.count(seat, 2, 0.25);
                    }
                });
            }
        });
        assert!((block.float(seat, 0) - f64::from(EACH) * 4.0).abs() < f64::EPSILON);
        assert_eq!(block.integer(seat, 1), u64::from(EACH) * 8);
        assert_eq!(block.integer(seat, 2), u64::from(EACH) * 16);
        assert!((block.fraction(seat, 2) - f64::from(EACH) * 2.0).abs() < f64::EPSILON);
        assert_eq!(block.take_marks(), 0b10);
        assert_eq!(block.take_marks(), 0);
    }

    #[test]
    fn only_whole_amounts_are_counted_as_integers() {
        assert_eq!((whole(0.0), whole(3.0)), (Some(0), Some(3)));
        for part in [0.5, 9_007_199_254_740_992.0, f64::INFINITY, 1e300] {
            assert_eq!(whole(part), None, "{part}");
        }
    }

    /// One change at a time, and a reader that looks all the while. A mark that is set before its cell is changed is
    /// seen by Miri, which lets the other thread go on anywhere (`make test-miri`); real processors seldom do.
    #[test]
    fn what_a_reader_misses_is_marked_for_the_next() {
        const ROUNDS: u64 = if cfg!(miri) { 100 } else { 5_000 };
        let block = Block::new(1, 1);
        let seat = block.seat(0);
        let (begun, written) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut lost = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    let mut turns = 0;
                    while begun.load(SeqCst) < round {
                        turns += 1;
                        if turns % 256 == 0 || cfg!(miri) {
                            std::thread::yield_now();
                        }
                    }
                    block.count_one(seat, 0);
                    written.store(round, SeqCst);
                }
            });
            let mut seen = 0;
            for round in 1..=ROUNDS {
                begun.store(round, SeqCst);
                let mut turns = 0;
                while written.load(SeqCst) < round {
                    if block.take_marks() != 0 {
                        seen = block.integer(seat, 0);
                    }
                    turns += 1;
                    if turns % 256 == 0 || cfg!(miri) {
                        std::thread::yield_now();
                    }
                }
                // The writer is done: what no look saw must be marked.
                if seen != round && block.take_marks() == 0 {
                    lost += 1;
                }
                seen = block.integer(seat, 0);
            }
        });
        assert_eq!(lost, 0, "changes that no reader would ever see");
    }
}
