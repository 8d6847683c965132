//! Finer resolutions than ours become the finest we know: schemas 9 to 52 are legal on the wire, and whoever does not
//! know them merges their buckets, <https://prometheus.io/docs/specs/native_histograms/#schema>.

use promql::model::histogram::Span;

use super::{BUCKETS_MAX, LayoutError};

/// The finest schema that can be reduced.
pub const SCHEMA_REDUCIBLE_MAX: i32 = 52;

/// Merges each 2^`steps` neighbouring buckets, whose counts `add` adds up. There are as many counts as buckets in the spans.
pub fn reduce<T: Copy>(
    spans: &[Span],
    counts: &[T],
    steps: u32,
    add: impl Fn(T, T) -> T,
) -> Result<(Vec<Span>, Vec<T>), LayoutError> {
    let mut reduced: Vec<(i64, T)> = Vec::new();
    let mut rest = counts.iter();
    let mut index: i64 = 0;
    for (position, span) in spans.iter().enumerate() {
        if position > 0 && span.offset < 0 {
            return Err(LayoutError::Overlap { position });
        }
        index += i64::from(span.offset);
        for count in rest.by_ref().take(span.length as usize) {
            // Bucket i ends at base^i, so 2^steps of them end where the one with the rounded-up index does.
            let target = ((index - 1) >> steps) + 1;
            match reduced.last_mut() {
                Some((last, total)) if *last == target => *total = add(*total, *count),
                _ => reduced.push((target, *count)),
            }
            index += 1;
        }
    }
    if reduced.len() > BUCKETS_MAX {
        return Err(LayoutError::TooMany { what: "buckets" });
    }
    let mut out: Vec<Span> = Vec::new();
    let mut next: i64 = 0;
    for (index, _) in &reduced {
        match out.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => {
                let offset = i32::try_from(*index - next).map_err(|_| LayoutError::Index)?;
                out.push(Span { offset, length: 1 });
            }
        }
        next = *index + 1;
    }
    Ok((out, reduced.into_iter().map(|(_, count)| count).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_end_at_even_indexes() {
        let spans = [Span { offset: -3, length: 4 }, Span { offset: 5, length: 1 }];
        let (reduced, counts) =
            reduce(&spans, &[1u64, 2, 3, 4, 5], 1, u64::saturating_add).unwrap();
        // (-3 -2), (-1 0), (5 6)
        assert_eq!(counts, [3, 7, 5]);
        assert_eq!(reduced, [Span { offset: -1, length: 2 }, Span { offset: 2, length: 1 }]);
        let (spans, counts) = reduce(&spans, &[1u64, 2, 3, 4, 5], 44, u64::saturating_add).unwrap();
        assert_eq!((spans, counts), (vec![Span { offset: 0, length: 2 }], vec![10, 5]));
    }
}
