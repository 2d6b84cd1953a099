//! The report of a record: tables of every group, the goals, and what encodings and parity cost.

use std::fmt::Write as _;

use super::goals;
use super::plot::{file_name, throughput};
use super::record::{Case, Record};

const MEBIBYTE: f64 = 1_048_576.0;

pub(super) fn text(record: &Record, path: &str) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "# Performance report\n\n\
         Written by `cargo xtask perf-report` from `{path}`; not edited by hand. Cases of one group do the same work and were run in \
         turns, so their ratios hold although the machine is shared; times of different groups do not compare. The page cache is warm. \
         Every row: the median, and the quartiles as spread.\n\n"
    );
    for (key, value) in &record.about {
        let _ = writeln!(out, "- {key}: {value}");
    }
    goals_table(&mut out, record, goals::ALL);
    forms_table(&mut out, record);
    let _ = write!(out, "\n## Every measurement\n");
    for (group, cases) in record.groups().filter(|(group, _)| *group != "form: size") {
        group_table(&mut out, group, cases);
    }
    let _ = write!(out, "\n## Steps\n\n![steps]({})\n", file_name("step"));
    steps_table(&mut out, record);
    growth_table(&mut out, record);
    out
}

/// The report of what the scripts of benches/peers measured.
pub(super) fn peers(record: &Record, path: &str) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "# Beside Python packages\n\n\
         Written by `cargo xtask perf-peers` from `{path}`; not edited by hand. Cases of one group do the same work on the same content \
         and were run in turns by one script of benches/peers; `fold` in a program that answers its requests, the packages in the \
         script's process. The page cache is warm. Every row: the median, and the quartiles as spread.\n\n"
    );
    for (key, value) in &record.about {
        let _ = writeln!(out, "- {key}: {value}");
    }
    goals_table(&mut out, record, goals::PEERS);
    let is_size = |group: &str| group == "peers: size";
    for (group, cases) in record.groups().filter(|(group, _)| !is_size(group)) {
        peer_table(&mut out, group.trim_start_matches("peers: "), cases);
    }
    if let Some((_, sizes)) = record.groups().find(|(group, _)| is_size(group)) {
        let _ = write!(out, "\n## size\n\n| case | of the content |\n|---|---|\n");
        for case in sizes {
            let _ = writeln!(
                out,
                "| {} | {:.1} % |",
                case.name,
                100.0 * case.median as f64 / case.amount as f64
            );
        }
    }
    out
}

fn peer_table(out: &mut String, group: &str, cases: &[Case]) {
    let (unit, amount) = match group.starts_with("step") {
        true => ("10^9 updates/s", format!("{} synapse updates", cases[0].amount)),
        false => (
            "GB/s",
            format!("{:.0} MiB of content", cases[0].amount as f64 / MEBIBYTE),
        ),
    };
    let _ = write!(
        out,
        "\n## {group}\n\n{amount}, {} rounds.\n\n| case | median | {unit} | time against the first | quartiles |\n\
         |---|---|---|---|---|\n",
        cases[0].rounds
    );
    for case in cases {
        case_row(out, case, &cases[0]);
    }
}

fn case_row(out: &mut String, case: &Case, first: &Case) {
    let _ = writeln!(
        out,
        "| {} | {:.3} ms | {:.2} | {:.3} | {:.3} to {:.3} ms |",
        case.name,
        milliseconds(case.median),
        throughput(case),
        case.median as f64 / first.median as f64,
        milliseconds(case.low),
        milliseconds(case.high),
    );
}

fn goals_table(out: &mut String, record: &Record, goals: &[goals::Goal]) {
    let _ = write!(
        out,
        "\n## Goals\n\nA ratio is that of two medians: time of the one over time of the other.\n\n\
         | goal | ratio at most | measured | met |\n|---|---|---|---|\n"
    );
    for goal in goals {
        let (measured, met) = match goal.measured(record) {
            None => ("not measured".to_owned(), "-"),
            Some(ratio) if ratio <= goal.most => (format!("{ratio:.3}"), "yes"),
            Some(ratio) => (format!("{ratio:.3}"), "no"),
        };
        let _ = writeln!(out, "| {} | {:.3} | {measured} | {met} |", goal.claim, goal.most);
    }
}

/// What each form costs against the raw one, and what it buys.
fn forms_table(out: &mut String, record: &Record) {
    const BUYS: &[(&str, &str)] = &[
        ("raw", "any damage is noticed and located"),
        (
            "raw BLAKE3",
            "nobody can forge a matching content; what a signature needs",
        ),
        ("parity low", "lost blocks are restored, few of each group"),
        ("parity med", "lost blocks are restored, about one in twenty"),
        ("parity high", "lost blocks are restored, many of each group"),
        ("zstd", "a smaller file"),
        ("shuffle-zstd", "a smaller file of numbers"),
        ("shuffle-zstd parity low", "a smaller file that can be repaired"),
    ];
    let case = |group: &str, name: &str| {
        record
            .cases
            .iter()
            .find(|case| case.group == group && case.name == name)
    };
    let relative = |group: &str, name: &str| {
        record
            .ratio(group, name, "raw")
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    let _ = write!(
        out,
        "\n## What encodings, digests and parity cost\n\nf32 numbers like trained weights. Times against the raw form with xxh3, \
         size against the content; repair: all that the parity can restore is lost.\n\n\
         | form | size | save | verify | read | repair | what it buys |\n|---|---|---|---|---|---|---|\n"
    );
    for (name, buys) in BUYS {
        let size = case("form: size", name).map_or(0.0, |case| case.median as f64 / case.amount as f64);
        let repair =
            case("form: repair", name).map_or_else(|| "-".to_owned(), |case| format!("{:.2} GB/s", throughput(case)));
        let _ = writeln!(
            out,
            "| {name} | {:.1} % | {} | {} | {} | {repair} | {buys} |",
            100.0 * size,
            relative("form: save", name),
            relative("form: verify", name),
            relative("form: read", name),
        );
    }
}

fn group_table(out: &mut String, group: &str, cases: &[Case]) {
    if group.starts_with("step") {
        return;
    }
    let size = cases[0].amount as f64 / MEBIBYTE;
    let _ = write!(
        out,
        "\n### {group}\n\n{size:.2} MiB of content, {} rounds.\n\n![{group}]({})\n\n\
         | case | median | GB/s | time against the first | quartiles |\n|---|---|---|---|---|\n",
        cases[0].rounds,
        file_name(group)
    );
    for case in cases {
        case_row(out, case, &cases[0]);
    }
}

fn steps_table(out: &mut String, record: &Record) {
    let _ = write!(
        out,
        "\nWhole steps: drive, competition, homeostasis, STDP where neurons fire. The limit is what the machine makes of two \
         threads: two layers that know nothing of each other, for as many steps together.\n\n\
         | layer | 1 thread: a step | 10^9 updates/s | quartiles | all threads: as fast | limit of 2 threads |\n|---|---|---|---|---|---|\n"
    );
    for (group, cases) in record.groups().filter(|(group, _)| group.starts_with("step")) {
        let ([one, two, limit @ ..], Some(sizes)) = (cases, step_sizes(group)) else {
            continue;
        };
        let steps = one.amount as f64 / sizes.iter().product::<f64>();
        let micro = |time: u64| time as f64 / 1e3 / steps;
        let _ = writeln!(
            out,
            "| {} | {:.1} us | {:.2} | {:.1} to {:.1} us | {:.2} | {} |",
            group.trim_start_matches("step: "),
            micro(one.median),
            throughput(one),
            micro(one.low),
            micro(one.high),
            one.median as f64 / two.median as f64,
            match limit {
                // An older record.
                [] => "-".to_owned(),
                [limit, ..] => format!("{:.2}", one.median as f64 / limit.median as f64),
            },
        );
    }
}

/// Neurons, dendrites, synapses and samples of a group of steps.
fn step_sizes(group: &str) -> Option<[f64; 4]> {
    let numbers = group
        .strip_prefix("step: ")?
        .split([' ', '='])
        .filter_map(|word| word.parse().ok());
    numbers.collect::<Vec<f64>>().try_into().ok()
}

/// How the time of a step grows with neurons, synapses and samples: the exponent of a power law through the medians, by least
/// squares of the logarithms. 1 is linear.
fn growth_table(out: &mut String, record: &Record) {
    let steps = record
        .groups()
        .filter_map(|(group, cases)| {
            let [neurons, dendrites, synapses, samples] = step_sizes(group)?;
            let size = [neurons, dendrites * synapses, samples];
            // Time per update, times the updates of one step.
            let time = cases[0].median as f64 / cases[0].amount as f64 * size.iter().product::<f64>();
            Some((size, time))
        })
        .collect::<Vec<_>>();
    let _ = write!(
        out,
        "\n### Growth\n\nOne thread. The time of a step as a power of one size, the two others held: 1 is linear.\n\n\
         | size | from | to | exponent | residual at most |\n|---|---|---|---|---|\n"
    );
    for (axis, name) in ["neurons n", "synapses of a neuron D*S", "samples B"]
        .into_iter()
        .enumerate()
    {
        // Where the others are as in the layer that every row has in common, and the step is not all overhead.
        const COMMON: [f64; 3] = [100.0, 512.0, 32.0];
        let held = |size: &[f64; 3]| (0..3).all(|other| other == axis || size[other] == COMMON[other]);
        let points = steps
            .iter()
            .filter(|(size, _)| held(size) && size.iter().product::<f64>() >= 100.0 * 128.0 * 32.0)
            .map(|(size, time)| (size[axis].ln(), time.ln()))
            .collect::<Vec<_>>();
        let Some((exponent, residual)) = line_through(&points) else {
            continue;
        };
        let ends = |pick: fn(f64, f64) -> f64, start: f64| points.iter().map(|point| point.0).fold(start, pick).exp();
        let _ = writeln!(
            out,
            "| {name} | {:.0} | {:.0} | {exponent:.2} | {:.0} % |",
            ends(f64::min, f64::INFINITY),
            ends(f64::max, f64::NEG_INFINITY),
            100.0 * (residual.exp() - 1.0),
        );
    }
}

/// The slope of the line through at least three points, and how far from it one lies at most.
fn line_through(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    if points.len() < 3 {
        return None;
    }
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let square = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    let slope = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / square;
    let residuals = points.iter().map(|(x, y)| (y - mean_y - slope * (x - mean_x)).abs());
    Some((slope, residuals.fold(0.0, f64::max)))
}

fn milliseconds(time: u64) -> f64 {
    time as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_the_slope_of_the_logarithms() {
        let csv = "step: n=100 D=8 S=64 B=32,1 thread,1638400,9,0,1000,0\n\
                   step: n=400 D=8 S=64 B=32,1 thread,13107200,9,0,8000,0\n\
                   step: n=1000 D=8 S=64 B=32,1 thread,16384000,9,0,10000,0\n";
        let mut out = String::new();
        growth_table(&mut out, &Record::parse(csv).unwrap());
        assert!(out.contains("| neurons n | 100 | 1000 | 1.00 | 0 % |"), "{out}");
        assert!(!out.contains("samples B"), "too few points: {out}");
        let (slope, residual) = line_through(&[(0.0, 0.0), (1.0, 2.0), (2.0, 4.5)]).unwrap();
        assert!((slope - 2.25).abs() < 1e-12 && residual > 0.1, "{slope} {residual}");
    }

    #[test]
    fn a_goal_is_met_or_not_by_its_ratio_and_a_missing_one_is_named() {
        let csv = "save,fold: durable,100,3,9,10,11\nsave,safetensors: flushed,100,3,20,25,30\n\
                   save,safetensors: not flushed,100,3,5,8,9\nform: save,raw,10,1,1,1,1\n";
        let text = text(&Record::parse(csv).unwrap(), "some.csv");
        assert!(
            text.contains("twice as fast as safetensors with a flush | 0.500 | 0.400 | yes |"),
            "{text}"
        );
        assert!(
            text.contains("faster than safetensors without a flush | 1.000 | 1.250 | no |"),
            "{text}"
        );
        assert!(text.contains("| not measured | - |"), "{text}");
    }
}
