//! The whole way of an alert, with a real Prometheus: damage, alert, repair, silence.
//!
//! A run with parity is scrubbed every few seconds and exported; Prometheus scrapes it with the project's own rules. One
//! bit of a checkpoint is flipped: `CheckpointCorrected` must fire within two scrubs and name the file, and `fold repair`
//! must make it resolve. Then more of another one is destroyed than its parity restores: `CheckpointDamaged` must fire
//! within two scrubs and name that file, `fold repair` must refuse it, and the resumed run, which writes the same bytes
//! again, must make it resolve.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::Scratch;
use super::monitoring::NOT_INSTALLED;
use super::suites::tested_binary;
use crate::checklist::Ended;
use crate::evidence::{installed, must, run};

/// Between two scrubs.
const SCRUB_SECONDS: u64 = 4;
/// Scraping and evaluating take this long at most on top of the scrubs.
const SLACK_SECONDS: u64 = 6;
/// For whatever has no stated time: starting, resolving.
const PATIENCE: Duration = Duration::from_secs(60);

const CORRECTED: &str = "CheckpointCorrected";
const DAMAGED: &str = "CheckpointDamaged";
/// Eighths of a file: with a bit flipped at each, more is lost than two blocks of parity restore.
const DESTROYED: usize = 7;

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
    let fold = tested_binary(root)?;
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
            "--parity",
            "low",
            "--quiet",
            "--out",
        ]);
        command.arg(&store);
        command
    };
    must(&mut train())?;
    let (middle, newest) = (store.join("step-00000001.fold"), store.join("step-00000002.fold"));
    let whole = [std::fs::read(&middle)?, std::fs::read(&newest)?];

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
    let silent = || -> anyhow::Result<bool> {
        Ok(firing(&address, CORRECTED)?.is_none() && firing(&address, DAMAGED)?.is_none())
    };
    ensure!(silent()?, "an alert fires before there is damage");

    // Within parity: repaired.
    damage(&middle, 1)?;
    let corrected = fires(&address, CORRECTED, &["step-00000001.fold", "FOLD-E0301"])?;
    ensure!(
        firing(&address, DAMAGED)?.is_none(),
        "{DAMAGED} fires over what can be restored"
    );
    let copy = scratch.path("copy.fold");
    must(Command::new(&fold).arg("repair").arg(&middle).arg("-o").arg(&copy))?;
    std::fs::rename(&copy, &middle)?;
    ensure!(std::fs::read(&middle)? == whole[0], "the repaired file is another one");
    let repaired = until(PATIENCE, "the alert resolves after the repair", silent)?;

    // Beyond parity: refused, and written again by the run.
    damage(&newest, DESTROYED)?;
    let damaged = fires(&address, DAMAGED, &["step-00000002.fold", "is damaged (FOLD-E"])?;
    let refused = run(Command::new(&fold).arg("repair").arg(&newest).arg("-o").arg(&copy))?;
    ensure!(
        refused.status.code() == Some(20) && !copy.exists(),
        "what is beyond parity was not refused: {}",
        refused.status
    );
    must(train().arg("--resume"))?;
    ensure!(
        std::fs::read(&newest)? == whole[1],
        "the resumed run did not write the same bytes"
    );
    let resumed = until(PATIENCE, "the alert resolves after the resumption", silent)?;
    Ok(format!(
        "scrub every {SCRUB_SECONDS} s, clean after {:.1} s\n{CORRECTED} fired {corrected}; resolved {:.1} s after `fold repair`\n\
        {DAMAGED} fired {damaged}; `fold repair` refused; resolved {:.1} s after `fold train --resume`",
        clean.as_secs_f64(),
        repaired.as_secs_f64(),
        resumed.as_secs_f64()
    ))
}

/// Flips a bit at each of the first `places` eighths of a file: the first is within its content.
fn damage(path: &Path, places: usize) -> anyhow::Result<()> {
    let mut bytes = std::fs::read(path)?;
    let step = bytes.len() / 8;
    for place in 1..=places {
        *bytes.get_mut(place * step).context("a byte of the file")? ^= 1;
    }
    Ok(std::fs::write(path, bytes)?)
}

/// Waits until an alert fires, within two scrubs, and says all of `named`; when and what, in a few words.
fn fires(address: &str, alert: &str, named: &[&str]) -> anyhow::Result<String> {
    let mut summary = String::new();
    let limit = Duration::from_secs(2 * SCRUB_SECONDS + SLACK_SECONDS);
    let fired = until(limit, &format!("{alert} fires within two scrubs"), || {
        summary = firing(address, alert)?.unwrap_or_default();
        Ok(!summary.is_empty())
    })?;
    ensure!(
        named.iter().all(|part| summary.contains(part)),
        "{alert} says {summary:?}, and not all of {named:?}"
    );
    Ok(format!("{:.1} s after the damage: {summary}", fired.as_secs_f64()))
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

/// The summary of an alert, where it fires.
fn firing(address: &str, alert: &str) -> anyhow::Result<Option<String>> {
    let answer = get(address, "/api/v1/alerts")?;
    let alerts = answer["data"]["alerts"].as_array().context("no list of alerts")?;
    let found = alerts
        .iter()
        .find(|found| found["labels"]["alertname"] == alert && found["state"] == "firing");
    Ok(found.map(|alert| alert["annotations"]["summary"].as_str().unwrap_or_default().to_owned()))
}
