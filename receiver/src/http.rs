//! All that is served over HTTP. Only this module knows status codes.
//!
//! | endpoint | what |
//! |---|---|
//! | `POST /api/v1/write`, `/api/v1/push` | remote write 1.0 and 2.0 ([`write`]) |
//! | `GET`, `POST /api/v1/query`, `/query_range`, `/series`, `/labels`, … | Prometheus' query API ([`query`]) |
//! | `GET /api/v1/metadata` | type, unit and help of metrics ([`metadata`]) |
//! | `POST /api/v1/read` | remote read ([`remote_read`]) |
//! | `POST`, `PUT /api/v1/admin/tsdb/delete_series` | deletion by selector ([`admin`]) |
//! | `GET`, `POST /api/v1/admin/tokens`, `DELETE /api/v1/admin/tokens/{id}` | bearer tokens ([`tokens`]) |
//! | `GET /api/v1/status/storage` | what takes how much space ([`status`]) |
//! | `GET /api/v1/agents`, `POST /api/v1/agents/register`, `/live`, `/settings`, `/forget` | agents ([`agents`]) |
//! | `GET /api/v1/sd` | agents as Prometheus' HTTP service discovery ([`agents`]) |
//! | `GET /api/v1/live`, `/api/v1/live/snapshot` | live updates ([`live`]) |
//! | `GET /`, `/servers/…`, `/monitors`, `/status`, `/assets/…` | the console ([`console`]) |
//! | `GET /-/healthy`, `/-/ready`, `/metrics`, `POST /-/reload`, `/-/quit` | `service::admin` |
//!
//! Who may use which of them is said in one table, [`auth::NEEDS`]; a route that is missing there is not served.

pub mod admin;
pub(crate) mod agents;
pub mod auth;
pub mod console;
mod error;
pub mod live;
pub(crate) mod metadata;
pub(crate) mod query;
pub(crate) mod remote_read;
pub mod status;
#[cfg(feature = "testing")]
pub mod testing;
pub(crate) mod tokens;
mod write;

use axum::Router;

use crate::ingest::Ingest;

/// What the handlers work with. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) ingest: Ingest,
    pub(crate) write_shield: write::Shield,
}

impl App {
    pub(crate) fn new(ingest: Ingest) -> Self {
        let write_shield = write::Shield::new(ingest.limits());
        Self { ingest, write_shield }
    }
}

/// All routes but those of `service::admin`.
pub(crate) fn router(app: App) -> Router {
    Router::new().merge(write::router()).with_state(app)
}
