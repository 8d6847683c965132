//! A collector in two halves: what reads the system, and what makes families of the facts.
//!
//! Where a system can only be seen through its own calls, reading is kept thin and needs that system; the other half is
//! a function of plain values, which is tested everywhere.

use std::io;

use proto::exposition::Exposition;

use super::{Collector, Error};

/// Reads facts, then writes them.
pub(super) struct Halves<R, W> {
    pub(super) read: R,
    pub(super) write: W,
}

impl<F, R, W> Collector for Halves<R, W>
where
    R: FnMut() -> Result<F, Error> + Send,
    W: Fn(&F, &mut Exposition) + Send,
{
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let facts = (self.read)()?;
        (self.write)(&facts, out);
        Ok(())
    }
}

/// The same for facts that are a list.
pub(super) fn list<T: 'static>(
    read: impl FnMut() -> Result<Vec<T>, Error> + Send + 'static,
    write: fn(&[T], &mut Exposition),
) -> Box<dyn Collector> {
    Box::new(Halves { read, write: move |all: &Vec<T>, out: &mut Exposition| write(all, out) })
}

/// What `result` is, or which call failed.
pub(super) fn said<T>(call: &'static str, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::System { call, source })
}

/// The same of what `sysinfo` answers.
pub(super) fn told<T>(call: &'static str, result: Result<T, sysinfo::Error>) -> Result<T, Error> {
    said(call, result.map_err(|err| io::Error::other(err.to_string())))
}

/// What is in `slot`, which is made when it is first asked for.
pub(super) fn kept<T>(
    slot: &mut Option<T>,
    make: fn() -> Result<T, sysinfo::Error>,
) -> Result<&mut T, Error> {
    match slot {
        Some(made) => Ok(made),
        None => Ok(slot.insert(told("begin to look at the system", make())?)),
    }
}
