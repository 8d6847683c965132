//! Values of metric labels from closed enums, spelled as Prometheus' conventions have them.

use std::fmt::{self, Debug, Write};

use prometheus_client::encoding::LabelValueEncoder;

/// Makes the variants of field-less enums that are [`Debug`] values of a metric's label, in snake case: `PushedBack` is
/// `pushed_back`.
///
/// ```
/// #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
/// enum Outcome {
///     Stored,
///     PushedBack,
/// }
///
/// service::label_values!(Outcome);
/// ```
#[macro_export]
macro_rules! label_values {
    ($($name:ty),+ $(,)?) => {$(
        impl ::prometheus_client::encoding::EncodeLabelValue for $name {
            fn encode(
                &self,
                encoder: &mut ::prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> ::core::result::Result<(), ::core::fmt::Error> {
                $crate::metrics::label::encode(self, encoder)
            }
        }
    )+};
}

/// Writes the name of a variant in snake case. For [`label_values!`](crate::label_values).
pub fn encode(variant: &dyn Debug, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
    write!(Snake { out: encoder, is_first: true }, "{variant:?}")
}

/// Puts text through in snake case.
struct Snake<W> {
    out: W,
    is_first: bool,
}

impl<W: Write> Write for Snake<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_uppercase() && !self.is_first {
                self.out.write_char('_')?;
            }
            self.is_first = false;
            self.out.write_char(character.to_ascii_lowercase())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::{
        encoding::{EncodeLabelSet, text},
        metrics::{counter::Counter, family::Family},
        registry::Registry,
    };

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum Outcome {
        Stored,
        PushedBack,
    }

    crate::label_values!(Outcome);

    #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct Labels {
        outcome: Outcome,
    }

    #[test]
    fn variants_are_in_snake_case() {
        let family = Family::<Labels, Counter>::default();
        let mut registry = Registry::default();
        registry.register("x", "X", family.clone());
        for outcome in [Outcome::Stored, Outcome::PushedBack] {
            family.get_or_create(&Labels { outcome }).inc();
        }
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        for line in ["x_total{outcome=\"stored\"} 1\n", "x_total{outcome=\"pushed_back\"} 1\n"] {
            assert!(page.contains(line), "{page}");
        }
    }
}
