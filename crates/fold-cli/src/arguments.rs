//! The command line: commands, flags and what their help says.
//!
//! Names and meanings are a contract: scripts use them. What the commands do is in [`crate::commands`].

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fold_ops::{ParityLevel, Semantics, Timestamp};

use crate::durations;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the answer is no (damage found), 2 usage, 3 done in part, 10 absent or not a \
container, 11 locked, 12 needs a newer release, 20 damaged and cannot go on, 21 refused for safety, 74 input/output error, \
101 bug, 129 ended by SIGHUP, 130 interrupted, 143 ended by SIGTERM.";

/// Checkpoints that can be trusted, and networks that learn by local rules.
#[derive(Debug, Parser)]
#[command(name = "fold", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Print one JSON object on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but the result.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log more: -v what is set up, -vv every detail.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Colour the result; NO_COLOR is honoured by auto.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// Show progress on standard error; auto: a bar on a terminal, nothing elsewhere.
    #[arg(long, global = true, value_enum, default_value_t = Progress::Auto)]
    pub(crate) progress: Progress,
    /// Threads to compute with, up to 256; changes no result.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    Auto,
    Bar,
    Plain,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a layer by local rules, with a checkpoint after every epoch.
    #[command(after_help = "Example: fold train --data digits --out runs/digits")]
    Train(Train),
    /// Measure a checkpoint's accuracy on the held-out images.
    #[command(after_help = "Example: fold eval runs/digits/step-00000008.fold --data digits")]
    Eval(Eval),
    /// Replay a neuron over an input, and write every step and state as arrays.
    #[command(after_help = "Example: fold simulate --config case.json --input case.npz --output trace.npz")]
    Simulate(Simulate),
    /// Say what a checkpoint holds. Digests are shown as recorded; `fold verify` checks them.
    #[command(after_help = "Example: fold inspect runs/digits/step-00000008.fold --tensor layer0.filaments --stats")]
    Inspect(Inspect),
    /// Verify checkpoints, or every checkpoint of a directory, and locate damage.
    #[command(after_help = "Example: fold verify runs/digits")]
    Verify(Verify),
    /// Convert a checkpoint between formats; its source is verified first and its result read back.
    #[command(after_help = "Example: fold convert neuron.fold neuron.safetensors")]
    Convert(Convert),
    /// Say what two files differ in; they may be of different formats.
    #[command(after_help = "Example: fold diff old.fold new.fold --atol 1e-6")]
    Diff(Diff),
    /// Write one chunk's decoded payload, or one tensor as .npy, into a file of its own.
    #[command(after_help = "Example: fold extract neuron.fold --tensor homeostasis.theta -o theta.npy")]
    Extract(Extract),
    /// Write a whole copy of a damaged file, byte for byte as it was saved, or refuse.
    #[command(after_help = "Example: fold repair net.fold -o net.repaired.fold")]
    Repair(Repair),
    /// Take out of a file what is intact: tensors as .npy, and a report of what is lost.
    #[command(after_help = "Example: fold salvage net.fold -o net-salvaged")]
    Salvage(Salvage),
    /// Write a signed copy of a file that is sealed with BLAKE3.
    #[command(after_help = "Example: fold sign net.fold --key lab.pem -o net.signed.fold")]
    Sign(Sign),
    /// Make a pair of ed25519 keys: KEY.pem, to be kept secret, and KEY.pub.pem.
    #[command(after_help = "Example: fold keygen -o lab.pem")]
    Keygen(Keygen),
    /// Read every checkpoint of a directory in full, slowly, remembering what was read when.
    #[command(after_help = "Example: fold scrub runs/digits --bwlimit 50 --max-duration 1h --since 7d")]
    Scrub(Scrub),
    /// Say which checkpoints can go, and remove them with --apply; the newest valid one and damaged ones stay.
    #[command(after_help = "Example: fold prune runs/digits --keep-last 3 --keep-best 1")]
    Prune(Prune),
    /// Serve the metrics of a store to Prometheus.
    #[command(after_help = "Example: fold exporter runs/digits --listen 127.0.0.1:9464")]
    Exporter(Exporter),
    /// Look at this machine and a directory: can a run be trusted to it?
    #[command(after_help = "Example: fold doctor runs/digits")]
    Doctor(Doctor),
    /// Explain a code that a message or a report shows.
    #[command(after_help = "Example: fold explain FOLD-E0301")]
    Explain(Explain),
    /// Print a shell's completion script.
    #[command(after_help = "Example: fold completions bash > /etc/bash_completion.d/fold")]
    Completions(Completions),
    /// Print the manual page.
    #[command(after_help = "Example: fold man | man -l -")]
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// What to learn from: digits; a directory of IDX files as MNIST has them, plain or .gz; or an npz archive with
    /// x_train, y_train, x_test and y_test, images [N, H, W] or [N, P] of u8 or of f32 in [0, 1]. A resumed run knows it.
    #[arg(long, value_name = "digits|IDX-DIR|NPZ", required_unless_present = "resume")]
    pub(crate) data: Option<String>,
    /// The run's directory: checkpoints and figures.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Settings that differ from their defaults, as a JSON object; or the chunk `training` of a checkpoint, as `fold extract`
    /// writes it: all of its settings, its seed and its epochs.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Passes over the training images, 8 unless said or resumed.
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<u32>,
    /// Neurons of the layer.
    #[arg(long, value_name = "N")]
    pub(crate) neurons: Option<u32>,
    /// The first seed; its run is the one that is saved. 0 unless said, configured or resumed.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many seeds to measure; with more than one the result is their mean and spread.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) seeds: u16,
    /// Go on from the newest valid checkpoint of DIR, or from the one named, with its settings unless others are said.
    #[arg(long, value_name = "auto|PATH", num_args = 0..=1, require_equals = true, default_missing_value = "auto")]
    pub(crate) resume: Option<PathBuf>,
    /// Keep this many of the newest valid checkpoints; without --keep-last and --keep-best all are kept.
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<usize>,
    /// Keep this many of the best checkpoints, by leave-one-out accuracy on the training images.
    #[arg(long, value_name = "N")]
    pub(crate) keep_best: Option<usize>,
    /// Parity in every checkpoint, from which `fold repair` restores lost blocks: 2 %, 5 % or 10 % of the blocks, two at
    /// least. Off unless said or resumed.
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) parity: Option<Parity>,
    /// Keep metrics in this file, for node_exporter's textfile collector.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Parity {
    Off,
    Low,
    Med,
    High,
}

impl Parity {
    /// As the container knows it.
    pub(crate) const fn level(self) -> Option<ParityLevel> {
        match self {
            Self::Off => None,
            Self::Low => Some(ParityLevel::Low),
            Self::Med => Some(ParityLevel::Medium),
            Self::High => Some(ParityLevel::High),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// The checkpoint, or a run's directory: its newest valid one.
    pub(crate) checkpoint: PathBuf,
    /// The data set it was trained on: digits, a directory of IDX files, or an npz archive.
    #[arg(long, value_name = "digits|IDX-DIR|NPZ")]
    pub(crate) data: String,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The case, JSON: class, shape, batch, parameters, program of steps.
    #[arg(long, value_name = "CASE.json")]
    pub(crate) config: PathBuf,
    /// The input, npz: x [T, B, D, S] and, optionally, the initial state as init.*.
    #[arg(long, value_name = "CASE.npz")]
    pub(crate) input: PathBuf,
    /// Where the trace goes, npz: step.*, snap.*, final.*; must not exist.
    #[arg(long, value_name = "TRACE.npz")]
    pub(crate) output: PathBuf,
    /// Which arithmetic: sound or pyfolds-1.0.2.
    #[arg(long, value_name = "NAME", default_value_t = Semantics::PyFolds102)]
    pub(crate) semantics: Semantics,
    /// Forward steps between snapshots; the case's own, else 10.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) snapshot_every: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A checkpoint, or a directory of checkpoints.
    pub(crate) path: PathBuf,
    /// Just this tensor.
    #[arg(long, value_name = "NAME")]
    pub(crate) tensor: Option<String>,
    /// Read and verify the listed tensors, and add their statistics.
    #[arg(long)]
    pub(crate) stats: bool,
    #[command(flatten)]
    pub(crate) keys: KeyFiles,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Checkpoints, or directories of checkpoints.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How far to go; only full reads every byte.
    #[arg(long, value_enum, default_value_t = Level::Full)]
    pub(crate) level: Level,
    /// Findings to show per file; further ones are counted.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_errors: usize,
    #[command(flatten)]
    pub(crate) keys: KeyFiles,
}

/// Secret keys that version 1 files may need.
#[derive(Debug, Args)]
pub(crate) struct SecretKeyFiles {
    /// The AES-256 key of encrypted version 1 chunks: 32 bytes or 64 hex digits.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The integrity key of version 1 digests, as PYFOLDS_INTEGRITY_KEY had it; a line break at its end is dropped.
    #[arg(long, value_name = "FILE")]
    pub(crate) integrity_key_file: Option<PathBuf>,
}

/// Keys that a verification may need.
#[derive(Debug, Args)]
pub(crate) struct KeyFiles {
    #[command(flatten)]
    pub(crate) secret: SecretKeyFiles,
    /// Ask for a signature by this ed25519 key: a file without one, or with another's, fails.
    #[arg(long, value_name = "PEM")]
    pub(crate) public_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// What to convert: version 1 or 2, safetensors or npz.
    pub(crate) source: PathBuf,
    /// The new file; it must not exist.
    pub(crate) target: PathBuf,
    /// What to convert to; the target's ending says it otherwise.
    #[arg(long, value_enum)]
    pub(crate) to: Option<To>,
    /// How chunks are compressed; version 1 has raw and zstd.
    #[arg(long, value_enum, default_value_t = Encoding::Raw)]
    pub(crate) encoding: Encoding,
    /// Parity; of version 1 for chunks that fit one block.
    #[arg(long, value_enum, default_value_t = Parity::Off)]
    pub(crate) parity: Parity,
    /// The digests of version 2.
    #[arg(long, value_enum, default_value_t = DigestName::Xxh3)]
    pub(crate) digest: DigestName,
    /// What to do about tensors that the target cannot hold as they are.
    #[arg(long, value_enum, default_value_t = Lossy::Deny)]
    pub(crate) lossy: Lossy,
    /// How the state of neurons is laid out: as arrays over the neurons of a layer, or as PyFolds' dict of a tensor for each
    /// number of each synapse. As it is unless said; arrays of a PyFolds state become its dict again.
    #[arg(long, value_enum)]
    pub(crate) state: Option<State>,
    #[command(flatten)]
    pub(crate) keys: KeyFiles,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum To {
    V2,
    V1,
    Safetensors,
    Npz,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    Raw,
    Zstd,
    ShuffleZstd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DigestName {
    Xxh3,
    Blake3,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum State {
    Arrays,
    Dict,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Lossy {
    Deny,
    Allow,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The first file.
    pub(crate) first: PathBuf,
    /// The second file.
    pub(crate) second: PathBuf,
    /// Elements are equal when their bits are; so without --atol and --rtol.
    #[arg(long, conflicts_with_all = ["atol", "rtol"])]
    pub(crate) bitwise: bool,
    /// Elements may differ by this much.
    #[arg(long, value_name = "X", value_parser = tolerance)]
    pub(crate) atol: Option<f64>,
    /// Elements may differ by this much times the second one's magnitude.
    #[arg(long, value_name = "Y", value_parser = tolerance)]
    pub(crate) rtol: Option<f64>,
    #[command(flatten)]
    pub(crate) keys: KeyFiles,
}

/// A number that elements may differ by.
fn tolerance(text: &str) -> Result<f64, String> {
    let number = text
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "not a number from 0 on".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Extract {
    /// The file.
    pub(crate) file: PathBuf,
    /// The chunk whose decoded payload is wanted, byte for byte.
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "tensor",
        conflicts_with = "tensor"
    )]
    pub(crate) chunk: Option<String>,
    /// The tensor that is wanted, as .npy.
    #[arg(long, value_name = "NAME")]
    pub(crate) tensor: Option<String>,
    /// The new file; it must not exist.
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) keys: KeyFiles,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    Quick,
    Structure,
    Full,
}

#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// The damaged file; it is not changed.
    pub(crate) file: PathBuf,
    /// The new file; must not exist.
    #[arg(short, long, value_name = "NEW")]
    pub(crate) output: PathBuf,
    /// Say what would be done, and write nothing.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) keys: SecretKeyFiles,
}

#[derive(Debug, Args)]
pub(crate) struct Salvage {
    /// The damaged file; it is not changed.
    pub(crate) file: PathBuf,
    /// Where the intact parts go; must be empty or not exist.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Say what would be saved and what is lost, and write nothing.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) keys: SecretKeyFiles,
}

#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The file; it is not changed.
    pub(crate) file: PathBuf,
    /// The private key, a PEM file.
    #[arg(long, value_name = "PEM")]
    pub(crate) key: PathBuf,
    /// The signed file; must not exist.
    #[arg(short, long, value_name = "NEW")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// The private key's file; must not exist.
    #[arg(short, long, value_name = "KEY.pem")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A code: FOLD-E0301, E0301 or 0301.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub(crate) code: Option<String>,
    /// List every code of this release.
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Scrub {
    /// The directory of checkpoints.
    pub(crate) dir: PathBuf,
    /// Read at most this many megabytes (10^6 bytes) per second.
    #[arg(long, value_name = "MB/s", value_parser = durations::megabytes_per_second)]
    pub(crate) bwlimit: Option<NonZeroU64>,
    /// Begin no further file after this time, for example 30m or 6h; the next call goes on.
    #[arg(long, value_name = "TIME", value_parser = durations::duration)]
    pub(crate) max_duration: Option<Duration>,
    /// Start again after this time, for example 7d, until a signal comes.
    #[arg(long, value_name = "TIME", value_parser = durations::duration)]
    pub(crate) interval: Option<Duration>,
    /// Do not read again what was found whole since then: an age (7d) or a moment (2026-01-31T12:00:00Z).
    #[arg(long, value_name = "AGE|MOMENT", value_parser = durations::since)]
    pub(crate) since: Option<Timestamp>,
    /// Where to remember what was read; DIR/.fold-scrub.json unless said.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Keep metrics in this file, for node_exporter's textfile collector.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,
    /// Write whole copies of damaged files here, where every byte can be restored; the damaged ones are not touched.
    #[arg(long, value_name = "DIR")]
    pub(crate) repair_to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// The directory of checkpoints.
    pub(crate) dir: PathBuf,
    /// Keep this many of the newest valid ones; at least one is kept whatever is said.
    #[arg(long, value_name = "N", required_unless_present_any = ["keep_every", "keep_best"])]
    pub(crate) keep_last: Option<usize>,
    /// Keep the valid ones whose step is a multiple of this.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_every: Option<u64>,
    /// Keep this many of the valid ones with the best score.
    #[arg(long, value_name = "N")]
    pub(crate) keep_best: Option<usize>,
    /// Remove what the plan says.
    #[arg(long)]
    pub(crate) apply: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Exporter {
    /// The directory of checkpoints.
    pub(crate) dir: PathBuf,
    /// Where to listen. Whoever can connect can read the names of checkpoints: keep it on loopback or behind a proxy.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    pub(crate) listen: SocketAddr,
    /// The state file of the scrub; DIR/.fold-scrub.json unless said.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The directory that a run is to be trusted to; it must exist.
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
