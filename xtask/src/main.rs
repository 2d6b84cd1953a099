//! `cargo xtask`: what the project needs and cargo alone cannot do.
//!
//! The tests are `cargo test --workspace`; this program runs cargo, never the other way round. Each task says what it
//! proves and shows the evidence. What is not here: anything a test can do by itself.

mod checklist;
mod corruption_fuzz;
mod evidence;
mod fault_table;
mod instrumented;
mod interop;
mod items;
mod kill_soak;
mod perf;
mod planted;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use crate::checklist::Ended;

/// Project tasks that cargo alone cannot do.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    /// The workspace to work on; the one of this program unless said.
    #[arg(long, value_name = "FOLDER", global = true)]
    root: Option<PathBuf>,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Run the pre-release checklist and write target/release-check/report.{md,json}.
    ReleaseCheck(ReleaseCheck),
    /// Plant faults into a copy of the tree, one by one, and see that each turns its item of the checklist red.
    Planted {
        /// Plant just this fault (may be given more than once).
        #[arg(long, value_name = "FAULT")]
        only: Vec<String>,
    },
    /// Damage a checkpoint under the eyes of a real Prometheus: the alert fires, names the file, and resolves.
    AlertDrill,
    /// Write THIRD-PARTY.md from what the binary links.
    Notices,
    /// Measure what docs/performance/REPORT.md tells, record it, and write the report.
    PerfReport {
        /// Where the files that are measured are written; the disk under it is what is measured.
        #[arg(long, value_name = "FOLDER", default_value = "target")]
        folder: PathBuf,
        /// Measure nothing: write the report of this record.
        #[arg(long, value_name = "CSV")]
        from: Option<PathBuf>,
    },
    /// Measure `fold` in turns with Python packages, in a virtual environment, and write docs/performance/PEERS.md.
    PerfPeers {
        /// Where the files that are measured are written.
        #[arg(long, value_name = "FOLDER", default_value = "target")]
        folder: PathBuf,
        /// Measure nothing: write the report of this record.
        #[arg(long, value_name = "CSV")]
        from: Option<PathBuf>,
    },
    /// Measure again and compare every ratio with the newest record.
    PerfCheck {
        /// Where the files that are measured are written.
        #[arg(long, value_name = "FOLDER", default_value = "target")]
        folder: PathBuf,
    },
    /// Try every kind of damage of the fault model on every layout of a file, and count what is noticed and repaired.
    CorruptionFuzz {
        /// Stop after this time, shared among the phases; what was not run is told.
        #[arg(long, value_name = "N")]
        minutes: Option<u64>,
        /// The random cases follow from it.
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
        /// Run just the phases whose names begin so, for example `T6` (may be given more than once).
        #[arg(long, value_name = "PHASE")]
        only: Vec<String>,
    },
    /// Kill training at any moment of a save, with a reader looking on: nothing that was seen is lost, nothing is broken.
    KillSoak {
        /// How often.
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        kills: u64,
        /// The moments follow from it.
        #[arg(long, value_name = "S", default_value_t = 1)]
        seed: u64,
    },
    /// Let PyFolds, safetensors and NumPy read what `fold` writes, and the reverse, in a virtual environment of Python.
    Interop {
        /// Also time PyFolds' reader against `fold verify` on the same files: minutes.
        #[arg(long)]
        speed: bool,
    },
    /// Run the container's tests under the address sanitizer and the checks of undefined behaviour; nightly.
    Sanitize,
    /// Run the container's tests with coverage and list lines and branches of each file; nightly and LLVM's tools.
    Coverage,
    /// Run the tests of the fault model and write their table into docs/format/INTEGRITY.md.
    FaultTable,
}

#[derive(clap::Args)]
struct ReleaseCheck {
    /// Leave out the items that take minutes: soaks, kills, fuzzing, benches, five seeds.
    #[arg(long)]
    quick: bool,
    /// Run just this item (may be given more than once).
    #[arg(long, value_name = "ITEM")]
    only: Vec<String>,
    /// Print the items and what each proves, and run nothing.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let root = match arguments.root {
        Some(root) => root,
        None => workspace_root()?,
    };
    let mut out = std::io::stdout().lock();
    match arguments.task {
        None => {
            write!(out, "{}", Arguments::command().render_long_help())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Task::CorruptionFuzz { minutes, seed, only }) => {
            Ok(if corruption_fuzz::run(&root, minutes, seed, &only)? {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Some(Task::FaultTable) => {
            fault_table::write(&root, &mut out)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Task::ReleaseCheck(options)) if options.list => {
            for item in items::ALL {
                writeln!(
                    out,
                    "{:<16} {}{}",
                    item.name,
                    item.proves,
                    if item.slow { " (slow)" } else { "" }
                )?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(Task::Planted { only }) => Ok(if planted::run_all(&root, &only, &mut out)? {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }),
        Some(Task::AlertDrill) => {
            writeln!(out, "{}", items::drill(&root)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Task::PerfReport { folder, from }) => {
            writeln!(out, "{}", perf::report(&root, &root.join(folder), from.as_deref())?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Task::PerfCheck { folder }) => {
            let evidence = perf::check(&root, &root.join(folder))?;
            writeln!(
                out,
                "{}",
                evidence.context("nothing is recorded: `cargo xtask perf-report`")?
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Task::Notices) => {
            std::fs::write(root.join("THIRD-PARTY.md"), items::notices(&root)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Task::KillSoak { kills, seed }) => {
            writeln!(out, "{}", items::kill_soak(&root, kills, seed)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Task::Interop { speed }) => told(&mut out, interop::run(&root, speed)?),
        Some(Task::PerfPeers { folder, from }) => {
            let ended = perf::peers(&root, &root.join(folder), from.as_deref())?;
            told(&mut out, ended)
        }
        Some(Task::Sanitize) => told(&mut out, instrumented::sanitize(&root)?),
        Some(Task::Coverage) => told(&mut out, instrumented::coverage(&root)?),
        Some(Task::ReleaseCheck(options)) => {
            let chosen = checklist::choose(items::ALL, &options.only, options.quick)?;
            let scope = match (&options.only[..], options.quick) {
                ([], false) => "all".to_owned(),
                ([], true) => {
                    let slow = items::ALL.iter().filter(|item| item.slow).map(|item| item.name);
                    format!("`--quick`: without {}", slow.collect::<Vec<_>>().join(", "))
                }
                (named, _) => format!("just {}", named.join(", ")),
            };
            let report = checklist::run(&root, &chosen, &scope, &mut out)?;
            report.write(&root.join("target/release-check"))?;
            write!(out, "\n{}", report.summary())?;
            Ok(if report.passed() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
    }
}

/// What a task that may be skipped came to, and the exit code that says so.
fn told(out: &mut impl Write, ended: Ended) -> anyhow::Result<ExitCode> {
    Ok(match ended {
        Ended::Passed(said) => {
            writeln!(out, "{said}")?;
            ExitCode::SUCCESS
        }
        Ended::Skipped(reason) => {
            writeln!(out, "skipped: {reason}")?;
            ExitCode::from(interop::SKIPPED)
        }
    })
}

/// The names of the tasks, as the command line has them.
pub(crate) fn tasks() -> Vec<String> {
    let command = Arguments::command();
    command
        .get_subcommands()
        .map(|task| task.get_name().to_owned())
        .collect()
}

/// The folder of the workspace: the parent of this package's.
fn workspace_root() -> anyhow::Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Ok(here
        .parent()
        .context("xtask lies in the workspace's folder")?
        .to_path_buf())
}
