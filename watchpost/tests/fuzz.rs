//! Replays the seeds of all fuzz targets, and what fuzzing ever found, on a stable compiler. How to fuzz: `fuzz/README.md`.
//!
//! The targets are compiled into this test, because `fuzz/` is a workspace of its own.

use std::{fs, path::Path};

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "what is public in `fuzz/` is not here")]
mod targets;

#[test]
fn seeds_of_all_targets() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, target) in targets::TARGETS {
        let folder = seeds.join(name);
        let mut n_seeds = 0;
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()))
        {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            // The name of the seed stands before the panic in the output.
            println!("{}", path.display());
            target(&bytes);
            // And cut short, which is what damage looks like most often.
            target(&bytes[..bytes.len() / 2]);
            n_seeds += 1;
        }
        assert!(n_seeds > 0, "{name} has no seeds");
    }
    let known: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    for entry in fs::read_dir(&seeds).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name.as_str()), "{name} is no target");
    }
}
