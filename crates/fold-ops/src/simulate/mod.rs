//! Simulation: a neuron replayed over an input from a given state, every step and state recorded as arrays.
//!
//! The case (JSON) says which neuron and which program of steps; the input (npz) holds `x` [T, B, D, S] and optionally the
//! initial state as `init.*`. The trace (npz) holds `step.*` per forward step, `snap.*` every few of them and after the last, and
//! `final.*` at the end. This
//! is how numerics are compared with a reference, and how a mechanism can be looked at. `docs/numerics/SIMULATE.md` describes
//! the formats.
//!
//! Not here: what a neuron computes (`fold-advanced`), and layers with more than one neuron.

mod arrays;
mod case;
mod fault;
mod pyfolds;
mod sound;
mod trace;

use std::path::{Path, PathBuf};

use fold_advanced::Semantics;
use fold_advanced::pyfolds::Mode;
use fold_format::storage::Storage as _;
use serde::Serialize;

use crate::error::{DirectoryOperation, Error};
use crate::exit::ExitCode;
use crate::input_file;
use crate::json::Int;
use arrays::Arrays;
use case::{Case, Row};
use trace::{Trace, Values};

pub use case::NeuronClass;
pub use fault::{Fault, RowFault};
pub use trace::ArraySummary;

/// Forward steps between snapshots where nobody says so.
const SNAPSHOT_EVERY: u32 = 10;

/// The longest case that is read: 256 MiB.
const MAX_CASE_BYTES: u64 = 1 << 28;

/// The largest trace that is held in memory and written: 8 GiB.
const MAX_TRACE_BYTES: u64 = 1 << 33;

/// What to simulate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulateRequest {
    /// The case, JSON.
    pub config: PathBuf,
    /// The input, npz.
    pub input: PathBuf,
    /// Where the trace goes; must not exist.
    pub output: PathBuf,
    /// Which arithmetic.
    pub semantics: Semantics,
    /// Forward steps between snapshots, at least 1; the case's where none is given.
    pub snapshot_every: Option<u32>,
}

/// What a simulation was, for a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SimulateReport {
    /// `fold.simulate/1`.
    pub schema: &'static str,
    /// `simulate`.
    pub command: &'static str,
    /// This release.
    pub tool_version: &'static str,
    /// How the command ends.
    pub exit_code: ExitCode,
    /// The case's name.
    pub id: String,
    /// The neuron's class.
    pub class: NeuronClass,
    /// Which arithmetic.
    pub semantics: Semantics,
    /// [D, S].
    pub shape: [u32; 2],
    /// B.
    pub batch: Int,
    /// Forward steps taken.
    pub steps: Int,
    /// Spikes over all steps and samples.
    pub spikes: Int,
    /// Snapshots taken.
    pub snapshots: Int,
    /// What of the case and the input has no meaning in this semantics and was not applied: `overrides.<name>`, `init.<name>`.
    pub not_applied: Vec<String>,
    /// Values of x that lay outside of [0, 1] and were clipped to it; always 0 under PyFolds, which takes any number.
    pub inputs_clipped: Int,
    /// The trace's arrays, with the range of their values.
    pub arrays: Vec<ArraySummary>,
    /// Where the trace is.
    pub output: PathBuf,
}

/// A forward step, as the program asks for it.
#[derive(Debug, Clone, Copy)]
struct Forward<'a> {
    x: &'a [f32],
    samples: usize,
    mode: Option<Mode>,
    reward: Option<f64>,
    dt: f64,
    collect_stats: bool,
}

/// Takes an array of a state: name, the shape it has, the shape that a snapshot pads it to, values.
type Visit<'a> = dyn FnMut(&str, &[usize], &[usize], Values<'_>) + 'a;

/// A neuron that a program can be run on.
trait Subject {
    /// Takes one step, records `step.*`, and says how many spikes there were.
    fn forward(&mut self, forward: Forward<'_>, trace: &mut Trace) -> Result<u64, StepFault>;
    fn set_mode(&mut self, mode: Mode) -> Result<(), StepFault>;
    fn apply(&mut self, dt: f64, reward: Option<f64>) -> Result<(), StepFault>;
    fn sleep(&mut self, duration: f64) -> Result<(), StepFault>;
    /// Hands out every array of the state.
    fn visit_state(&self, visit: &mut Visit<'_>);
    /// Values of x that were clipped so far.
    fn inputs_clipped(&self) -> u64;
    /// What of case and input has no meaning here.
    fn not_applied(&self) -> Vec<String>;
}

/// Why a row could not be carried out.
enum StepFault {
    Asked(RowFault),
    Failed(fold_advanced::Error),
}

impl From<fold_advanced::Error> for StepFault {
    fn from(error: fold_advanced::Error) -> Self {
        Self::Failed(error)
    }
}

impl StepFault {
    fn at(self, row: usize) -> Fault {
        match self {
            Self::Asked(what) => Fault::Row { row, what },
            Self::Failed(source) => Fault::Step { row, source },
        }
    }
}

/// Runs a case and writes its trace.
///
/// # Errors
/// `FOLD-E0001`, `FOLD-E0002` the case; `FOLD-E0003` the target exists; `FOLD-E0008` the input does not fit the case;
/// `FOLD-E0805` it is no archive of arrays; `FOLD-E0505` a value became impossible on the way; I/O. No trace is left then.
pub fn simulate(request: &SimulateRequest) -> Result<SimulateReport, Error> {
    let case = Case::parse(&input_file::read(&request.config, MAX_CASE_BYTES)?)?;
    fits(case.per_sample_bytes())?;
    let every = request.snapshot_every.or(case.snapshot_every).unwrap_or(SNAPSHOT_EVERY);
    if every == 0 {
        return Err(Fault::NoSnapshots.into());
    }
    if fold_format::Disk
        .exists(&request.output)
        .map_err(|source| failed(DirectoryOperation::Look, &request.output, source))?
    {
        return Err(taken(&request.output));
    }
    let input = Arrays::read(&request.input)?;
    let mut subject: Box<dyn Subject> = match request.semantics {
        Semantics::Sound => Box::new(sound::Subject::new(&case, &input)?),
        _ => Box::new(pyfolds::Subject::new(&case, &input)?),
    };
    let mut run = Run {
        case: &case,
        input: &input,
        every: every as usize,
        trace: Trace::default(),
        steps: 0,
        spikes: 0,
        snapshots: 0,
    };
    run.program(subject.as_mut())?;
    run.trace.save(&request.output)?;
    Ok(SimulateReport {
        schema: "fold.simulate/1",
        command: "simulate",
        tool_version: env!("CARGO_PKG_VERSION"),
        exit_code: ExitCode::Done,
        id: case.id.clone(),
        class: case.class,
        semantics: request.semantics,
        shape: case.shape,
        batch: Int(case.batch as u64),
        steps: Int(run.steps as u64),
        spikes: Int(run.spikes),
        snapshots: Int(run.snapshots),
        not_applied: subject.not_applied(),
        inputs_clipped: Int(subject.inputs_clipped()),
        arrays: run.trace.summaries(),
        output: request.output.clone(),
    })
}

/// Whether a trace of `bytes` bytes is held.
fn fits(bytes: u64) -> Result<(), Fault> {
    let max = MAX_TRACE_BYTES;
    if bytes > max {
        return Err(Fault::TraceSize { bytes, max });
    }
    Ok(())
}

fn taken(path: &Path) -> Error {
    Error::Format(fold_format::Misuse::TargetExists { path: path.into() }.into())
}

fn failed(operation: DirectoryOperation, path: &Path, source: std::io::Error) -> Error {
    Error::Directory {
        operation,
        path: path.into(),
        source,
    }
}

/// A program on its way.
struct Run<'a> {
    case: &'a Case,
    input: &'a Arrays,
    every: usize,
    trace: Trace,
    steps: usize,
    spikes: u64,
    snapshots: u64,
}

impl Run<'_> {
    fn program(&mut self, subject: &mut dyn Subject) -> Result<(), Fault> {
        let [dendrites, synapses] = self.case.dims();
        let rows = match self.input.extents("x")? {
            [rows, ..] => *rows as usize,
            [] => 0,
        };
        let shape = [rows, self.case.batch, dendrites, synapses];
        let x = self.input.f32s("x", &shape)?.unwrap_or_default();
        let steps = self.case.steps();
        if steps > rows {
            return Err(Fault::TooFewInputs { steps, rows });
        }
        let row_len = dendrites * synapses;
        let mut next = 0;
        for (at, row) in self.case.program.iter().enumerate() {
            match *row {
                Row::Forward {
                    mode,
                    reward,
                    dt,
                    collect_stats,
                    samples,
                } => {
                    let samples = samples.unwrap_or(self.case.batch);
                    if samples > self.case.batch {
                        let what = RowFault::Samples {
                            samples,
                            batch: self.case.batch,
                        };
                        return Err(Fault::Row { row: at, what });
                    }
                    let x = &x[next..next + samples * row_len];
                    next += self.case.batch * row_len;
                    let forward = Forward {
                        x,
                        samples,
                        mode,
                        reward,
                        dt,
                        collect_stats,
                    };
                    self.spikes += subject
                        .forward(forward, &mut self.trace)
                        .map_err(|fault| fault.at(at))?;
                    self.steps += 1;
                    if self.steps.is_multiple_of(self.every) || self.steps == steps {
                        self.snapshot(subject);
                    }
                    fits(self.trace.byte_len())?;
                }
                Row::SetMode(mode) => subject.set_mode(mode).map_err(|fault| fault.at(at))?,
                Row::Apply { dt, reward } => subject.apply(dt, reward).map_err(|fault| fault.at(at))?,
                Row::Sleep { duration } => subject.sleep(duration).map_err(|fault| fault.at(at))?,
            }
        }
        let trace = &mut self.trace;
        subject.visit_state(&mut |name, shape, _, values| trace.set(&format!("final.{name}"), shape, values));
        fits(self.trace.byte_len())
    }

    fn snapshot(&mut self, subject: &dyn Subject) {
        let trace = &mut self.trace;
        subject.visit_state(&mut |name, _, padded, values| trace.push(&format!("snap.{name}"), padded, values));
        trace.push("snap.after_step", &[], Values::I64(&[self.steps as i64]));
        self.snapshots += 1;
    }
}
