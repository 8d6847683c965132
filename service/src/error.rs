//! Printing an error once, with everything that led to it.

use std::error::Error;

/// `err` and all its sources in one line, joined by `: `.
///
/// Our error texts never repeat their source (see `CONTRIBUTING.md`), so nothing appears twice.
pub fn chain(err: &(dyn Error + 'static)) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_joined_in_order() {
        let err = anyhow::anyhow!("connection refused")
            .context("open database")
            .context("start receiver");
        assert_eq!(chain(err.as_ref()), "start receiver: open database: connection refused");
    }
}
