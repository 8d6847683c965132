//! The version of macOS, from `SystemVersion.plist`.

use proto::exposition::{Exposition, Kind};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Release {
    /// `macOS`.
    pub(super) name: String,
    /// Such as `14.5`.
    pub(super) version: String,
    /// Such as `23F79`.
    pub(super) build: String,
}

impl Release {
    /// Takes three values out of a property list in XML; what is missing is empty.
    ///
    /// The file is the system's own and has one element a line, so that no parser of XML is needed.
    pub(super) fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let after = text.split_once(&format!("<key>{key}</key>"))?.1.trim_start();
            let value = after.strip_prefix("<string>")?.split_once("</string>")?.0;
            Some(value.trim().to_owned())
        };
        let text_of = |key| value(key).unwrap_or_default();
        Self {
            name: text_of("ProductName"),
            version: text_of("ProductVersion"),
            build: text_of("ProductBuildVersion"),
        }
    }

    /// `14.5` of `14.5.1`.
    fn major_minor(&self) -> Option<f64> {
        let mut parts = self.version.split('.');
        let major = parts.next()?;
        let number = match parts.next() {
            Some(minor) => format!("{major}.{minor}").parse().ok()?,
            None => major.parse().ok()?,
        };
        (number > 0.0).then_some(number)
    }
}

pub(super) fn write(release: &Release, out: &mut Exposition) {
    out.family(
        "node_os_info",
        "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.",
        Kind::Gauge,
    )
    .sample(
        &[
            ("build_id", release.build.as_str()),
            ("id", ""),
            ("id_like", ""),
            ("image_id", ""),
            ("image_version", ""),
            ("name", &release.name),
            ("pretty_name", ""),
            ("variant", ""),
            ("variant_id", ""),
            ("version", &release.version),
            ("version_codename", ""),
            ("version_id", &release.version),
        ],
        1.0,
    );
    if let Some(number) = release.major_minor() {
        out.family(
            "node_os_version",
            "Metric containing the major.minor part of the OS version.",
            Kind::Gauge,
        )
        .sample(&[("id", ""), ("id_like", ""), ("name", &release.name)], number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_lists() {
        let text = "<?xml version=\"1.0\"?>\n<plist version=\"1.0\">\n<dict>\n\
            \t<key>ProductBuildVersion</key>\n\t<string>23F79</string>\n\
            \t<key>ProductName</key>\n\t<string>macOS</string>\n\
            \t<key>ProductVersion</key>\n\t<string>14.5.1</string>\n</dict>\n</plist>\n";
        let release = Release::parse(text);
        assert_eq!(
            release,
            Release { name: "macOS".into(), version: "14.5.1".into(), build: "23F79".into() }
        );
        assert_eq!(release.major_minor(), Some(14.5));
        for garbage in ["", "<key>ProductName</key>", "<key>ProductName</key><string>x", "\u{0}"] {
            assert_eq!(Release::parse(garbage), Release::default(), "{garbage}");
        }
        let odd = Release { version: "beta".into(), ..Release::default() };
        assert_eq!(odd.major_minor(), None);
    }
}
