//! Items that run the binary: training, identity, damage, kills, soak.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::Scratch;
use super::suites::tested_binary;
use crate::checklist::Ended;
use crate::evidence::{cargo, fold_binary, must, run};

/// Steps of the invariant soak.
const SOAK_STEPS: &str = "10000000";
/// Held-out accuracy that the default run must reach with 400 neurons.
const ACCURACY_FLOOR: f64 = 0.945;
/// Runs that are killed a few times each, and must end as if they had not been.
const KILLED_RUNS: u64 = 40;
/// Kills of the soak, of which `cargo xtask kill-soak` runs more.
const KILLS: u64 = 300;
/// Bits flipped, one at a time, in a checkpoint that the command line then verifies.
const FLIPS: u64 = 200;

pub(super) fn train(root: &Path) -> anyhow::Result<Ended> {
    let fold = fold_binary(root)?;
    let scratch = Scratch::new(root, "train")?;
    let out = scratch.path("digits");
    let (said, _) = must(fold_train(&fold, &out).args(["--seeds", "5"]))?;
    let report: Value = serde_json::from_str(&said).context("`fold train --json` did not print one JSON object")?;
    let number = |place: &Value, key: &str| place[key].as_f64().with_context(|| format!("no number under `{key}`"));
    let (accuracy, spread) = (&report["accuracy"], &report["accuracy_spread"]);
    let (learned, frozen) = (number(accuracy, "learned")?, number(accuracy, "frozen")?);
    let noise = number(spread, "learned")?.max(number(spread, "frozen")?);
    ensure!(
        learned >= ACCURACY_FLOOR,
        "held-out accuracy {learned:.4} is below {ACCURACY_FLOOR}\n{said}"
    );
    ensure!(
        learned - frozen > noise,
        "learned {learned:.4} against frozen {frozen:.4}: within the spread {noise:.4}"
    );
    must(Command::new(&fold).args(["verify", "--quiet"]).arg(&out))?;
    Ok(Ended::Passed(format!(
        "held-out accuracy over 5 seeds: learned {learned:.4}, frozen {frozen:.4}, larger spread {noise:.4}\n{said}"
    )))
}

pub(super) fn identity(root: &Path) -> anyhow::Result<Ended> {
    let fold = tested_binary(root)?;
    let scratch = Scratch::new(root, "identity")?;
    let plain = scratch.path("plain");
    must(small(&mut fold_train(&fold, &plain)))?;
    // As many threads as are asked for, whatever the machine has: the plain run takes what it has.
    for threads in ["1", "2"] {
        let out = scratch.path(&format!("threads-{threads}"));
        must(small(fold_train(&fold, &out).args(["--threads", threads])))?;
        ensure_same(&plain, &out)?;
    }
    let resumed = scratch.path("resumed");
    must(
        fold_train(&fold, &resumed)
            .args(SMALL_WITHOUT_EPOCHS)
            .args(["--epochs", "2"]),
    )?;
    must(small(fold_train(&fold, &resumed).arg("--resume")))?;
    ensure_same(&plain, &resumed)?;
    let last = files(&plain)?.len();
    Ok(Ended::Passed(format!(
        "{last} checkpoints byte-identical with one thread, with two, with as many as there are cores, and resumed after epoch 2"
    )))
}

pub(super) fn flips(root: &Path) -> anyhow::Result<Ended> {
    let fold = tested_binary(root)?;
    let scratch = Scratch::new(root, "flips")?;
    let out = scratch.path("run");
    must(small(&mut fold_train(&fold, &out)))?;
    let (name, whole) = files(&out)?.pop_last().context("the run left no checkpoint")?;
    let damaged = scratch.path(&name);
    let bits = u64::try_from(whole.len())? * 8;
    for turn in 0..FLIPS {
        // Multiplying by an odd constant spreads the turns over the file; 0 and the last bit are always tried.
        let bit = if turn + 1 == FLIPS {
            bits - 1
        } else {
            turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) % bits
        };
        let (byte, mask) = (usize::try_from(bit / 8)?, 1u8 << (bit % 8));
        let mut bytes = whole.clone();
        *bytes.get_mut(byte).context("a bit of the file")? ^= mask;
        std::fs::write(&damaged, bytes)?;
        let output = run(Command::new(&fold).args(["verify", "--json"]).arg(&damaged))?;
        ensure!(
            matches!(output.status.code(), Some(1 | 10)),
            "bit {bit} of {name}: verify ended with {}",
            output.status
        );
        let report: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("bit {bit} of {name}"))?;
        let covers = |finding: &Value| {
            let end = |index: usize| finding["byte_range"][index].as_u64();
            end(0)
                .zip(end(1))
                .is_some_and(|(start, end)| (start..end).contains(&(bit / 8)))
        };
        let findings = report["files"][0]["findings"].as_array().context("no findings")?;
        ensure!(
            findings.iter().any(covers),
            "bit {bit} of {name}: no finding covers byte {byte}\n{report}"
        );
    }
    Ok(Ended::Passed(format!(
        "{FLIPS} single-bit flips of {name} ({bits} bits): all noticed and located, 0 silent"
    )))
}

pub(super) fn soak(root: &Path) -> anyhow::Result<Ended> {
    let (out, err) = must(&mut cargo(
        root,
        &[
            "run",
            "--quiet",
            "--release",
            "--package",
            "fold-advanced",
            "--example",
            "soak",
            "--",
            SOAK_STEPS,
        ],
    ))?;
    Ok(Ended::Passed(format!("{out}{err}").trim().to_owned()))
}

pub(super) fn kills(root: &Path) -> anyhow::Result<Ended> {
    let fold = fold_binary(root)?;
    let scratch = Scratch::new(root, "kills")?;
    let plain = scratch.path("plain");
    must(small(&mut fold_train(&fold, &plain)))?;
    let expected = files(&plain)?;
    let mut interrupted = 0u32;
    for turn in 0..KILLED_RUNS {
        let out = scratch.path(&format!("killed-{turn}"));
        // Start, kill after a delay that differs every time, resume; up to a few kills on the way to the end.
        for attempt in 0..4 {
            let mut command = fold_train(&fold, &out);
            if out.exists() {
                command.arg("--resume");
            }
            let mut child = small(&mut command)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            if attempt < 3 {
                std::thread::sleep(Duration::from_millis(5 + (turn * 37 + attempt * 101) % 400));
                child.kill()?;
            }
            let status = child.wait()?;
            interrupted += u32::from(!status.success());
            if status.success() {
                break;
            }
        }
        let found = files(&out).with_context(|| format!("turn {turn}"))?;
        ensure!(
            found == expected,
            "turn {turn}: the resumed run's files differ from the uninterrupted run's"
        );
        must(Command::new(&fold).args(["verify", "--quiet"]).arg(&out))?;
        std::fs::remove_dir_all(&out)?;
    }
    ensure!(
        interrupted > 0,
        "no run was interrupted: the delays are too long for this machine"
    );
    Ok(Ended::Passed(format!(
        "{KILLED_RUNS} runs, {interrupted} kills: every resumed run ends byte-identical\n{}",
        soak_of_kills(&fold, &scratch, KILLS, 1)?
    )))
}

fn soak_of_kills(fold: &Path, scratch: &Scratch, kills: u64, seed: u64) -> anyhow::Result<String> {
    let folder = scratch.path("soak");
    std::fs::create_dir(&folder)?;
    crate::kill_soak::run_soak(fold, &folder, kills, seed)
}

/// `cargo xtask kill-soak`.
pub(crate) fn kill_soak(root: &Path, kills: u64, seed: u64) -> anyhow::Result<String> {
    soak_of_kills(&fold_binary(root)?, &Scratch::new(root, "kill-soak")?, kills, seed)
}

/// Epochs of the small run that the identity checks repeat.
const SMALL_EPOCHS: &str = "6";
/// The small run's size; its epochs are [`SMALL_EPOCHS`].
const SMALL_WITHOUT_EPOCHS: [&str; 4] = ["--neurons", "40", "--keep-last", "100"];

fn small(command: &mut Command) -> &mut Command {
    command.args(SMALL_WITHOUT_EPOCHS).args(["--epochs", SMALL_EPOCHS])
}

fn fold_train(fold: &Path, out: &Path) -> Command {
    let mut command = Command::new(fold);
    command
        .args(["train", "--json", "--progress", "never", "--data", "digits", "--out"])
        .arg(out);
    command.stdin(Stdio::null());
    command
}

/// The checkpoints of a run: name -> bytes.
fn files(run: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(run).with_context(|| format!("cannot list {}", run.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".fold") && !name.starts_with('.') {
            found.insert(name, std::fs::read(entry.path())?);
        }
    }
    ensure!(!found.is_empty(), "{} holds no checkpoint", run.display());
    Ok(found)
}

fn ensure_same(a: &Path, b: &Path) -> anyhow::Result<()> {
    let (left, right) = (files(a)?, files(b)?);
    ensure!(
        left.keys().eq(right.keys()),
        "{} and {} hold other checkpoints",
        a.display(),
        b.display()
    );
    for (name, bytes) in &left {
        ensure!(
            right.get(name) == Some(bytes),
            "{name} differs between {} and {}",
            a.display(),
            b.display()
        );
    }
    Ok(())
}
