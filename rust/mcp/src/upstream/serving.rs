//! Requests of the server's that are being answered.

use std::future::Future;

use ahash::HashMap;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::jsonrpc::{INTERNAL_ERROR, INVALID_REQUEST, RpcError};
use crate::raw::RawJson;

/// More at once than this is no server one would want to answer.
const MOST: usize = 1000;

/// The tasks that answer, by the server's id. The lock guards map operations only.
#[derive(Debug, Default)]
pub(super) struct Serving(Mutex<HashMap<RawJson, Option<AbortHandle>>>);

impl Serving {
    /// Starts answering, unless there is too much of it or the id is taken.
    pub(super) fn start(
        &self,
        id: &RawJson,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), RpcError> {
        {
            let mut tasks = self.0.lock();
            if tasks.contains_key(id) {
                return Err(RpcError::new(
                    INVALID_REQUEST,
                    format!("a request with the id {} is in flight", id.as_str()),
                ));
            }
            if tasks.len() >= MOST {
                return Err(RpcError::new(
                    INTERNAL_ERROR,
                    format!("{MOST} requests of this server are in flight"),
                ));
            }
            tasks.insert(id.clone(), None);
        }
        // Spawned outside the lock: the task may end, and want its entry gone, before this line does.
        let handle = tokio::spawn(task).abort_handle();
        if let Some(entry) = self.0.lock().get_mut(id) {
            *entry = Some(handle);
        }
        Ok(())
    }

    /// Whether the answer is still wanted; it is not wanted twice.
    pub(super) fn end(&self, id: &RawJson) -> bool {
        self.0.lock().remove(id).is_some()
    }

    /// The server wants no answer any more.
    pub(super) fn cancel(&self, id: &RawJson) {
        if let Some(Some(task)) = self.0.lock().remove(id) {
            task.abort();
        }
    }

    /// Nobody wants any answer any more.
    pub(super) fn clear(&self) {
        for (_, task) in self.0.lock().drain() {
            if let Some(task) = task {
                task.abort();
            }
        }
    }
}
