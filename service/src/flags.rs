//! Prometheus-style flags: dotted long names, `--no-x` for every boolean, an environment twin for each.
//!
//! `--web.listen-address` can also be given as `WATCHPOST_WEB_LISTEN_ADDRESS`; a flag wins over its twin.

use clap::{Arg, ArgAction, Command, Parser};

/// The prefix of all environment twins.
pub const ENV_PREFIX: &str = "WATCHPOST_";

/// Parses the command line of this process; bad usage prints what is wrong and exits with code 2.
pub fn parse<T: Parser>() -> T {
    let mut matches = prepare(T::command()).get_matches();
    match T::from_arg_matches_mut(&mut matches) {
        Ok(args) => args,
        Err(err) => err.format(&mut prepare(T::command())).exit(),
    }
}

/// The same for given words; the first is the program's name.
pub fn parse_from<T: Parser>(words: &[&str]) -> Result<T, clap::Error> {
    let mut matches = prepare(T::command()).try_get_matches_from(words)?;
    T::from_arg_matches_mut(&mut matches)
}

/// Adds the environment twins and the `--no-x` forms to a command and all its subcommands.
pub fn prepare(command: Command) -> Command {
    let negations: Vec<Arg> = command
        .get_arguments()
        .filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue))
        .filter_map(|arg| Some((arg.get_id().clone(), arg.get_long()?.to_owned())))
        .map(|(id, long)| {
            Arg::new(format!("no-{id}"))
                .long(format!("no-{long}"))
                .action(ArgAction::SetTrue)
                .overrides_with(id)
                .hide(true)
        })
        .collect();
    let mut prepared = command.mut_args(|arg| match (arg.get_long(), arg.get_env()) {
        (Some(long), None) if long != "help" && long != "version" => {
            let twin = env_twin(long);
            arg.env(twin).hide_env_values(true)
        }
        _ => arg,
    });
    prepared = prepared.args(negations);
    let names: Vec<String> =
        prepared.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        prepared = prepared.mut_subcommand(name, prepare);
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(Debug, Parser)]
    struct Args {
        #[arg(long = "web.max-requests", default_value_t = 40)]
        max_requests: u32,
        #[arg(long = "web.quiet")]
        quiet: bool,
    }

    #[test]
    fn booleans_have_a_negation_and_the_last_one_wins() {
        let args: Args = parse_from(&["x", "--web.quiet", "--no-web.quiet"]).unwrap();
        assert!(!args.quiet);
        let args: Args =
            parse_from(&["x", "--no-web.quiet", "--web.quiet", "--web.max-requests=7"]).unwrap();
        assert!(args.quiet);
        assert_eq!(args.max_requests, 7);
    }

    #[test]
    fn each_flag_has_an_environment_twin() {
        let command = prepare(Args::command());
        let env =
            command.get_arguments().find(|a| a.get_id() == "max_requests").and_then(Arg::get_env);
        assert_eq!(env.and_then(|e| e.to_str()), Some("WATCHPOST_WEB_MAX_REQUESTS"));
    }
}
