//! Why the ledger or the ports refuse.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::amounts::{DIMENSIONS, Dimension};

/// Why a reservation or a return was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// There is too little left of something.
    #[error(transparent)]
    DoesNotFit(Box<Refusal>),
    /// The holder has a reservation in this pool already.
    #[error("`{holder}` holds a reservation in pool `{pool}` already")]
    AlreadyHeld {
        /// The pool.
        pool: String,
        /// The holder.
        holder: String,
    },
    /// The holder has no reservation in this pool, or gave it back before.
    #[error("`{holder}` holds nothing in pool `{pool}`")]
    NotHeld {
        /// The pool.
        pool: String,
        /// The holder.
        holder: String,
    },
    /// There is no pool of this name.
    #[error("there is no pool `{pool}`")]
    UnknownPool {
        /// The name asked for.
        pool: String,
    },
    /// The pool is still held from, or has pools inside it.
    #[error("pool `{pool}` is in use: give back what is held of it first")]
    PoolInUse {
        /// The pool.
        pool: String,
    },
    /// There is a pool of this name already.
    #[error("there is a pool `{pool}` already")]
    PoolExists {
        /// The name asked for.
        pool: String,
    },
    /// The pool's books were laid out for smaller numbers.
    #[error("pool `{pool}` cannot grow to so much {dimension}: make another pool")]
    TooLarge {
        /// The pool.
        pool: String,
        /// The dimension.
        dimension: Dimension,
    },
    /// Packed records or handles with a part of one at their end.
    #[error("{bytes} bytes are no whole number of {what} of {each} bytes")]
    Ragged {
        /// How many bytes were given.
        bytes: usize,
        /// What they should be.
        what: &'static str,
        /// How long each is.
        each: usize,
    },
    /// A batch would hold more than it can name.
    #[error(
        "the batch of `{holder}` holds {held} reservations; {more} more are over the {most} it can hold"
    )]
    BatchFull {
        /// Who owns it.
        holder: String,
        /// How many it holds.
        held: usize,
        /// How many were asked for.
        more: usize,
        /// How many it can hold.
        most: usize,
    },
}

/// A request that does not fit, with all that is needed to say why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The pool that refused.
    pub pool: String,
    /// Who asked; the first holder of a batch.
    pub holder: String,
    /// Every dimension there is too little of; at least one.
    pub shortages: Vec<Shortage>,
    /// The largest holders of the first of them, most first.
    pub holders: Vec<(String, u64)>,
}

/// One dimension there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The dimension.
    pub dimension: Dimension,
    /// How much was asked for.
    pub asked: u64,
    /// How much is left.
    pub free: u64,
    /// How much there is in all, over-commitment included.
    pub capacity: u64,
}

/// A request and what was left at the moment it did not fit. Costs nothing to make: most are only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    pub(crate) want: [u64; DIMENSIONS],
    pub(crate) free: [u64; DIMENSIONS],
    pub(crate) capacity: [u64; DIMENSIONS],
}

impl Short {
    /// Every dimension in which more was asked for than was left.
    pub(crate) fn shortages(&self) -> Vec<Shortage> {
        let shortage = |d: usize| {
            let short = Shortage {
                dimension: Dimension::ALL[d],
                asked: self.want[d],
                free: self.free[d],
                capacity: self.capacity[d],
            };
            (self.want[d] > self.free[d]).then_some(short)
        };
        (0..DIMENSIONS).filter_map(shortage).collect()
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` does not fit into pool `{}`: ",
            self.holder, self.pool
        )?;
        for (
            i,
            Shortage {
                dimension,
                asked,
                free,
                capacity,
            },
        ) in self.shortages.iter().enumerate()
        {
            let comma = if i == 0 { "" } else { ", " };
            let [asked, free, capacity] =
                [asked, free, capacity].map(|&amount| dimension.show(amount));
            write!(
                f,
                "{comma}{dimension} {asked} asked, {free} of {capacity} free"
            )?;
        }
        let Some(first) = self.shortages.first() else {
            return Ok(());
        };
        for (i, (holder, amount)) in self.holders.iter().enumerate() {
            let lead = if i == 0 { "; held by " } else { ", " };
            write!(f, "{lead}`{holder}` {}", first.dimension.show(*amount))?;
        }
        Ok(())
    }
}

/// Why a port could not be leased.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PortError {
    /// The port that was asked for by number is leased already.
    #[error("port {port} is held by `{holder}`")]
    Held {
        /// The port asked for.
        port: u16,
        /// Who holds it.
        holder: String,
    },
    /// Somebody on this machine who is not of the fleet listens on the port.
    #[error("port {port} is used by a process outside the fleet")]
    Stranger {
        /// The port asked for.
        port: u16,
    },
    /// The system does not let us listen there, for another reason.
    #[error("cannot listen on port {port} of {host}: {reason}")]
    Bind {
        /// The address.
        host: IpAddr,
        /// The port.
        port: u16,
        /// What the system says.
        reason: String,
    },
    /// There are not so many free ports in a row.
    #[error("no {count} ports in a row are free in {first}-{last}")]
    NoRun {
        /// How many were asked for.
        count: u16,
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// Every port of the range is held, or used by a stranger.
    #[error("no port is free in {first}-{last}")]
    Exhausted {
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// The lease was given back before, or the port is not leased.
    #[error("port {port} is not leased")]
    NotHeld {
        /// The port.
        port: u16,
    },
    /// The range is empty or begins at 0.
    #[error("{first}-{last} is not a range of ports")]
    InvalidRange {
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
}
