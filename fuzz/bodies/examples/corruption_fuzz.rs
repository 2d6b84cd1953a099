//! The corruption campaign: `cargo xtask corruption-fuzz [--minutes N] [--seed S] [--only PHASE]`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fold_fuzz_bodies::campaign::crash::{Lie, third_states};
use fold_fuzz_bodies::campaign::twins::{Digests, silent_losses};
use fold_fuzz_bodies::campaign::{Settings, heading, line, run};

/// States in which each planted bug is looked for.
const PLANTED_STATES: u64 = 20_000;

/// `--minutes N`, `--seed S` and any number of `--only PHASE`, in any order.
fn arguments() -> Result<(Settings, Vec<String>), Box<dyn Error>> {
    let (mut settings, mut only) = (Settings::full(1), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--minutes" => settings.limit = Some(Duration::from_secs(value.parse::<u64>()? * 60)),
            "--seed" => settings.seed = value.parse()?,
            "--only" => only.push(value),
            _ => return Err(format!("unknown argument {argument}: --minutes N, --seed S, --only PHASE").into()),
        }
    }
    Ok((settings, only))
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (settings, only) = arguments()?;
    let started = Instant::now();
    let mut out = std::io::stdout().lock();
    let limit = settings
        .limit
        .map_or("none".to_owned(), |limit| format!("{} min", limit.as_secs() / 60));
    writeln!(
        out,
        "seed {}, time limit {limit}, {} threads",
        settings.seed,
        rayon::current_num_threads()
    )?;
    // A panic is counted and told by the phase; its backtrace helps nobody who has the case.
    std::panic::set_hook(Box::new(|info| drop(writeln!(std::io::stderr(), "{info}"))));
    let mut good = true;
    for lie in Lie::PLANTED {
        let (third, states) = third_states(lie, PLANTED_STATES, settings.seed);
        writeln!(out, "planted, {lie}: {third} third states of {states}")?;
        good &= third > 0;
    }
    let (silent, losses) = silent_losses(Digests::Inside, settings.seed);
    writeln!(out, "planted, {}: {silent} silent losses of {losses}", Digests::Inside)?;
    good &= silent > 0;
    heading(&mut out)?;
    let rows = run(&settings, &only, &[], &mut |row| line(&mut out, row))?;
    if rows.is_empty() {
        return Err(format!("no phase begins with {}", only.join(" or ")).into());
    }
    good &= rows.iter().all(|row| row.is_clean());
    let cases = rows.iter().map(|row| row.tally.cases).sum::<u64>();
    let left = rows.iter().map(|row| row.planned - row.tally.cases).sum::<u64>();
    let verdict = if good { "0 silent, 0 panics" } else { "FAILED" };
    writeln!(
        out,
        "{verdict}: {cases} cases in {:.0} s, {left} not run",
        started.elapsed().as_secs_f64()
    )?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
