//! Cells: where values live.
//!
//! A block holds the cells of a fixed number of series, once per row. A thread writes to one row only, so two
//! cores do not pull one cache line back and forth, and a reader sums the rows.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread::available_parallelism;

/// No more rows than this, however many cores there are: reading costs a row each.
const MOST_ROWS: usize = 16;
const LINE: usize = 8;

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

/// The row this thread writes to. Threads take rows in turn.
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
pub(crate) struct Block {
    lines: Arc<[Line]>,
    /// Always a power of two, kept as a mask.
    row_mask: usize,
    row_lines: usize,
}

impl Block {
    /// A block of zeros with at least `cells` cells in each of `rows` rows (a power of two).
    pub(crate) fn new(cells: usize, rows: usize) -> Self {
        debug_assert!(rows.is_power_of_two());
        let row_lines = cells.div_ceil(LINE);
        let lines = (0..row_lines * rows).map(|_| Line::default()).collect();
        Self {
            lines,
            row_mask: rows - 1,
            row_lines,
        }
    }

    fn at(&self, row: usize, cell: usize) -> &AtomicU64 {
        &self.lines[row * self.row_lines + cell / LINE].0[cell % LINE]
    }

    fn row(&self) -> usize {
        if self.row_mask == 0 {
            0
        } else {
            my_row() & self.row_mask
        }
    }

    /// Add to a cell that holds a float.
    pub(crate) fn add(&self, cell: usize, amount: f64) {
        let at = self.at(self.row(), cell);
        let mut old = at.load(Relaxed);
        loop {
            let new = (f64::from_bits(old) + amount).to_bits();
            match at.compare_exchange_weak(old, new, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(seen) => old = seen,
            }
        }
    }

    /// Add one to a cell that holds an integer.
    pub(crate) fn count(&self, cell: usize) {
        self.at(self.row(), cell).fetch_add(1, Relaxed);
    }

    /// Replace a float. Only for blocks of one row.
    pub(crate) fn set(&self, cell: usize, value: f64) {
        debug_assert_eq!(self.row_mask, 0, "a sharded cell cannot be set");
        self.at(0, cell).store(value.to_bits(), Relaxed);
    }

    /// The sum over all rows of a cell of floats.
    pub(crate) fn float(&self, cell: usize) -> f64 {
        (0..=self.row_mask)
            .map(|row| f64::from_bits(self.at(row, cell).load(Relaxed)))
            .sum()
    }

    /// The sum over all rows of a cell of integers.
    pub(crate) fn integer(&self, cell: usize) -> u64 {
        (0..=self.row_mask)
            .map(|row| self.at(row, cell).load(Relaxed))
            .fold(0, u64::wrapping_add)
    }

    /// Compare every cell, its rows mixed into one, with what `sums` remembers; true if any differs. Integers
    /// and floats alike: what a cell means does not matter for whether it changed.
    pub(crate) fn differs(&self, sums: &mut Vec<u64>) -> bool {
        let cells = self.row_lines * LINE;
        let mut changed = sums.len() != cells;
        sums.resize(cells, 0);
        for (line, sums) in sums.chunks_exact_mut(LINE).enumerate() {
            for (cell, last) in sums.iter_mut().enumerate() {
                let column = (0..=self.row_mask)
                    .map(|row| self.lines[row * self.row_lines + line].0[cell].load(Relaxed));
                let now = column.fold(0u64, |mix, bits| mix.rotate_left(17).wrapping_add(bits));
                changed |= *last != now;
                *last = now;
            }
        }
        changed
    }

    /// Zero some cells, for the next series that uses them.
    pub(crate) fn clear(&self, cells: std::ops::Range<usize>) {
        for row in 0..=self.row_mask {
            for cell in cells.clone() {
                self.at(row, cell).store(0, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_never_share_a_cache_line() {
        let block = Block::new(3, 4);
        let address = |row| std::ptr::from_ref(block.at(row, 0)).addr() / 64;
        assert_eq!(block.lines.len(), 4);
        assert!((1..4).all(|row| address(row) != address(row - 1)));
    }

    #[test]
    fn threads_add_up() {
        let block = Block::new(2, 4);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        block.add(0, 0.5);
                        block.count(1);
                    }
                });
            }
        });
        assert!((block.float(0) - 40_000.0).abs() < f64::EPSILON);
        assert_eq!(block.integer(1), 80_000);
    }
}
