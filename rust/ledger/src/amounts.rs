//! Amounts: how much of each dimension.

use std::fmt;

use crate::size::format_size;

/// How many dimensions there are.
pub const DIMENSIONS: usize = 4;

/// One kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Processor time, in thousandths of a CPU.
    Cpus,
    /// Memory, in bytes.
    Memory,
    /// Disk space, in bytes.
    Storage,
    /// GPUs, in thousandths of one.
    Gpus,
}

impl Dimension {
    /// Every dimension, in the order of [`Amounts::as_array`].
    pub const ALL: [Self; DIMENSIONS] = [Self::Cpus, Self::Memory, Self::Storage, Self::Gpus];

    /// The name users know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpus => "cpus",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Gpus => "gpus",
        }
    }

    /// The dimension of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dimension| dimension.as_str() == name)
    }

    /// An amount of this dimension, as people write it: `0.5`, `512Mi`.
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Cpus | Self::Gpus if amount.is_multiple_of(1000) => (amount / 1000).to_string(),
            Self::Cpus | Self::Gpus => {
                let thousandths = format!("{:03}", amount % 1000);
                format!("{}.{}", amount / 1000, thousandths.trim_end_matches('0'))
            }
            Self::Memory | Self::Storage => format_size(amount),
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount of every dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Amounts {
    /// Thousandths of a CPU.
    pub cpu_milli: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of disk.
    pub storage: u64,
    /// Thousandths of a GPU.
    pub gpu_milli: u64,
}

impl Amounts {
    /// The amounts in the order of [`Dimension::ALL`].
    #[inline]
    pub fn as_array(self) -> [u64; DIMENSIONS] {
        [self.cpu_milli, self.memory, self.storage, self.gpu_milli]
    }

    /// The inverse of [`as_array`](Self::as_array).
    #[inline]
    pub fn from_array([cpu_milli, memory, storage, gpu_milli]: [u64; DIMENSIONS]) -> Self {
        Self {
            cpu_milli,
            memory,
            storage,
            gpu_milli,
        }
    }

    /// How much of one dimension.
    pub fn of(self, dimension: Dimension) -> u64 {
        self.as_array()[dimension as usize]
    }

    /// The sum, or `None` where a dimension overflows.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let mut sum = self.as_array();
        for (sum, more) in sum.iter_mut().zip(other.as_array()) {
            *sum = sum.checked_add(more)?;
        }
        Some(Self::from_array(sum))
    }

    /// The difference, zero where it would be negative.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        let mut left = self.as_array();
        for (left, less) in left.iter_mut().zip(other.as_array()) {
            *left = left.saturating_sub(less);
        }
        Self::from_array(left)
    }

    /// The smaller of each dimension.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        let (mut least, other) = (self.as_array(), other.as_array());
        for (least, other) in least.iter_mut().zip(other) {
            *least = (*least).min(other);
        }
        Self::from_array(least)
    }

    /// Whether there is nothing of anything.
    #[inline]
    pub fn is_zero(self) -> bool {
        self.as_array() == [0; DIMENSIONS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(Dimension::Cpus.show(1500), "1.5");
        assert_eq!(Dimension::Gpus.show(2000), "2");
        assert_eq!(Dimension::Cpus.show(50), "0.05");
        assert_eq!(Dimension::Memory.show(512 << 20), "512Mi");
        assert_eq!(Dimension::parse("gpus"), Some(Dimension::Gpus));
    }
}
