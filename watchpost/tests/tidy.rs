//! Rules about the repository that no compiler checks: who may import whom, and how files look.
//!
//! The crate graph comes from `cargo metadata`, the rest from reading the files themselves. Every rule lists all its
//! violations at once. A rule that has outlived its reason is changed here, in a commit that says why.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// What a crate of ours may import of ours.
struct Allowed {
    krate: &'static str,
    always: &'static [&'static str],
    /// And in its tests.
    in_tests: &'static [&'static str],
}

/// Bottom up. `promql` and `regexp` are pure: whatever they can reach, a query can reach.
const GRAPH: [Allowed; 9] = [
    Allowed { krate: "regexp", always: &[], in_tests: &[] },
    Allowed { krate: "proto", always: &[], in_tests: &[] },
    Allowed { krate: "service", always: &[], in_tests: &[] },
    Allowed { krate: "promql", always: &["regexp"], in_tests: &[] },
    Allowed { krate: "push", always: &["proto", "service"], in_tests: &[] },
    // regexp: filters of collectors and bodies of probes are Go's patterns.
    Allowed { krate: "exporter", always: &["proto", "push", "regexp", "service"], in_tests: &[] },
    Allowed { krate: "blackbox", always: &["proto", "push", "regexp", "service"], in_tests: &[] },
    Allowed {
        krate: "receiver",
        always: &["promql", "proto", "regexp", "service"],
        in_tests: &["receiver"],
    },
    // proto: the feed hands expositions to the receiver without a socket between them; push: by the same clock.
    Allowed {
        krate: "watchpost",
        always: &["blackbox", "exporter", "proto", "push", "receiver", "service"],
        in_tests: &["promql"],
    },
];

/// A dependency from outside that only some crates may have.
struct Fenced {
    dependency: &'static str,
    always: &'static [&'static str],
    in_tests: &'static [&'static str],
}

const FENCED: [Fenced; 5] = [
    Fenced { dependency: "sqlx", always: &["receiver"], in_tests: &["watchpost"] },
    Fenced { dependency: "prost", always: &["proto"], in_tests: &["receiver", "watchpost"] },
    Fenced {
        dependency: "tokio",
        always: &["blackbox", "exporter", "push", "receiver", "service", "watchpost"],
        in_tests: &[],
    },
    // We use rustls everywhere, so that one set of root certificates and settings applies.
    Fenced { dependency: "openssl", always: &[], in_tests: &[] },
    Fenced { dependency: "native-tls", always: &[], in_tests: &[] },
];

/// Names under which things gather that belong to two other places.
const NAMELESS: [&str; 4] = ["utils", "helpers", "common", "misc"];

/// What a line must not contain: paths of somebody's machine, and hosts of package registries, which say where
/// somebody built and not what we are. Split so that this file does not contain them.
const FORBIDDEN: [&str; 8] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("registry.npm", "js.org"),
    concat!("files.python", "hosted.org"),
    concat!("proxy.go", "lang.org"),
];

#[test]
fn crates_import_only_what_they_may() {
    let mut violations = Vec::new();
    let packages = packages();
    let ours: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    let listed: BTreeSet<&str> = GRAPH.iter().map(|allowed| allowed.krate).collect();
    assert_eq!(ours, listed, "GRAPH must list exactly the crates of the workspace");
    for Allowed { krate, always, in_tests } in GRAPH {
        for Dependency { name, is_for_tests } in &packages[krate].dependencies {
            let name = name.as_str();
            let may = always.contains(&name) || (*is_for_tests && in_tests.contains(&name));
            if ours.contains(name) && !may {
                violations.push(format!("{krate} must not import {name}"));
            }
            let fence = FENCED.iter().find(|fenced| fenced.dependency == name);
            if let Some(fence) = fence
                && !(fence.always.contains(&krate)
                    || (*is_for_tests && fence.in_tests.contains(&krate)))
            {
                violations.push(format!("{krate} must not depend on {name}"));
            }
        }
    }
    report(&violations);
}

#[test]
fn manifests_share_lints_and_versions() {
    let mut violations = Vec::new();
    for (name, package) in packages() {
        let text = fs::read_to_string(&package.manifest).unwrap();
        if !text.contains("[lints]\nworkspace = true\n") {
            violations.push(format!("{name}: Cargo.toml lacks `[lints] workspace = true`"));
        }
        // A version stated twice drifts apart.
        for line in text.lines().filter(|line| line.contains("version = \"")) {
            violations.push(format!("{name}: belongs in [workspace.dependencies]: {line}"));
        }
    }
    report(&violations);
}

#[test]
fn files_of_code_look_alike() {
    let mut violations = Vec::new();
    for file in files_of_code() {
        let shown = file.display();
        let text = fs::read_to_string(&file).unwrap();
        // Generated files say who made them instead.
        let is_generated = file.components().any(|part| part.as_os_str() == "generated");
        if !is_generated && !text.starts_with("//! ") {
            violations.push(format!("{shown}: begins without `//!` that says what it is for"));
        }
        // In two parts, or this line would be found.
        for attribute in
            [concat!("#[ign", "ore"), concat!("todo", "!("), concat!("unimplemented", "!(")]
        {
            if text.contains(attribute) {
                violations.push(format!("{shown}: has {attribute}"));
            }
        }
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if stem == "mod" {
            violations.push(format!("{shown}: modules are foo.rs with foo/, not foo/mod.rs"));
        }
        if NAMELESS.contains(&stem) {
            violations.push(format!("{shown}: its contents belong to two other places"));
        }
    }
    report(&violations);
}

#[test]
fn nothing_tells_where_it_was_made() {
    let mut violations = Vec::new();
    for file in files_of_text() {
        // What is no text has no lines to check.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            for word in FORBIDDEN {
                if line.contains(word) {
                    violations.push(format!("{}:{}: has {word}", file.display(), number + 1));
                }
            }
        }
    }
    report(&violations);
}

#[track_caller]
fn report(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

struct Package {
    manifest: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    is_for_tests: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// The crates of the workspace and what each says it depends on.
fn packages() -> BTreeMap<String, Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let dependencies = list(&package["dependencies"])
                .iter()
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]),
                    is_for_tests: dependency["kind"] == "dev",
                })
                .collect();
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            (text(&package["name"]), Package { manifest, dependencies })
        })
        .collect()
}

fn files_of_code() -> Vec<PathBuf> {
    let is_code = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "rs");
    files_of_text().into_iter().filter(is_code).collect()
}

/// Everything but what is built, fetched or kept by git.
fn files_of_text() -> Vec<PathBuf> {
    const NOT_OURS: [&str; 5] = [".git", "target", "watchpost-data", "fixtures", "corpus"];
    // The lock file names its registry by right.
    const NOT_WRITTEN: [&str; 1] = ["Cargo.lock"];
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !NOT_OURS.contains(&name) {
                folders.push(entry.path());
            } else if kind.is_file() && name != ".git" && !NOT_WRITTEN.contains(&name) {
                files.push(entry.path());
            }
        }
    }
    assert!(files.len() > 50, "the repository has more files than {}", files.len());
    files.sort();
    files
}
