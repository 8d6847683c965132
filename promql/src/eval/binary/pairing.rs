//! Who matches whom, and what the results are called.
//!
//! One side of every match is the "one" side; the other may have several elements for it (`group_left`,
//! `group_right`), or at each time only one. What violates that is an error only where the elements meet in time.

use hashbrown::HashMap;

use super::super::column::{Bitmap, Cell, Column};
use super::super::context::Context;
use super::super::error::EvalError;
use super::super::grid::Grid;
use super::super::operator::{Buffered, Series, Vector};
use super::kept;
use super::signature::{Signatures, signature};
use super::values::Operation;
use crate::ast::{Cardinality, Matching};
use crate::model::Labels;

pub(super) struct Plan {
    matching: Matching,
    operation: Operation,
    delayed_name_removal: bool,
    many: Vec<Series>,
    one: Vec<Series>,
    /// The group of each series of the "many" side.
    group_of: Vec<usize>,
    groups: Vec<Group>,
}

/// Everything with the same signature.
#[derive(Clone, Default)]
struct Group {
    many: Vec<usize>,
    one: Vec<usize>,
}

impl Plan {
    pub(super) fn new(
        ctx: &Context<'_>,
        many: &[Series],
        one: &[Series],
        matching: Matching,
        operation: Operation,
    ) -> Self {
        let mut signatures = Signatures::default();
        let group_of = signatures.number_all(many, &matching);
        let group_of_one = signatures.number_all(one, &matching);
        let mut groups = vec![Group::default(); signatures.len()];
        for (place, group) in group_of.iter().enumerate() {
            groups[*group].many.push(place);
        }
        for (place, group) in group_of_one.iter().enumerate() {
            groups[*group].one.push(place);
        }
        let delayed_name_removal = ctx.options.delayed_name_removal;
        Self {
            matching,
            operation,
            delayed_name_removal,
            many: many.to_vec(),
            one: one.to_vec(),
            group_of,
            groups,
        }
    }

    /// The partner and the result of each series of the "many" side, if nobody can ever have a second one.
    pub(super) fn simple(&self) -> Option<Vec<Option<(usize, Series)>>> {
        if self.matching.fill.left.is_some() || self.matching.fill.right.is_some() {
            return None;
        }
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        if self
            .groups
            .iter()
            .any(|group| group.one.len() > 1 || (one_to_one && group.many.len() > 1))
        {
            return None;
        }
        let partner = |(many, group): (usize, &usize)| {
            let one = *self.groups[*group].one.first()?;
            Some((one, self.result(&self.many[many], &self.one[one].labels)))
        };
        let places: Vec<_> = self.group_of.iter().enumerate().map(partner).collect();
        if !one_to_one {
            // Two of a group with one name between them may meet.
            let mut seen = hashbrown::HashSet::new();
            for (many, place) in places.iter().enumerate() {
                if let Some((_, series)) = place
                    && !seen.insert((self.group_of[many], series))
                {
                    return None;
                }
            }
        }
        Some(places)
    }

    /// What the result of two elements is called: after the "many" side, with what `group_left` brings along.
    fn result(&self, many: &Series, one: &Labels) -> Series {
        let mut labels = many.labels.clone();
        if self.operation.op.changes_meaning() {
            labels = labels.without_metadata();
        }
        if self.matching.cardinality == Cardinality::OneToOne {
            let listed = |name: &str| self.matching.labels.iter().any(|listed| listed == name);
            labels = labels.filter(|label| listed(&label.name) == self.matching.on);
        }
        for name in &self.matching.include {
            labels = labels.with(name, one.get(name));
        }
        if self.operation.returns_bool && !self.delayed_name_removal {
            return Series::new(labels.without_metadata());
        }
        Series { labels, drop_name: self.operation.returns_bool || many.drop_name }
    }

    /// Of the two fill values, the one for a missing element of the "many" and of the "one" side.
    fn fills(&self) -> (Option<f64>, Option<f64>) {
        // With `group_right` the sides change places, but in Prometheus the values to fill with do not.
        (self.matching.fill.left, self.matching.fill.right)
    }

    fn duplicate(&self, a: &Labels, b: &Labels) -> EvalError {
        let side =
            if self.matching.cardinality == Cardinality::OneToMany { "left" } else { "right" };
        let group = signature(a, &self.matching);
        let (first, second) = if a < b { (a, b) } else { (b, a) };
        EvalError::execution(format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];\
             many-to-many matching not allowed: matching labels must be unique on one side",
            group.braced(),
            first.braced(),
            second.braced()
        ))
    }
}

/// Results under construction.
struct Results {
    places: HashMap<Series, usize>,
    parts: Vec<(Series, Column)>,
    /// For each result (of `group_left` and `group_right`) or group (one-to-one), where a pair has met, whether or not
    /// something has come of it.
    met_by_result: Vec<Bitmap>,
    met_by_group: Vec<Bitmap>,
    grid: Grid,
}

impl Results {
    fn place(&mut self, series: Series) -> usize {
        let next = self.parts.len();
        let place = *self.places.entry(series.clone()).or_insert(next);
        if place == next {
            self.parts.push((series, Column::new(self.grid.len)));
            self.met_by_result.push(Bitmap::new(self.grid.len));
        }
        place
    }
}

/// Evaluates matches of which not all is known from labels.
pub(super) fn evaluate<'a>(
    ctx: &Context<'_>,
    plan: Plan,
    mut many: Vector<'_>,
    one: &[(Series, Column)],
    grid: &Grid,
) -> Result<Vector<'a>, EvalError> {
    let (many_fill, one_fill) = plan.fills();
    // At each time the element of the "one" side of each group, and where there are two.
    let mut owners = Vec::with_capacity(plan.groups.len());
    let mut duplicates: Vec<(Bitmap, usize, usize)> = Vec::new();
    for group in &plan.groups {
        let mut taken = Bitmap::new(grid.len);
        for (position, place) in group.one.iter().enumerate() {
            let occupied = one[*place].1.occupied();
            if taken.first_common(&occupied).is_some() {
                for other in &group.one[..position] {
                    let mut both = one[*other].1.occupied();
                    both.keep_only(&occupied);
                    if !both.is_empty() {
                        duplicates.push((both, *other, *place));
                    }
                }
            }
            taken.add_all(&occupied);
        }
        owners.push(taken);
    }
    let mut results = Results {
        places: HashMap::new(),
        parts: Vec::new(),
        met_by_result: Vec::new(),
        met_by_group: vec![Bitmap::new(grid.len); plan.groups.len()],
        grid: *grid,
    };
    ctx.hold_columns(plan.many.len().max(plan.groups.len()), grid)?;
    let mut column = Column::default();
    let mut seen = Bitmap::new(grid.len);
    for (place, series) in plan.many.iter().enumerate() {
        many.next(ctx, &mut column)?;
        seen.add_all(&column.occupied());
        let number = plan.group_of[place];
        let group = &plan.groups[number];
        let mut names: Vec<Option<usize>> = vec![None; group.one.len() + 1];
        for at in column.occupied().places() {
            let Some(cell) = column.get(at) else { continue };
            let owner = owners[number]
                .get(at)
                .then(|| group.one.iter().position(|one_at| one[*one_at].1.get(at).is_some()));
            let (partner, partner_labels, position) = match (owner.flatten(), one_fill) {
                (Some(position), _) => {
                    let (series, partner) = &one[group.one[position]];
                    let Some(partner) = partner.get(at) else { continue };
                    (partner, series.labels.clone(), position)
                }
                (None, Some(fill)) => {
                    (Cell::Float(fill), signature(&series.labels, &plan.matching), group.one.len())
                }
                (None, None) => continue,
            };
            let result = match names[position] {
                Some(result) => result,
                None => {
                    *names[position].insert(results.place(plan.result(series, &partner_labels)))
                }
            };
            let pair = Pair { at, number, result, many: cell, one: partner };
            if let Err(err) = meet(ctx, &plan, &mut results, pair) {
                // Where both sides are to blame, Prometheus says so of this one.
                return Err(match duplicates.iter().find(|(places, ..)| places.get(at)) {
                    Some((_, a, b)) => plan.duplicate(&plan.one[*a].labels, &plan.one[*b].labels),
                    None => err,
                });
            }
        }
    }
    if let Some(fill) = many_fill {
        for (number, group) in plan.groups.iter().enumerate() {
            for one_at in &group.one {
                let (series, column) = &one[*one_at];
                let mut unmatched = column.occupied();
                unmatched.remove_all(&results.met_by_group[number]);
                let many_series = Series::new(signature(&series.labels, &plan.matching));
                for at in unmatched.places() {
                    let Some(partner) = column.get(at) else { continue };
                    let result = results.place(plan.result(&many_series, &series.labels));
                    let many = Cell::Float(fill);
                    meet(
                        ctx,
                        &plan,
                        &mut results,
                        Pair { at, number, result, many, one: partner },
                    )?;
                }
            }
        }
    }
    let fills = many_fill.is_some() || one_fill.is_some();
    for (places, a, b) in &duplicates {
        // With nothing on the other side at that time nobody has looked.
        if fills || places.first_common(&seen).is_some() {
            return Err(plan.duplicate(&plan.one[*a].labels, &plan.one[*b].labels));
        }
    }
    Ok(Box::new(Buffered::new(results.parts)))
}

/// Two elements that meet at a time.
struct Pair<'c> {
    at: usize,
    number: usize,
    result: usize,
    many: Cell<'c>,
    one: Cell<'c>,
}

fn meet(
    ctx: &Context<'_>,
    plan: &Plan,
    results: &mut Results,
    pair: Pair<'_>,
) -> Result<(), EvalError> {
    let many_is_left = plan.matching.cardinality != Cardinality::OneToMany;
    let (left, right) = if many_is_left { (pair.many, pair.one) } else { (pair.one, pair.many) };
    let Some(combined) = plan.operation.apply(ctx, left, right) else { return Ok(()) };
    let met_before = results.met_by_group[pair.number].get(pair.at);
    results.met_by_group[pair.number].set(pair.at);
    if plan.matching.cardinality == Cardinality::OneToOne {
        if met_before {
            let message = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
            return Err(EvalError::execution(message));
        }
    } else {
        let met = &mut results.met_by_result[pair.result];
        if met.get(pair.at) {
            let message = "multiple matches for labels: grouping labels must ensure unique matches";
            return Err(EvalError::execution(message));
        }
        met.set(pair.at);
    }
    if let Some(value) = kept(combined, left) {
        results.parts[pair.result].1.set(pair.at, value);
    }
    Ok(())
}
