//! A runner under collectors that behave badly: they hang, panic, fail and overlap.

use std::sync::mpsc;

use super::*;

/// A collector made of a closure.
struct Scripted<F>(F);

impl<F: FnMut(&mut Exposition) -> Result<(), Error> + Send> Collector for Scripted<F> {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        self.0(out)
    }
}

fn scripted(
    name: &'static str,
    script: impl FnMut(&mut Exposition) -> Result<(), Error> + Send + 'static,
) -> (&'static str, Box<dyn Collector>) {
    (name, Box::new(Scripted(script)))
}

fn good(name: &'static str) -> (&'static str, Box<dyn Collector>) {
    scripted(name, move |out| {
        out.gauge(name, "", 1.0);
        Ok(())
    })
}

/// A collector that blocks until the returned sender is dropped.
fn hanging(name: &'static str) -> ((&'static str, Box<dyn Collector>), mpsc::Sender<()>) {
    let (release, blocked) = mpsc::channel();
    let collector = scripted(name, move |out| {
        let _ = blocked.recv();
        out.gauge(name, "", 1.0);
        Ok(())
    });
    (collector, release)
}

async fn run(runner: &Runner, timeout_ms: u64) -> (String, Vec<(&'static str, Option<Failure>)>) {
    let members = (0..runner.names().len()).collect();
    let deadline = Instant::now() + Duration::from_millis(timeout_ms);
    let (out, reports) = runner.run(members, deadline, Exposition::new()).await;
    let mut fared: Vec<_> = reports.iter().map(|r| (r.collector, r.failure)).collect();
    fared.sort_unstable_by_key(|(name, _)| *name);
    (out.families().map(|family| family.name().to_owned()).collect::<Vec<_>>().join(" "), fared)
}

#[tokio::test]
async fn failures_and_panics_stay_alone() {
    let runner = Runner::new(vec![
        scripted("a", |out| {
            out.gauge("partial", "", 1.0);
            Err(Error::NoData { what: "luck" })
        }),
        scripted("b", |out| {
            out.gauge("lost", "", 1.0);
            panic!("a test panics on purpose");
        }),
        good("c"),
    ]);
    for _ in 0..3 {
        let (families, fared) = run(&runner, 5000).await;
        assert_eq!(families, "c partial");
        assert_eq!(fared, [("a", Some(Failure::NoData)), ("b", Some(Failure::Panic)), ("c", None)]);
    }
}

#[tokio::test]
async fn a_stuck_collector_is_left_out_until_it_returns() {
    let (stuck, release) = hanging("a");
    let runner = Runner::new(vec![stuck, good("b")]);
    let (families, fared) = run(&runner, 250).await;
    assert_eq!(families, "b");
    assert_eq!(fared, [("a", Some(Failure::Timeout)), ("b", None)]);
    // Known to be stuck: nobody waits for it, whatever the deadline.
    for _ in 0..50 {
        let started = Instant::now();
        let (families, fared) = run(&runner, 60_000).await;
        assert_eq!(families, "b");
        assert_eq!(fared[0], ("a", Some(Failure::Timeout)));
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    // Fifty rounds: one that is stuck, and what a busy machine may leave beside it.
    assert!(lock(&runner.0.0.work).workers <= WORKERS_MAX + 1, "threads do not pile up");
    drop(release);
    while lock(&runner.0.0.work).stuck > 0 {
        tokio::task::yield_now().await;
    }
    let (families, fared) = run(&runner, 60_000).await;
    assert_eq!(families, "a b");
    assert_eq!(fared, [("a", None), ("b", None)]);
}

#[tokio::test]
async fn many_stuck_collectors_leave_the_others_running() {
    let mut collectors = Vec::new();
    let mut releases = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let (collector, release) = hanging(name);
        collectors.push(collector);
        releases.push(release);
    }
    collectors.push(good("z"));
    let runner = Runner::new(collectors);
    let (families, _) = run(&runner, 2000).await;
    // Four threads are stuck at once; whether `z` made it in the first round is a matter of order.
    assert!(families.is_empty() || families == "z");
    let (families, fared) = run(&runner, 2000).await;
    let (families, fared) =
        if families.is_empty() { run(&runner, 2000).await } else { (families, fared) };
    assert_eq!(families, "z");
    assert_eq!(fared.len(), 7);
    assert!(lock(&runner.0.0.work).workers <= WORKERS_MAX + 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrapes_that_overlap_both_get_everything() {
    let runner = Runner::new(vec![good("a"), good("b"), good("c")]);
    let mut scrapes = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let runner = runner.clone();
        scrapes.spawn(async move { run(&runner, 60_000).await });
    }
    while let Some(scrape) = scrapes.join_next().await {
        let (families, fared) = scrape.unwrap();
        assert_eq!(families, "a b c");
        assert!(fared.iter().all(|(_, failure)| failure.is_none()));
    }
    assert!(lock(&runner.0.0.work).workers <= WORKERS_MAX);
}

#[tokio::test]
async fn threads_end_with_the_runner() {
    let runner = Runner::new(vec![good("a")]);
    run(&runner, 60_000).await;
    let shared = Arc::downgrade(&runner.0.0);
    drop(runner);
    while shared.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}
