//! `watchpost health`: what a container's health check runs, where there is neither a shell nor curl.

use std::{io::Write, process::ExitCode, time::Duration};

const PATH: &str = "/-/healthy";
/// A process that needs longer to say that it lives is not healthy.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Which server to ask
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9201")]
    pub url: String,
}

/// Asks, says the answer in one line, and turns it into an exit code.
pub fn run(args: &Args) -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(ask(&args.url)),
        Err(err) => Err(err.into()),
    };
    // Nobody may be reading; the exit code is what counts.
    match answer {
        Ok(()) => {
            let _ = writeln!(std::io::stdout(), "{} is healthy", args.url);
            ExitCode::SUCCESS
        }
        Err(err) => {
            let _ = writeln!(
                std::io::stderr(),
                "{} is not healthy: {}",
                args.url,
                service::error::chain(err.as_ref())
            );
            ExitCode::FAILURE
        }
    }
}

async fn ask(url: &str) -> anyhow::Result<()> {
    // The health check of a container must not leave it through a proxy.
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
    // Whether it is given as the server's address or with the path.
    let server = url.trim_end_matches('/').trim_end_matches(PATH);
    let answer = client.get(format!("{server}{PATH}")).send().await?;
    anyhow::ensure!(answer.status().is_success(), "{PATH} answers {}", answer.status());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_lives_is_healthy_and_an_absent_one_is_not() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let health = service::Health::default();
        let router = service::admin::health_router(health);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        ask(&url).await.unwrap();
        ask(&format!("{url}-/healthy")).await.unwrap();
        let elsewhere = ask(&format!("{url}nowhere")).await.unwrap_err().to_string();
        assert_eq!(elsewhere, "/-/healthy answers 404 Not Found");
        serving.abort();
        let _ = serving.await;
        assert!(ask(&url).await.is_err());
    }
}
