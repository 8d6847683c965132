//! Tasks that are stopped together.

use axum::Router;
use service::{Shutdown, web};
use tokio::task::JoinSet;
use tracing::error;

#[derive(Debug, Default)]
pub(super) struct Stage {
    stop: Shutdown,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Stage {
    /// Fires when this stage is to stop.
    pub(super) fn stop_token(&self) -> &Shutdown {
        &self.stop
    }

    pub(super) fn run(&mut self, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.tasks.spawn(task);
    }

    pub(super) fn serve(
        &mut self,
        listeners: Vec<web::Listener>,
        router: Router,
        config: web::Config,
    ) {
        self.run(web::serve(listeners, router, config, self.stop.clone()));
    }

    /// Completes when a task ended by itself, which none should. Cancel-safe.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(err))) => err,
            Some(Err(err)) => anyhow::Error::new(err).context("a part ended"),
            Some(Ok(Ok(()))) => anyhow::anyhow!("a part ended by itself"),
            None => std::future::pending().await,
        }
    }

    /// Asks all tasks to stop and waits for them.
    pub(super) async fn finish(mut self) {
        self.stop.fire();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(err)) => error!("{}", service::error::chain(err.as_ref())),
                Err(err) => error!("a part did not stop in order: {err}"),
            }
        }
    }
}
