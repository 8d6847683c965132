//! What all parts of one evaluation share.

use std::cell::{Cell, RefCell};

use super::error::{EvalError, Interrupt};
use super::grid::Grid;
use super::{Options, Times};
use crate::ast::Span;
use crate::model::{Annotation, Annotations, Labels};
use crate::source::{Select, SeriesSet, Source};

pub(crate) struct Context<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) options: &'a Options,
    pub(crate) times: Times,
    text: &'a str,
    interrupt: &'a dyn Interrupt,
    annotations: RefCell<Annotations>,
    bytes_held: Cell<u64>,
    samples_read: Cell<u64>,
    notes_resets: Cell<bool>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        options: &'a Options,
        times: Times,
        text: &'a str,
        interrupt: &'a dyn Interrupt,
    ) -> Self {
        Self {
            source,
            options,
            times,
            text,
            interrupt,
            annotations: RefCell::default(),
            bytes_held: Cell::new(0),
            samples_read: Cell::new(0),
            notes_resets: Cell::new(false),
        }
    }

    /// Whether selectors that are built now are to say of each histogram whether it follows a reset.
    ///
    /// Prometheus decodes only count and sum for `histogram_count` and its like, and notes resets on the way; sums of
    /// histograms warn when they meet contradicting notes. So that they warn here, too, resets are noted there.
    pub(crate) fn notes_resets(&self) -> bool {
        self.notes_resets.get()
    }

    /// Builds a part of the query with or without noting resets.
    pub(crate) fn noting_resets<T>(&self, notes: bool, build: impl FnOnce() -> T) -> T {
        let before = self.notes_resets.replace(notes);
        let built = build();
        self.notes_resets.set(before);
        built
    }

    /// Adds an annotation about a place in the query.
    pub(crate) fn annotate(&self, span: Span, annotation: Annotation) {
        self.annotations.borrow_mut().add(annotation, span.position(self.text));
    }

    pub(crate) fn into_annotations(self) -> (Annotations, u64) {
        (self.annotations.into_inner(), self.samples_read.get())
    }

    pub(crate) fn check_interrupt(&self) -> Result<(), EvalError> {
        Ok(self.interrupt.check()?)
    }

    /// Accounts for memory that is held until the query ends.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), EvalError> {
        let held = self.bytes_held.get().saturating_add(bytes as u64);
        self.bytes_held.set(held);
        if held > self.options.limits.bytes_max { Err(EvalError::TooManySamples) } else { Ok(()) }
    }

    /// Accounts for columns of a number of series that are held until the query ends.
    pub(crate) fn hold_columns(&self, n_series: usize, grid: &Grid) -> Result<(), EvalError> {
        self.hold(n_series.saturating_mul(grid.len.saturating_mul(8).saturating_add(grid.len / 8)))
    }

    pub(crate) fn count_samples(&self, read: usize) -> Result<(), EvalError> {
        let total = self.samples_read.get() + read as u64;
        self.samples_read.set(total);
        if total > self.options.limits.samples_max {
            Err(EvalError::TooManySamples)
        } else {
            Ok(())
        }
    }

    pub(crate) fn select(
        &self,
        request: &Select<'_>,
    ) -> Result<Box<dyn SeriesSet + 'a>, EvalError> {
        self.check_interrupt()?;
        let set = self.source.select(request)?;
        self.hold(set.labels().len().saturating_mul(size_of::<Labels>() + 64))?;
        Ok(set)
    }
}
