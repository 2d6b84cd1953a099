//! `fold scrub`: a pass over a store with progress on standard error, once or again and again.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fold_ops::scrub::{self, RepairOutcome, ScrubEvent, ScrubOptions, ScrubReport};
use fold_ops::{Escaped, ExitCode, SystemClock};

use super::verify::one_file;
use crate::arguments::{Global, Scrub};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{Output, note};
use crate::progress::ScrubTeller;

/// How often a waiting scrub looks for a signal.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn run(arguments: &Scrub, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let options = ScrubOptions {
        bytes_per_second: arguments.bwlimit,
        max_duration: arguments.max_duration,
        since: arguments.since,
        interval: arguments.interval,
        state: arguments.state.clone(),
        metrics_file: arguments.metrics_file.clone(),
        repair_to: arguments.repair_to.clone(),
    };
    loop {
        let begun = Instant::now();
        let ended = pass(arguments, &options, global);
        if let Ok(report) = &ended {
            if global.json {
                output.json(report)?;
            } else {
                output.text(&rendered(report))?;
            }
        }
        let Some(interval) = arguments.interval else {
            return ended.map(|report| report.exit_code);
        };
        match ended {
            Err(Failure::Ops(error)) if passes(&error) => log::error!("{error}; the next turn tries again"),
            other => drop(other?),
        }
        // What a call left undone is gone on with at the next turn.
        while begun.elapsed() < interval {
            if interrupt::requested().is_break() {
                return Ok(ExitCode::Interrupted);
            }
            std::thread::sleep(LOOK.min(interval.saturating_sub(begun.elapsed())));
        }
    }
}

/// Whether what stopped a pass may be over at the next: another scrub, a full disk, a failing one.
fn passes(error: &fold_ops::Error) -> bool {
    matches!(error.code().as_str(), "FOLD-E0105" | "FOLD-E0404" | "FOLD-E0406")
}

fn pass(arguments: &Scrub, options: &ScrubOptions, global: &Global) -> Result<ScrubReport, Failure> {
    let teller = ScrubTeller::new(global.progress, global.quiet);
    let quiet = global.quiet;
    let ended = scrub::scrub(&arguments.dir, options, &SystemClock::start(), &mut |event| {
        teller.on(event);
        if let ScrubEvent::Verified { file } = event
            && !file.is_whole()
            && !quiet
            && !teller.tells_all()
        {
            teller.suspended(|| note(&format!("{}: {}", Escaped(&file.path.to_string_lossy()), file.verdict)));
        }
        interrupt::requested()
    });
    teller.finish();
    Ok(ended?)
}

fn rendered(report: &ScrubReport) -> String {
    let mut text = String::new();
    for file in &report.files {
        one_file(file, &mut text);
    }
    for copy in &report.repairs {
        let output = Escaped(&copy.output.to_string_lossy()).to_string();
        let next = match copy.outcome {
            RepairOutcome::Conflict => ", another file is there; move it away, or name another directory",
            _ => "",
        };
        let _ = writeln!(text, "{output}: {}{next}", copy.outcome.as_str());
    }
    for finding in &report.findings {
        let _ = writeln!(text, "{} {}", finding.code, finding.message);
    }
    let summary = &report.summary;
    let _ = writeln!(
        text,
        "{}: {}; {} of {} files read, {} fresh, {} left, {} not whole; {} bytes in {:.1} s",
        Escaped(&report.store.to_string_lossy()),
        report.result.as_str(),
        summary.read,
        summary.files,
        summary.fresh,
        summary.left,
        summary.damaged,
        summary.bytes_read.0,
        summary.seconds,
    );
    text
}
