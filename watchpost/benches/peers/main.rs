//! Watchpost beside its peers, on this machine: `cargo bench -p watchpost --bench peers -- COMMAND`.
//!
//! - `ingest`: the same remote-write load for every peer that is installed, and one table of what it cost each.
//! - `capture FILE`: recorded remote-write requests through the whole life of their samples: bytes on disk and in WAL.
//! - `million`: memory at a million series, and how long a restart takes with minutes that were not flushed.
//! - `query`: the same questions about the same samples to every peer, and one table of times, memory and equality.
//! - `read`: one, a thousand and ten thousand series from final blocks, through the library and through SQL.
//!
//! `WATCHPOST_BENCH_VICTORIA_METRICS` and `WATCHPOST_BENCH_PROMETHEUS` name executables that are not on PATH,
//! `WATCHPOST_BENCH_RECEIVER` a `watchpost-receiver` to use instead of the one built here, and `WATCHPOST_BENCH_TIMESCALEDB`
//! the address of a server on this machine that has TimescaleDB. Timings mean something only as ratios within one run on a
//! machine that does nothing else.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose purpose is to print"
)]

mod capture;
mod engine;
mod load;
mod peer;
mod query;
mod rows;
mod usage;
mod workload;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use receiver::model::now_ms;

use self::{
    peer::{Peer, Running},
    workload::{Kind, Protocol, Workload},
};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The same load for every peer
    Ingest {
        #[arg(long, default_value_t = 50_000)]
        series: usize,
        #[arg(long, default_value_t = 100)]
        rounds: usize,
        /// Samples of one request
        #[arg(long, default_value_t = 2000)]
        samples: usize,
        #[arg(long, default_value_t = 4)]
        connections: usize,
        /// Send one round before, so that all series are known when the clock starts
        #[arg(long)]
        warm: bool,
        #[arg(
            long,
            value_enum,
            value_delimiter = ',',
            default_value = "watchpost,victoria-metrics,prometheus,rows,timescaledb"
        )]
        peers: Vec<Peer>,
        /// Versions of remote write, one after the other
        #[arg(long, value_enum, value_delimiter = ',', default_value = "1.0")]
        protocols: Vec<Protocol>,
        /// Where the series come from
        #[arg(long, value_enum, default_value = "hosts")]
        of: Kind,
        /// How often; the versions by turns, so that what else the machine does meets all of them
        #[arg(long, default_value_t = 1)]
        runs: usize,
    },
    /// What recorded requests weigh through all stages of storage
    Capture {
        file: PathBuf,
        /// Play it so often, one after the other
        #[arg(long, default_value_t = 1)]
        times: i64,
        /// Only series whose value changes with every scrape
        #[arg(long)]
        restless: bool,
    },
    /// Memory and restart with many series
    Million {
        #[arg(long, default_value_t = 1_000_000)]
        series: usize,
        /// Scrapes before the restart; of 15 s each
        #[arg(long, default_value_t = 20)]
        rounds: usize,
    },
    /// The same questions to every peer
    Query {
        /// Of a hundred series each, scraped every 15 s
        #[arg(long, default_value_t = 100)]
        hosts: usize,
        #[arg(long, default_value_t = 24)]
        hours: usize,
        /// How often each question is asked
        #[arg(long, default_value_t = 5)]
        runs: usize,
        #[arg(
            long,
            value_enum,
            value_delimiter = ',',
            default_value = "watchpost,prometheus,victoria-metrics"
        )]
        peers: Vec<Peer>,
    },
    /// Reading from final blocks
    Read {
        #[arg(long, default_value_t = 10_000)]
        series: usize,
        #[arg(long, default_value_t = 24)]
        hours: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // reqwest wants to be told, though nothing here speaks TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let Some(command) = args.command else {
        // `cargo bench` of the whole workspace: this one takes minutes and wants the machine for itself.
        println!(
            "peers: nothing measured; say `-- ingest`, `capture`, `million`, `query` or `read`"
        );
        return Ok(());
    };
    runtime.block_on(async {
        match command {
            Command::Ingest {
                series,
                rounds,
                samples,
                connections,
                warm,
                peers,
                protocols,
                of,
                runs,
            } => {
                let end = now_ms();
                let protocol = Protocol::V1;
                let kind = of;
                let workload =
                    Workload { kind, series, rounds, samples, connections, protocol, end };
                ingest(workload, warm, &peers, &protocols, runs).await
            }
            Command::Capture { file, times, restless } => capture(&file, times, restless).await,
            Command::Million { series, rounds } => million(series, rounds).await,
            Command::Query { hosts, hours, runs, peers } => {
                query::run(hosts, hours, runs, &peers).await
            }
            Command::Read { series, hours } => read(series, hours).await,
        }
    })
}

async fn ingest(
    workload: Workload,
    warm: bool,
    peers: &[Peer],
    protocols: &[Protocol],
    runs: usize,
) -> anyhow::Result<()> {
    println!(
        "{} series × {} rounds, {} samples a request, {} connections\n",
        workload.series, workload.rounds, workload.samples, workload.connections,
    );
    println!(
        "| | remote write | B/sample on the wire | samples/s | CPU ns/sample (program alone, sender) | ack p50 | p99 | memory | WAL B/sample | disk B/sample | pushed back |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for peer in peers {
        let mut ratios = Vec::new();
        for _ in 0..runs {
            let mut rates = Vec::new();
            for protocol in protocols.iter().filter(|protocol| peer.speaks(**protocol)) {
                let workload = Workload { protocol: *protocol, ..workload };
                rates.extend(measure(workload, warm, *peer).await?);
            }
            if let [first, second] = rates[..] {
                ratios.push(second / first);
            }
        }
        ratios.sort_by(f64::total_cmp);
        if let Some(median) = ratios.get(ratios.len() / 2) {
            println!("\n{}: {median:.2} × the samples per second {ratios:.2?}\n", peer.name());
        }
    }
    println!(
        "\nWatchpost's answer means committed to PostgreSQL, which has synced it; the others' that it is in memory. Rows are copied as they lie, decoded before the clock starts: less than any program that takes remote write could do."
    );
    Ok(())
}

/// Prints one line and gives samples per second; nothing where the peer is not installed.
async fn measure(workload: Workload, warm: bool, peer: Peer) -> anyhow::Result<Option<f64>> {
    let Some(version) = peer.version() else {
        println!("| {} | {} | | | | | | | | | |", peer.name(), peer.hint());
        return Ok(None);
    };
    let protocol = workload.protocol;
    let requests = workload.requests();
    let before = workload.end - workload.rounds as i64 * workload::STEP_MS;
    let first_round = Workload { rounds: usize::from(warm), end: before, ..workload }.requests();
    let samples = workload.n_samples() as f64;
    let bytes: usize = requests.iter().flatten().map(bytes::Bytes::len).sum();
    let mut running = Running::start(peer).await?;
    let db = running.database().await?;
    running.send(&first_round, protocol).await?;
    let wal_before = match &db {
        Some(db) => engine::wal(db).await?,
        None => 0,
    };
    let empty = running.disk().await?;
    let all = || (running.usage(), running.own_usage(), usage::alone(std::process::id()));
    let (before, own_before, sender_before) = all();
    let sent = running.send(&requests, protocol).await?;
    let (after, own_after, sender_after) = all();
    let wal = match &db {
        Some(db) => format!("{:.2}", (engine::wal(db).await? - wal_before) as f64 / samples),
        None => "–".to_owned(),
    };
    running.stop_program()?;
    let per_sample = |cpu: Duration| cpu.as_nanos() as f64 / samples;
    let rate = samples / sent.took.as_secs_f64();
    println!(
        "| {} {version} | {} | {:.1} | {:.0} k | {:.0} ({:.0}, {:.0}) | {:.1} ms | {:.1} ms | {:.0} MB | {wal} | {:.2} | {} |",
        peer.name(),
        protocol.number(),
        bytes as f64 / samples,
        rate / 1e3,
        per_sample(after.cpu - before.cpu),
        per_sample(own_after.cpu - own_before.cpu),
        per_sample(sender_after - sender_before),
        sent.ack(0.5).as_secs_f64() * 1e3,
        sent.ack(0.99).as_secs_f64() * 1e3,
        after.memory as f64 / 1e6,
        running.disk().await?.saturating_sub(empty) as f64 / samples,
        sent.retried,
    );
    if let Some(db) = db {
        db.close().await;
    }
    if let Some(postgres) = running.postgres.take() {
        postgres.stop().await;
    }
    Ok(Some(rate))
}

async fn capture(file: &std::path::Path, times: i64, restless: bool) -> anyhow::Result<()> {
    let bodies = capture::requests(&capture::read(file)?, times, restless)?;
    let database = receiver::db::testing::database().await;
    let (receiver, closing) = engine::open(database.url()).await?;
    let db = sqlx::PgPool::connect(database.url()).await?;
    let mut samples = 0;
    let wal = engine::wal(&db).await?;
    for body in bodies {
        samples += receiver.ingest().write_v1(body).await?.samples;
    }
    let acknowledged = engine::wal(&db).await?;
    engine::settle(&receiver).await?;
    let settled = engine::wal(&db).await?;
    let per_sample = |bytes: i64| bytes as f64 / samples as f64;
    println!("{samples} samples of {} series", receiver.storage().catalogue().n_series());
    println!(
        "WAL: {:.2} B/sample until acknowledged, {:.2} over their life",
        per_sample(acknowledged - wal),
        per_sample(settled - wal)
    );
    let tables = engine::tables(&db).await?;
    let all = tables.iter().map(|(_, size)| size).sum();
    println!("disk: {:.3} B/sample, of which", per_sample(all));
    for (table, size) in tables {
        println!("  {table:14} {size:9} B  {:.3} B/sample", per_sample(size));
    }
    drop(receiver);
    closing.finished().await;
    Ok(())
}

async fn million(series: usize, rounds: usize) -> anyhow::Result<()> {
    let protocol = Protocol::V1;
    let workload = Workload {
        kind: Kind::Hosts,
        series,
        rounds,
        samples: 2000,
        connections: 4,
        protocol,
        end: now_ms(),
    };
    let mut running = Running::start(Peer::Watchpost).await?;
    let idle = running.own_usage();
    let requests = workload.requests();
    let sent = running.send(&requests, protocol).await?;
    let (usage, whole) = (running.own_usage(), running.usage());
    let per_series = |bytes: u64| bytes as f64 / series as f64;
    println!(
        "{series} series × {rounds} rounds in {:.1} s; pushed back {}; program {:.0} MB, {:.0} B a series ({:.0} MB idle); with PostgreSQL {:.0} MB",
        sent.took.as_secs_f64(),
        sent.retried,
        usage.memory as f64 / 1e6,
        per_series(usage.memory),
        idle.memory as f64 / 1e6,
        whole.memory as f64 / 1e6
    );
    running.kill_program()?;
    let killed = Instant::now();
    running.again().await?;
    println!("killed; serving again after {:.2} s", killed.elapsed().as_secs_f64());
    let usage = running.own_usage();
    println!(
        "memory after the restart: {:.0} MB, {:.0} B a series",
        usage.memory as f64 / 1e6,
        per_series(usage.memory)
    );
    Ok(())
}

async fn read(series: usize, hours: usize) -> anyhow::Result<()> {
    let database = receiver::db::testing::database().await;
    let (receiver, closing) = engine::open(database.url()).await?;
    let db = sqlx::PgPool::connect(database.url()).await?;
    let rounds = hours * 240;
    // A whole day that has passed.
    let end = now_ms() / engine::DAY_MS * engine::DAY_MS;
    let protocol = Protocol::V1;
    let kind = Kind::Hosts;
    let workload =
        Workload { kind, series, rounds, samples: 10_000, connections: 1, protocol, end };
    let (requests, mut incoming) = tokio::sync::mpsc::channel(16);
    let making = tokio::task::spawn_blocking(move || {
        workload.each_request(0, |request| drop(requests.blocking_send(request)));
    });
    let started = Instant::now();
    while let Some(request) = incoming.recv().await {
        receiver.ingest().write_v1(request).await?;
    }
    making.await?;
    println!("wrote {} samples in {:.0} s", workload.n_samples(), started.elapsed().as_secs_f64());
    let started = Instant::now();
    engine::settle(&receiver).await?;
    println!("merged in {:.0} s", started.elapsed().as_secs_f64());
    engine::reads(&receiver, &db, end).await?;
    drop(receiver);
    closing.finished().await;
    engine::hours(database.url(), &db, end).await?;
    Ok(())
}
