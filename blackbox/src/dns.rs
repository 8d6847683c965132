//! DNS messages (RFC 1035): for the prober that looks into them, and for modules that name the servers to ask.

mod addresses;
pub(crate) mod codes;
mod message;
pub(crate) mod name;
mod record;

pub(crate) use self::{
    addresses::Addresses,
    message::{Message, Question, random_id},
    record::Record,
};

/// Whether a name can be asked for.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    name::to_wire(name).map(drop)
}
