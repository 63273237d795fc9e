//! Who gets a call, and whether now: balancing, circuit breakers, rate limits, retry budgets, queues.
//!
//! Each part is a small structure that knows no fleet, no protocol and no clock: whoever asks says what time it
//! is ([`Time`]), so that a test can live through an hour in a microsecond. The gateway puts them in the order of
//! a call (`rust/gateway/src/traffic`). [`pool`] and [`tls`] are what the others are not: connections to those
//! called, and the certificate for those who call.

mod balance;
mod breaker;
mod bulkhead;
mod ejection;
pub mod pool;
mod rate;
mod retry;
mod time;
pub mod tls;

pub use balance::{Balance, Candidate, Policy, warmth};
pub use breaker::{Breaker, BreakerConfig, Open, State};
pub use bulkhead::{Bulkhead, BulkheadConfig, Place, Shed, Ticket};
pub use ejection::{Ejection, EjectionConfig};
pub use rate::{Limited, Limiter, Meter, Rate};
pub use retry::{Backoff, Budget};
pub use time::Time;
