//! What a probe costs: HTTP probes of a server on loopback by the release build of `watchpost-blackbox`, and in the same run
//! by the `prometheus-blackbox-exporter` of this machine, where it is installed.
//!
//! ```text
//! cargo bench -p blackbox --bench throughput -- --seconds 20
//! cargo bench -p blackbox --bench throughput -- --probes 1000000   # whether memory stays flat
//! ```

#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Addresses of the server: each has ports of its own for connections that were closed a moment ago.
const SERVERS: u8 = 16;
const CONFIG: &str =
    "modules: {http_2xx: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}}\n";

#[derive(Parser)]
struct Args {
    /// For each program and round
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Instead of a time: so many probes, of ours alone, with its memory on the way
    #[arg(long)]
    probes: Option<u64>,
    /// Probes at a time
    #[arg(long, default_value_t = 32)]
    connections: usize,
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// A program under test, which is killed when this is dropped.
struct Prober {
    name: &'static str,
    child: Child,
    address: SocketAddr,
}

impl Drop for Prober {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prober {
    /// `None` where the program is not installed.
    async fn start(
        name: &'static str,
        program: &str,
        config: &str,
    ) -> anyhow::Result<Option<Self>> {
        // Both can be told a port only; it is free now.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let spawned = Command::new(program)
            .arg(format!("--config.file={config}"))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err).with_context(|| format!("start {program}")),
        };
        let prober = Self { name, child, address };
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(10), "{program} does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(prober))
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split(' ').collect();
        // Fields 14 and 15 of proc(5), counted from the third; a hundred ticks a second on every Linux that we know.
        let ticks: u64 = fields[12].parse::<u64>()? + fields[13].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// In kilobytes.
    fn rss(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.context("no VmRSS")?.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// Probes `targets` in turn over some connections until `until` says so; gives how many.
    async fn load(
        &self,
        targets: &[SocketAddr],
        connections: usize,
        until: impl Fn(u64) -> bool + Clone + Send + 'static,
    ) -> anyhow::Result<u64> {
        let n_probes = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..connections {
            let (n_probes, until, address) = (Arc::clone(&n_probes), until.clone(), self.address);
            let targets = targets.to_vec();
            tasks.spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                let mut answer = vec![0; 64 << 10];
                loop {
                    let n = n_probes.fetch_add(1, Ordering::Relaxed);
                    if until(n) {
                        n_probes.fetch_sub(1, Ordering::Relaxed);
                        return anyhow::Ok(());
                    }
                    let target = targets[n as usize % targets.len()];
                    let request = format!(
                        "GET /probe?module=http_2xx&target=http%3A%2F%2F{target}%2F HTTP/1.1\r\nHost: x\r\n\r\n"
                    );
                    stream.write_all(request.as_bytes()).await?;
                    probed(&mut stream, &mut answer).await?;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(n_probes.load(Ordering::Relaxed))
    }
}

/// Reads one answer, which must tell of a success.
async fn probed(stream: &mut TcpStream, answer: &mut [u8]) -> anyhow::Result<()> {
    let mut n_read = 0;
    loop {
        let n = stream.read(&mut answer[n_read..]).await?;
        anyhow::ensure!(n > 0, "the prober closed the connection");
        n_read += n;
        let text = String::from_utf8_lossy(&answer[..n_read]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let whole = match length {
            Some(length) => body.len() >= length.trim().parse()?,
            None => body.ends_with("0\r\n\r\n"),
        };
        if whole {
            let body = if length.is_some() { body.to_owned() } else { dechunked(body) };
            anyhow::ensure!(body.contains("\nprobe_success 1\n"), "a probe failed: {body}");
            return Ok(());
        }
    }
}

/// A body without the framing of its chunks.
fn dechunked(mut framed: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = framed.split_once("\r\n") {
        let chunk = usize::from_str_radix(size, 16).ok().and_then(|size| rest.get(..size));
        let Some(chunk) = chunk.filter(|chunk| !chunk.is_empty()) else { break };
        body.push_str(chunk);
        framed = rest[chunk.len()..].trim_start_matches("\r\n");
    }
    body
}

/// Answers every request with the same page and closes.
async fn serve(listener: TcpListener) {
    let body = "x".repeat(2000);
    let answer: Arc<str> = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into();
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut targets = Vec::new();
    for n in 1..=SERVERS {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, n], 0))).await?;
        targets.push(listener.local_addr()?);
        tokio::spawn(serve(listener));
    }
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("blackbox.yml");
    fs::write(&config, CONFIG)?;
    let config = config.to_str().context("a folder in UTF-8")?;
    let ours = Prober::start("watchpost", env!("CARGO_BIN_EXE_watchpost-blackbox"), config).await?;
    let ours = ours.context("built by cargo")?;
    if let Some(n_probes) = args.probes {
        return memory(&ours, &targets, args.connections, n_probes).await;
    }
    let theirs = Prober::start("original", "prometheus-blackbox-exporter", config).await?;
    if theirs.is_none() {
        println!(
            "SKIPPED: prometheus-blackbox-exporter is not installed, nothing is compared with it"
        );
    }
    println!("program     probes/s   CPU a probe   RSS");
    for _ in 0..args.rounds {
        let mut costs = Vec::new();
        for prober in [Some(&ours), theirs.as_ref()].into_iter().flatten() {
            let (cpu, begun) = (prober.cpu()?, Instant::now());
            let end = begun + Duration::from_secs(args.seconds);
            let n = prober.load(&targets, args.connections, move |_| Instant::now() >= end).await?;
            let per_probe = (prober.cpu()? - cpu).as_secs_f64() * 1e6 / n as f64;
            let rate = n as f64 / begun.elapsed().as_secs_f64();
            println!("{:10} {rate:9.0} {per_probe:10.0} µs {:7} kB", prober.name, prober.rss()?);
            costs.push(per_probe);
        }
        if let [ours, theirs] = costs[..] {
            println!("CPU of ours / original: {:.2}", ours / theirs);
        }
    }
    Ok(())
}

/// Memory on the way to so many probes.
async fn memory(
    prober: &Prober,
    targets: &[SocketAddr],
    connections: usize,
    n_probes: u64,
) -> anyhow::Result<()> {
    const STEPS: u64 = 10;
    println!("probes       RSS");
    for step in 1..=STEPS {
        let some = n_probes / STEPS;
        prober.load(targets, connections, move |n| n >= some).await?;
        println!("{:10} {:7} kB", step * some, prober.rss()?);
    }
    Ok(())
}
