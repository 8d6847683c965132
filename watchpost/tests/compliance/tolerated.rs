//! Differences that stay, each with its reason.

use crate::pair::Answer;

/// Whether the answers may differ for a reason that is known.
pub(crate) fn is(query: &str, reference: &Answer, ours: &Answer) -> bool {
    is_not_utf8(query, reference, ours)
}

/// `"\xff"`: our strings are UTF-8, so the parser refuses what Prometheus refuses when it is used as a name.
fn is_not_utf8(query: &str, reference: &Answer, ours: &Answer) -> bool {
    query.contains("\\xff")
        && reference.status == 422
        && ours.status == 400
        && ours.text.contains("string is not valid UTF-8")
}
