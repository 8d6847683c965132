//! A runtime of a collector's own, for what can only be asked asynchronously: collectors run outside of the program's.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use super::Error;

/// Started when it is first needed; has no thread of its own.
#[derive(Debug, Default)]
pub(super) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(super) fn block_on<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Error> {
        let runtime = match self.0.take() {
            Some(runtime) => runtime,
            None => Builder::new_current_thread().enable_all().build().map_err(|source| {
                Error::System { call: "start a runtime for a collector", source }
            })?,
        };
        Ok(self.0.insert(runtime).block_on(future))
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // Dropping a runtime waits, which another runtime's thread must not.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
