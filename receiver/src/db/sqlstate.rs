//! What PostgreSQL's errors mean for whoever sent the data.
//!
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

/// Whether the same request may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Overload, restart, failover, a lost connection, a full disk: try again.
    MayPass,
    /// The data itself is refused and always will be.
    NeverPasses,
}

/// `partition of relation not found for row`: the partition manager is late.
pub const NO_PARTITION: &str = "23514";
/// A unique index has the key already.
pub const UNIQUE_VIOLATION: &str = "23505";
/// Two transactions waited for each other, and this one was chosen to give up.
pub const DEADLOCK: &str = "40P01";
/// A table or index of that name is there already.
pub const DUPLICATE_TABLE: &str = "42P07";
/// There is no such table.
pub const UNDEFINED_TABLE: &str = "42P01";
/// Somebody else holds the lock: at once with NOWAIT, or after `lock_timeout`.
pub const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Something else has to happen before, such as the end of a detachment that is pending.
pub const NOT_IN_STATE: &str = "55000";

/// Judges an error by its SQLSTATE; without one, it is the connection that failed.
pub fn outlook(err: &sqlx::Error) -> Outlook {
    match code(err).as_deref() {
        // Data exceptions, integrity, program limits, cardinality: the data's fault.
        Some(code) if ["22", "23", "54", "21"].iter().any(|class| code.starts_with(class)) => {
            Outlook::NeverPasses
        }
        _ => Outlook::MayPass,
    }
}

/// The SQLSTATE, if the server sent one.
pub fn code(err: &sqlx::Error) -> Option<String> {
    match err {
        sqlx::Error::Database(err) => err.code().map(std::borrow::Cow::into_owned),
        _ => None,
    }
}

/// Whether the server sent this SQLSTATE.
pub fn is(err: &sqlx::Error, state: &str) -> bool {
    code(err).as_deref() == Some(state)
}

/// Whether it is certain that a statement which failed with this error left nothing behind.
///
/// Mostly so if the server said so. But it may also say that it ends the connection, after it had committed, or that it
/// does not know.
pub fn is_certain(err: &sqlx::Error) -> bool {
    code(err).is_some_and(|code| {
        !["57P", "08", "40003"].iter().any(|uncertain| code.starts_with(uncertain))
    })
}
