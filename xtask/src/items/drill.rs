//! The whole way of an alert, with a real Prometheus: damage, alert, repair, silence.
//!
//! A run is scrubbed every few seconds and exported; Prometheus scrapes it with the project's own rules. One bit of a
//! checkpoint is flipped: `CheckpointDamaged` must fire within two scrubs and name the file. The run is resumed, which
//! writes the same bytes again: the alert must resolve.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::Scratch;
use super::monitoring::NOT_INSTALLED;
use crate::checklist::Ended;
use crate::evidence::{fold_binary, installed, must};

/// Between two scrubs.
const SCRUB_SECONDS: u64 = 4;
/// Scraping and evaluating take this long at most on top of the scrubs.
const SLACK_SECONDS: u64 = 6;
/// For whatever has no stated time: starting, resolving.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn item(root: &Path) -> anyhow::Result<Ended> {
    if !installed("prometheus") {
        return Ok(Ended::Skipped(NOT_INSTALLED.into()));
    }
    Ok(Ended::Passed(drill(root)?))
}

/// Runs the drill and tells how long each part took.
pub(crate) fn drill(root: &Path) -> anyhow::Result<String> {
    let fold = fold_binary(root)?;
    let scratch = Scratch::new(root, "alert-drill")?;
    let store = scratch.path("run");
    let train = || {
        let mut command = Command::new(&fold);
        command.args([
            "train",
            "--data",
            "digits",
            "--neurons",
            "24",
            "--epochs",
            "2",
            "--quiet",
            "--out",
        ]);
        command.arg(&store);
        command
    };
    must(&mut train())?;
    let newest = store.join("step-00000002.fold");
    let whole = std::fs::read(&newest)?;

    let interval = format!("{SCRUB_SECONDS}s");
    let mut scrub = Command::new(&fold);
    scrub
        .args(["scrub", "--quiet", "--interval", &interval])
        .arg(&store)
        .stdout(Stdio::null());
    let _scrub = Running(scrub.spawn()?);
    let mut exporter = Command::new(&fold);
    exporter
        .args(["exporter", "--json", "--listen", "127.0.0.1:0"])
        .arg(&store)
        .stdout(Stdio::piped());
    let mut exporter = Running(exporter.spawn()?);
    let mut line = String::new();
    let told = exporter.0.stdout.take().context("the exporter's output")?;
    BufReader::new(told).read_line(&mut line)?;
    let told: Value = serde_json::from_str(&line).context("what the exporter said")?;
    let target = told["listen"].as_str().context("where the exporter listens")?;

    let config = format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files:\n  - {}\nscrape_configs:\n  - job_name: fold\n    static_configs:\n      - targets: ['{target}']\n",
        serde_json::to_string(&root.join("alerts/fold.rules.yml").to_string_lossy())?
    );
    let config_file = scratch.path("prometheus.yml");
    std::fs::write(&config_file, config)?;
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!("--config.file={}", config_file.display()));
    prometheus.arg(format!("--storage.tsdb.path={}", scratch.path("tsdb").display()));
    prometheus
        .arg(format!("--web.listen-address={address}"))
        .arg("--log.level=error");
    let _prometheus = Running(prometheus.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);

    let clean = until(PATIENCE, "the first clean scrub is seen", || {
        Ok(query(&address, "sum(fold_checkpoint_files{result=\"ok\"})")? == Some(3.0))
    })?;
    ensure!(firing(&address)?.is_none(), "the alert fires before there is damage");

    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("a byte in the middle")? ^= 1;
    std::fs::write(&newest, bytes)?;
    let mut summary = String::new();
    let limit = Duration::from_secs(2 * SCRUB_SECONDS + SLACK_SECONDS);
    let fired = until(limit, "CheckpointDamaged fires within two scrubs", || {
        if let Some(found) = firing(&address)? {
            summary = found;
        }
        Ok(!summary.is_empty())
    })?;
    ensure!(
        summary.contains("step-00000002.fold") && summary.contains("FOLD-E0301"),
        "the alert says {summary:?}"
    );

    must(train().arg("--resume"))?;
    ensure!(
        std::fs::read(&newest)? == whole,
        "the resumed run did not write the same bytes"
    );
    let resolved = until(PATIENCE, "the alert resolves", || Ok(firing(&address)?.is_none()))?;
    Ok(format!(
        "scrub every {SCRUB_SECONDS} s; clean after {:.1} s; fired {:.1} s after the damage: {summary}; resolved {:.1} s after the run was resumed",
        clean.as_secs_f64(),
        fired.as_secs_f64(),
        resolved.as_secs_f64()
    ))
}

/// Waits until something holds; how long that took.
fn until(limit: Duration, what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut last = None;
    while start.elapsed() < limit {
        match holds() {
            Ok(true) => return Ok(start.elapsed()),
            Ok(false) => last = None,
            // Prometheus may not be up yet.
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    match last {
        Some(error) => Err(error.context(format!("not within {limit:?}: {what}"))),
        None => bail!("not within {limit:?}: {what}"),
    }
}

/// What Prometheus answers to a path of its interface.
fn get(address: &str, path: &str) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    Ok(serde_json::from_str(body)?)
}

/// The value of the first series that a query gives.
fn query(address: &str, expression: &str) -> anyhow::Result<Option<f64>> {
    let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let answer = get(address, &format!("/api/v1/query?query={encoded}"))?;
    let value = answer["data"]["result"][0]["value"][1].as_str();
    Ok(value.and_then(|value| value.parse().ok()))
}

/// The summary of `CheckpointDamaged`, where it fires.
fn firing(address: &str) -> anyhow::Result<Option<String>> {
    let answer = get(address, "/api/v1/alerts")?;
    let alerts = answer["data"]["alerts"].as_array().context("no list of alerts")?;
    let found = alerts
        .iter()
        .find(|alert| alert["labels"]["alertname"] == "CheckpointDamaged" && alert["state"] == "firing");
    Ok(found.map(|alert| alert["annotations"]["summary"].as_str().unwrap_or_default().to_owned()))
}
