//! The threads that the gateway runs on, and how they take turns.
//!
//! A thread's own queue has 256 places; what finds none is served when that is empty. It never is where thousands of
//! clients are answered quickly and ask again, so that by tokio's own measures those without a place wait for seconds.
//! Here a thread takes on little at a time and finishes it: whoever the kernel says is ready first is served first. And
//! what a call needs is still in the processor's caches when its answer comes. `benches/python/gateway --sessions 10000`
//! shows both: its p99 beside its p50, and what a call costs beside one of 256 sessions.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// So many sockets and pipes at the most, that something happened on, are taken on at a time.
const MOST_EVENTS: usize = 128;
/// All that follows from them is done before more are, or so many steps of it.
const STEPS: u32 = 1024;

/// A runtime of so many threads.
///
/// # Errors
/// Where the system gives no thread or no descriptor.
pub fn runtime(workers: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("gateway")
        .max_io_events_per_tick(MOST_EVENTS)
        .event_interval(STEPS)
        .enable_all()
        .build()
}
