//! Live updates: committed samples pushed to whoever watches.
//!
//! ```text
//! ingest ── publish ──► Hub ──► Channel ──► Outbox ──► WebSocket
//!                        │         │ snapshot, ring
//!                      Source ─────┘ (the store: which series there are, their past)
//! ```
//!
//! - [`Hub`] takes what was committed and tells the channels; one for the process.
//! - A channel is one thing subscribed to — a selector's series or a view — shared by all its subscribers. Its
//!   engine (`raw`, `hosts`, `monitors`) computes what to say, once; the bytes are shared.
//! - An outbox holds what one client has not taken yet, merged so that a slow client costs little and harms nobody.
//! - [`Session`] speaks the protocol (`docs/live.md`); `http::live` lends it a WebSocket.

mod channel;
mod derive;
mod engine;
mod frame;
mod history;
mod hosts;
mod hub;
pub mod memory;
mod metrics;
mod monitors;
mod outbox;
pub mod protocol;
mod raw;
mod session;
pub mod source;
mod topic;

pub use engine::Window;
pub use hub::Hub;
pub use metrics::Metrics;
pub use session::{Action, Outcome, Session, Work};
pub use source::{Committed, Source};
pub use topic::Topic;
