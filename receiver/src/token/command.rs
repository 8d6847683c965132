//! `watchpost token` and `watchpost-receiver token`: making, showing and revoking tokens.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Subcommand;
use service::units::Span;

use super::{
    Scope,
    store::{self, NewToken, Which},
};
use crate::db;

#[derive(Clone, Debug, Subcommand)]
pub enum Token {
    /// Make a token and print it, once: only its hash is kept
    Create {
        #[command(flatten)]
        database: db::Args,
        /// What the token is for: `prometheus on web-1`
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What its holder may do; repeatable
        #[arg(
            long = "scope",
            value_name = "SCOPE",
            value_enum,
            required = true,
            value_delimiter = ','
        )]
        scopes: Vec<Scope>,
        /// After which time it stops, such as 90d; never if not given
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<Span>,
    },
    /// Show all tokens, without their secrets
    List {
        #[command(flatten)]
        database: db::Args,
    },
    /// Revoke a token; receivers refuse it within seconds
    Revoke {
        #[command(flatten)]
        database: db::Args,
        /// Its name, or the number that `list` shows
        #[arg(value_name = "NAME|NUMBER")]
        token: String,
    },
}

/// Does it, and turns the outcome into an exit code.
pub fn run(command: &Token) -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(execute(command, &mut io::stdout())),
        Err(err) => Err(err.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            // Nobody may be reading; the exit code is what counts.
            let _ = writeln!(io::stderr(), "{}", service::error::chain(err.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The secret goes to `out` and everything else to standard error, so that a script can keep the one.
pub async fn execute(command: &Token, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        Token::Create { database, name, scopes, expires_in } => {
            let expires_in_s = expires_in.map(|span| span.0.as_secs() as i64);
            let new = NewToken { name: name.clone(), scopes: scopes.clone(), expires_in_s };
            let db = db::open(&database.required_url()?).await?;
            let (_, secret) = store::create(&db, &new).await?;
            writeln!(out, "{}", secret.expose())?;
            db.close().await;
        }
        Token::List { database } => {
            let db = db::open(&database.required_url()?).await?;
            let tokens = store::list(&db).await?;
            writeln!(
                out,
                "{:>6}  {:<18}{:<22}{:<22}{:<22}name",
                "number", "scopes", "created", "expires", "last used"
            )?;
            for token in tokens {
                let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
                writeln!(
                    out,
                    "{:>6}  {:<18}{:<22}{:<22}{:<22}{}",
                    token.id,
                    scopes.join(","),
                    token.created_at,
                    token.expires_at.as_deref().unwrap_or("never"),
                    token.last_used_at.as_deref().unwrap_or("never"),
                    token.name
                )?;
            }
            db.close().await;
        }
        Token::Revoke { database, token } => {
            // A name of digits would be taken for a number; such a token is revoked by its own.
            let which = token.parse().map_or_else(|_| Which::Name(token.clone()), Which::Id);
            let db = db::open(&database.required_url()?).await?;
            let revoked = store::revoke(&db, &which).await?;
            db.close().await;
            let Some(name) = revoked else {
                anyhow::bail!("there is no token `{token}`: see `token list`");
            };
            writeln!(out, "revoked `{name}`; receivers refuse it within seconds")?;
        }
    }
    Ok(())
}
