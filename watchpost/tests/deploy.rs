//! What `deploy/` asks of containers, Kubernetes and systemd: flags that our programs have, images of this version, no
//! root, and files that the tools which read them accept, where those are installed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|err| panic!("{err}"))
}

/// Several documents of one file; comments alone are none.
fn documents(text: &str) -> Vec<Value> {
    let parts = format!("\n{text}");
    let documents = parts.split("\n---\n").map(yaml);
    documents.filter(|document| !document.is_null()).collect()
}

/// The flags of a subcommand, or of everything, by its own help.
fn flags(subcommand: Option<&str>) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    let output = command.args(subcommand).arg("--help").output().unwrap();
    assert!(output.status.success(), "{subcommand:?} --help");
    let text = String::from_utf8(output.stdout).unwrap();
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c));
    let words = text.split(ends).filter_map(|word| word.strip_prefix("--"));
    words.map(|word| word.trim_end_matches('.').to_owned()).collect()
}

/// Fails for flags and environment variables that the program would not take.
fn check_words(place: &str, words: &[String], variables: &[String]) {
    let is_program =
        |word: &&String| matches!(word.as_str(), "exporter" | "receiver" | "blackbox" | "health");
    let known = flags(words.first().filter(is_program).map(String::as_str));
    for flag in words.iter().filter_map(|word| word.strip_prefix("--")) {
        let name = flag.split('=').next().unwrap();
        assert!(known.contains(name), "{place}: there is no flag --{name}");
    }
    let twins: BTreeSet<String> = known.iter().map(|flag| service::flags::env_twin(flag)).collect();
    for variable in variables.iter().filter(|name| name.starts_with(service::flags::ENV_PREFIX)) {
        assert!(twins.contains(variable), "{place}: no flag has the variable {variable}");
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned))
        .collect()
}

/// Runs a tool that may be absent: `None`, and a loud word, if it is.
#[expect(clippy::print_stderr, reason = "a skipped check has to be seen")]
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).current_dir(root()).output() {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {arguments:?}: {errors}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: {program} {arguments:?}: {program} is not installed");
            None
        }
        Err(err) => panic!("{program}: {err}"),
    }
}

#[test]
fn compose_starts_what_our_programs_understand() {
    let compose = yaml(&read("deploy/compose.yaml"));
    let defaults = read("deploy/.env");
    assert!(defaults.contains("\nCOMPOSE_PROFILES=all-in-one\n"), "{defaults}");
    for (name, service) in compose["services"].as_object().unwrap() {
        let image = service["image"].as_str().unwrap();
        assert!(image.contains(':') && !image.ends_with(":latest"), "{name}: {image}");
        assert!(!texts(&service["profiles"]).is_empty(), "{name} would start with every profile");
        assert!(service["healthcheck"]["test"].is_array(), "{name}: health check");
        if !image.contains("/watchpost/") {
            continue;
        }
        let version = format!(":-{}}}", env!("CARGO_PKG_VERSION"));
        assert!(image.ends_with(&version), "{name}: {image} is another version");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        let variables = service["environment"].as_object().unwrap().keys().cloned();
        check_words(name, &texts(&service["command"]), &variables.collect::<Vec<_>>());
        let health = texts(&service["healthcheck"]["test"]);
        check_words(name, &health[2..], &[]);
    }
}

#[test]
fn compose_reads_the_file() {
    // A plugin of docker's, or a program of its own.
    let is_plugin = Command::new("docker")
        .args(["compose", "version"])
        .output()
        .is_ok_and(|output| output.status.success());
    let has_program = Command::new("docker-compose").arg("version").output().is_ok();
    let (program, first) = match (is_plugin, has_program) {
        (true, _) => ("docker", Some("compose")),
        (false, true) => ("docker-compose", None),
        (false, false) => {
            return eprintln!(
                "SKIPPED: docker compose is not installed, nothing read compose.yaml"
            );
        }
    };
    for (profiles, n_services) in [
        (&["all-in-one"][..], 2),
        (&["separate"], 4),
        (&["separate", "prometheus"], 6),
        (&["separate", "prometheus", "grafana"], 7),
    ] {
        let mut words: Vec<&str> = first.into_iter().collect();
        words.extend(["--env-file=/dev/null", "-f", "deploy/compose.yaml"]);
        for profile in profiles {
            words.extend(["--profile", *profile]);
        }
        words.extend(["config", "--services"]);
        let services = run(program, &words).expect("it is there");
        assert_eq!(services.lines().count(), n_services, "{profiles:?}: {services}");
    }
}

#[test]
fn the_image_is_built_from_all_crates() {
    let ignored = read(".dockerignore");
    let workspace = read("Cargo.toml");
    let members = workspace.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    for member in members.trim_end_matches(']').split(", ") {
        let line = format!("\n!{}\n", member.trim_matches('"'));
        assert!(ignored.contains(&line), ".dockerignore lacks {line}");
    }
}

#[test]
fn manifests_run_without_root_and_with_flags_that_exist() {
    let manifests = documents(&read("deploy/kubernetes/watchpost.yaml"));
    let kinds: Vec<&str> = manifests.iter().filter_map(|object| object["kind"].as_str()).collect();
    for kind in ["DaemonSet", "Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"] {
        assert!(kinds.contains(&kind), "no {kind} in {kinds:?}");
    }
    let image = format!("ghcr.io/watchpost/watchpost:{}", env!("CARGO_PKG_VERSION"));
    for object in &manifests {
        let name = object["metadata"]["name"].as_str().unwrap();
        let pod = &object["spec"]["template"]["spec"];
        let Some(containers) = pod["containers"].as_array() else { continue };
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        for container in containers {
            assert_eq!(container["image"], *image, "{name}");
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["capabilities"]["drop"][0], "ALL", "{name}");
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                assert_eq!(container[probe]["httpGet"]["port"], "http", "{name}: {probe}");
            }
            check_words(name, &texts(&container["args"]), &[]);
        }
    }
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = yaml(&read("deploy/helm/watchpost/Chart.yaml"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let schema: Value =
        serde_json::from_str(&read("deploy/helm/watchpost/values.schema.json")).unwrap();
    let values = yaml(&read("deploy/helm/watchpost/values.yaml"));
    described("values", &values, &schema);
}

/// Every value of the chart is in its schema, and the schema takes nothing else.
fn described(path: &str, values: &Value, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "{path}");
    for (key, value) in values.as_object().unwrap_or_else(|| panic!("{path}: a mapping")) {
        let Some(inner) = properties.get(key) else { panic!("{path}.{key} is not in the schema") };
        if value.is_object() {
            described(&format!("{path}.{key}"), value, inner);
        }
    }
}

#[test]
fn the_manifests_are_what_the_chart_gives() {
    let chart = "deploy/helm/watchpost";
    if run("helm", &["lint", "--strict", chart]).is_none() {
        return;
    }
    let words =
        ["template", "watchpost", chart, "--namespace", "watchpost", "--skip-tests", "--no-hooks"];
    let rendered = run("helm", &words).expect("it was there a moment ago");
    let by_name = |text: &str| -> BTreeSet<String> {
        let mut objects = documents(text);
        for object in &mut objects {
            // What tells Helm that an object is its own.
            if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
                labels.remove("helm.sh/chart");
                labels.remove("app.kubernetes.io/managed-by");
            }
        }
        objects.iter().map(Value::to_string).collect()
    };
    let committed = by_name(&read("deploy/kubernetes/watchpost.yaml"));
    let different = by_name(&rendered).symmetric_difference(&committed).next().cloned();
    assert_eq!(different, None, "render deploy/kubernetes/watchpost.yaml anew; this differs");
}
