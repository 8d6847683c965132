//! Prometheus-style flags: dotted long names, `--no-x` for every boolean, an environment twin for each.
//!
//! - `--web.listen-address` can also be given as `WATCHPOST_WEB_LISTEN_ADDRESS`. A flag wins over its twin, a twin
//!   over the default. An empty twin counts as not given, because that is what `${VAR:-}` in a Compose file makes.
//! - `--web.quiet` has `--no-web.quiet`; the last one wins. The twin of a boolean takes `true`, `false`, `1` or `0`.
//! - A flag of type [`Secret`] has a second twin, `WATCHPOST_X_FILE`, naming a file that holds the value: the
//!   secrets of Docker and Kubernetes are files.
//! - Bad usage exits with code 2 before any port is bound; `--version` and `--help` exit with 0.
//!
//! Words are read twice. The first reading is for people: there a boolean is a switch without a value, which gives
//! the help and the errors one expects. In the second, `--x` and `--no-x` are one flag with a value, so that the
//! negation also wins over a twin or a default that says true.

use std::{any::TypeId, env, ffi::OsString, path::Path};

use clap::{
    Arg, ArgAction, ArgMatches, Command, Parser,
    builder::{BoolishValueParser, OsStr},
    error::ErrorKind,
};

use crate::{Secret, error, version};

/// The prefix of all environment twins.
pub const ENV_PREFIX: &str = "WATCHPOST_";

/// Ends the help of every program.
const RULES: &str = "Every flag has an environment twin: --web.listen-address is WATCHPOST_WEB_LISTEN_ADDRESS. \
                     Every boolean --x also has the form --no-x.";

/// Parses the command line of this process; bad usage prints what is wrong and exits with code 2.
pub fn parse<T: Parser>() -> T {
    match parse_words(env::args_os().collect()) {
        Ok(args) => args,
        Err(err) => err.exit(),
    }
}

/// The same for given words; the first is the program's name.
pub fn parse_from<T: Parser>(words: &[&str]) -> Result<T, clap::Error> {
    parse_words(words.iter().map(OsString::from).collect())
}

fn parse_words<T: Parser>(words: Vec<OsString>) -> Result<T, clap::Error> {
    prepare(T::command()).try_get_matches_from(&words)?;
    let mut switches = Vec::new();
    collect_switches(&T::command(), &mut switches);
    let plain = words_without_negations(words, &switches);
    let mut matches: ArgMatches = with_values(with_twins(T::command()))
        .and_then(|command| command.try_get_matches_from(plain))?;
    T::from_arg_matches_mut(&mut matches).map_err(|err| err.format(&mut prepare(T::command())))
}

/// A command as its users see it, for help, manuals and tests: with twins, `--no-x` forms and a version.
pub fn prepare(command: Command) -> Command {
    let program = command.get_name().to_owned();
    prepare_for(&program, command)
}

fn prepare_for(program: &str, command: Command) -> Command {
    let negations: Vec<Arg> = command
        .get_arguments()
        .filter(|arg| is_switch(arg))
        .filter_map(|arg| Some((arg.get_id().clone(), arg.get_long()?.to_owned())))
        .map(|(id, long)| {
            Arg::new(format!("no-{id}"))
                .long(format!("no-{long}"))
                .action(ArgAction::SetTrue)
                .overrides_with(id)
                .hide(true)
        })
        .collect();
    // clap prints the display name, a space and the version.
    let mut prepared = with_own_twins(command, Reading::ForPeople)
        .args(negations)
        .display_name(format!("{program},"))
        .version(version::text());
    if prepared.get_after_help().is_none() {
        prepared = prepared.after_help(RULES);
    }
    for name in names_of_subcommands(&prepared) {
        prepared = prepared.mut_subcommand(name, |sub| prepare_for(program, sub));
    }
    prepared
}

/// `web.listen-address` → `WATCHPOST_WEB_LISTEN_ADDRESS`.
pub fn env_twin(long: &str) -> String {
    let mut twin = String::from(ENV_PREFIX);
    twin.extend(
        long.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }),
    );
    twin
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn names_of_subcommands(command: &Command) -> Vec<String> {
    command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    ForPeople,
    ForValues,
}

/// Gives every flag of this command its twin; those of subcommands are not touched.
fn with_own_twins(command: Command, reading: Reading) -> Command {
    command.mut_args(|arg| {
        let (Some(long), None) = (arg.get_long(), arg.get_env()) else { return arg };
        // To clap, a switch that its twin turns on and its `--no-x` form would contradict each other.
        let is_later = is_switch(&arg) && reading == Reading::ForPeople;
        if matches!(long, "help" | "version") || is_later {
            return arg;
        }
        let twin = env_twin(long);
        // Not attached when empty: then clap would take the empty text for a value.
        if env::var_os(&twin).is_some_and(|value| value.is_empty()) {
            return arg;
        }
        arg.env(twin).hide_env(true)
    })
}

fn with_twins(command: Command) -> Command {
    let mut twinned = with_own_twins(command, Reading::ForValues);
    for name in names_of_subcommands(&twinned) {
        twinned = twinned.mut_subcommand(name, with_twins);
    }
    twinned
}

/// The form of the second reading: switches take a value, secrets may come from a file.
fn with_values(command: Command) -> Result<Command, clap::Error> {
    let mut failed = None;
    let mut valued = command.mut_args(|arg| {
        if is_switch(&arg) {
            return with_value(arg);
        }
        match from_secret_file(arg.clone()) {
            Ok(from_file) => from_file,
            Err(err) => {
                failed = Some(err);
                arg
            }
        }
    });
    if let Some(err) = failed {
        return Err(err);
    }
    for name in names_of_subcommands(&valued) {
        let sub = valued.find_subcommand(&name).expect("its name was just read").clone();
        let sub = with_values(sub)?;
        valued = valued.mut_subcommand(name, |_| sub);
    }
    Ok(valued)
}

fn with_value(arg: Arg) -> Arg {
    let id = arg.get_id().clone();
    let by_default = match arg.get_default_values() {
        [] => OsStr::from("false"),
        values => values[0].clone(),
    };
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value(by_default)
        .value_parser(BoolishValueParser::new())
        .overrides_with(id)
}

fn from_secret_file(arg: Arg) -> Result<Arg, clap::Error> {
    let is_secret = arg.get_value_parser().type_id() == TypeId::of::<Secret>();
    let Some(long) = arg.get_long().filter(|_| is_secret) else { return Ok(arg) };
    let twin = format!("{}_FILE", env_twin(long));
    let Some(path) = env::var_os(&twin).filter(|path| !path.is_empty()) else { return Ok(arg) };
    match Secret::read(Path::new(&path)) {
        Ok(secret) => Ok(arg.default_value(secret.expose().to_owned()).hide_default_value(true)),
        Err(err) => {
            Err(clap::Error::raw(ErrorKind::Io, format!("{twin}: {}\n", error::chain(&err))))
        }
    }
}

fn collect_switches(command: &Command, longs: &mut Vec<String>) {
    longs.extend(
        command
            .get_arguments()
            .filter(|arg| is_switch(arg))
            .filter_map(|arg| arg.get_long().map(str::to_owned)),
    );
    for sub in command.get_subcommands() {
        collect_switches(sub, longs);
    }
}

/// `--no-x` → `--x=false` where `x` is a switch; nothing after `--` is a flag.
fn words_without_negations(words: Vec<OsString>, switches: &[String]) -> Vec<OsString> {
    let mut flags_ended = false;
    words
        .into_iter()
        .map(|word| {
            flags_ended |= word == "--";
            match word.to_str().and_then(|text| text.strip_prefix("--no-")) {
                Some(long) if !flags_ended && switches.iter().any(|switch| switch == long) => {
                    OsString::from(format!("--{long}=false"))
                }
                _ => word,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, process};

    use clap::CommandFactory;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "demo")]
    struct Args {
        #[arg(long = "web.max-requests", default_value_t = 40)]
        max_requests: u32,
        #[arg(long = "web.quiet")]
        quiet: bool,
        #[arg(long = "collector.cpu", default_value = "true", action = ArgAction::SetTrue)]
        cpu: bool,
        #[arg(long = "token")]
        token: Option<Secret>,
        #[command(subcommand)]
        role: Option<Role>,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Role {
        Serve {
            #[arg(long = "web.fast")]
            fast: bool,
            rest: Vec<String>,
        },
    }

    fn ok(words: &[&str]) -> Args {
        parse_from(words).unwrap()
    }

    #[test]
    fn booleans_have_a_negation_and_the_last_one_wins() {
        assert!(!ok(&["x"]).quiet);
        assert!(!ok(&["x", "--web.quiet", "--no-web.quiet"]).quiet);
        let args = ok(&["x", "--no-web.quiet", "--web.quiet", "--web.max-requests=7"]);
        assert!(args.quiet);
        assert_eq!(args.max_requests, 7);
    }

    #[test]
    fn a_boolean_that_is_true_by_default_can_be_negated() {
        assert!(ok(&["x"]).cpu);
        assert!(!ok(&["x", "--no-collector.cpu"]).cpu);
        assert!(ok(&["x", "--no-collector.cpu", "--collector.cpu"]).cpu);
    }

    #[test]
    fn subcommands_have_it_all_too() {
        let args = ok(&["x", "--web.quiet", "serve", "--web.fast", "--no-web.fast"]);
        assert!(args.quiet);
        let Some(Role::Serve { fast, .. }) = args.role else { panic!("{args:?}") };
        assert!(!fast);
        let args = ok(&["x", "serve", "--", "--no-web.fast"]);
        let Some(Role::Serve { rest, .. }) = args.role else { panic!("{args:?}") };
        assert_eq!(rest, ["--no-web.fast"]);
    }

    #[test]
    fn bad_usage_exits_with_2_and_names_the_flag() {
        for (words, said) in [
            (&["x", "--web.quite"][..], "--web.quiet"),
            (&["x", "--web.quiet=maybe"], "unexpected value 'maybe'"),
            (&["x", "--web.max-requests"], "a value is required"),
            (&["x", "--web.max-requests=-1"], "--web.max-requests"),
            (&["x", "--no-web.max-requests"], "--no-web.max-requests"),
        ] {
            let err = parse_from::<Args>(words).unwrap_err();
            assert_eq!(err.exit_code(), 2, "{words:?}");
            assert!(err.to_string().contains(said), "{words:?}: {err}");
        }
    }

    #[test]
    fn version_says_what_was_built() {
        for words in [["x", "--version"].as_slice(), &["x", "serve", "--version"]] {
            let err = parse_from::<Args>(words).unwrap_err();
            assert_eq!(err.exit_code(), 0);
            let text = err.to_string();
            let start = format!("demo, version {} (revision: ", version::VERSION);
            assert!(text.starts_with(&start), "{text}");
            assert!(text.contains("rustc version:"), "{text}");
        }
    }

    #[test]
    fn help_shows_switches_as_switches() {
        let text = parse_from::<Args>(&["x", "--help"]).unwrap_err().to_string();
        assert!(text.contains("\n      --web.quiet"), "{text}");
        assert!(!text.contains("--web.quiet["), "{text}");
        assert!(text.contains("WATCHPOST_WEB_LISTEN_ADDRESS"), "{text}");
        assert!(!text.contains("--no-web.quiet"), "{text}");
    }

    #[test]
    fn each_flag_has_an_environment_twin() {
        let command = prepare(Args::command());
        let env =
            command.get_arguments().find(|a| a.get_id() == "max_requests").and_then(Arg::get_env);
        assert_eq!(env.and_then(|e| e.to_str()), Some("WATCHPOST_WEB_MAX_REQUESTS"));
        prepare(Args::command()).debug_assert();
    }

    /// The environment of a running process cannot be changed safely, so each case is a process of its own: this
    /// test binary once more, running only [`child`], which prints what it parsed.
    fn parse_in_child(env: &[(&str, &str)], words: &str) -> String {
        let output = process::Command::new(env::current_exe().unwrap())
            .args(["--exact", "flags::tests::child", "--nocapture"])
            .env("FLAGS_TEST_WORDS", words)
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.split_once("parsed: ")).unwrap_or_else(|| {
            panic!("{text}");
        });
        line.1.to_owned()
    }

    #[test]
    fn child() {
        let Some(words) = env::var_os("FLAGS_TEST_WORDS") else { return };
        let words = words.into_string().unwrap();
        let outcome = match parse_from::<Args>(&words.split(' ').collect::<Vec<_>>()) {
            Ok(args) => format!(
                "requests={} quiet={} cpu={} token={:?} {:?}",
                args.max_requests,
                args.quiet,
                args.cpu,
                args.token.as_ref().map(Secret::expose),
                args.role
            ),
            Err(err) => format!("{}: {}", err.exit_code(), err.to_string().replace('\n', " ")),
        };
        println!("parsed: {outcome}");
    }

    #[test]
    fn twins_give_values_and_flags_win_over_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "from-file\n").unwrap();
        let path = file.path().to_str().unwrap();
        let requests = "WATCHPOST_WEB_MAX_REQUESTS";
        let quiet = "WATCHPOST_WEB_QUIET";
        for (env, words, parsed) in [
            (&[(requests, "5")][..], "x", "requests=5 quiet=false cpu=true token=None None"),
            (&[(requests, "5")], "x --web.max-requests=6", "requests=6 quiet=false"),
            (&[(requests, "")], "x", "requests=40"),
            (&[(requests, "many")], "x", "2: error: invalid value 'many'"),
            (&[(quiet, "true")], "x", "requests=40 quiet=true"),
            (&[(quiet, "1")], "x", "requests=40 quiet=true"),
            (&[(quiet, "0")], "x", "requests=40 quiet=false"),
            (&[(quiet, "false")], "x --web.quiet", "requests=40 quiet=true"),
            (&[(quiet, "true")], "x --no-web.quiet", "requests=40 quiet=false"),
            (&[(quiet, "maybe")], "x", "2: error: invalid value 'maybe'"),
            (&[("WATCHPOST_COLLECTOR_CPU", "false")], "x", "requests=40 quiet=false cpu=false"),
            (
                &[("WATCHPOST_WEB_FAST", "1")],
                "x serve",
                "requests=40 quiet=false cpu=true token=None Some(Serve { fast: true",
            ),
            (
                &[("WATCHPOST_TOKEN", "inline")],
                "x",
                "requests=40 quiet=false cpu=true token=Some(\"inline\")",
            ),
            (
                &[("WATCHPOST_TOKEN_FILE", path)],
                "x",
                "requests=40 quiet=false cpu=true token=Some(\"from-file\")",
            ),
            (
                &[("WATCHPOST_TOKEN_FILE", path)],
                "x --token=flag",
                "requests=40 quiet=false cpu=true token=Some(\"flag\")",
            ),
            (
                &[("WATCHPOST_TOKEN_FILE", "/nonexistent")],
                "x",
                "2: error: WATCHPOST_TOKEN_FILE: read secret from /nonexistent: No such file",
            ),
        ] {
            let said = parse_in_child(env, words);
            assert!(said.starts_with(parsed), "{env:?} {words}: {said}");
        }
    }
}
