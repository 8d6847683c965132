//! exporter: see Cargo.toml for what it is for; the parts land one by one.
