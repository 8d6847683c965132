//! The committed prost code is what the .proto files say: generated anew (without protoc) and compared.
//!
//! To accept a change of the .proto files: `UPDATE_GENERATED=1 cargo test -p proto --test it`.

use std::{env, fs, path::Path};

#[test]
fn committed_code_is_what_the_proto_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    for name in ["remote_read", "remote_write_v1", "remote_write_v2"] {
        let descriptors =
            protox::compile([root.join(format!("proto/{name}.proto"))], [root.join("proto")])
                .unwrap();
        let mut config = prost_build::Config::new();
        // By hand, for the sake of −0.
        config.extern_path(".prometheus.Sample", "super::sample::One");
        config.extern_path(".io.prometheus.write.v2.Sample", "super::sample::Two");
        if name == "remote_read" {
            // What it imports is where it always was.
            config.extern_path(".prometheus.Label", "crate::remote_write::v1::Label");
            config.extern_path(".prometheus.TimeSeries", "crate::remote_write::v1::TimeSeries");
        }
        config.out_dir(out.path()).default_package_filename(name).compile_fds(descriptors).unwrap();
    }
    for (package, committed) in [
        ("prometheus.read", "remote_read"),
        ("prometheus", "remote_write_v1"),
        ("io.prometheus.write.v2", "remote_write_v2"),
    ] {
        let fresh = fs::read_to_string(out.path().join(format!("{package}.rs"))).unwrap();
        let path = root.join(format!("src/generated/{committed}.rs"));
        if env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, &fresh).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap();
        assert!(
            fresh == committed,
            "{} is stale; run: UPDATE_GENERATED=1 cargo test -p proto --test it",
            path.display()
        );
    }
}
