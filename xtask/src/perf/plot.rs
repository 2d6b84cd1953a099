//! Plots of a record: bars of throughput, as SVG.

use std::fmt::Write as _;

use super::record::{Case, Record};

/// One plot for each group that is about bytes, and one for the steps; file name and content.
pub(super) fn all(record: &Record) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    for (group, cases) in record.groups() {
        if group.starts_with("step") || group == "form: size" {
            continue;
        }
        let bars = cases
            .iter()
            .map(|case| (case.name.clone(), throughput(case)))
            .collect::<Vec<_>>();
        plots.push((file_name(group), bars_of(&format!("{group}, GB/s (median)"), &bars)));
    }
    let steps = record.cases.iter().filter(|case| case.group.starts_with("step"));
    let bars = steps
        .map(|case| {
            (
                format!("{}, {}", case.group.trim_start_matches("step: "), case.name),
                throughput(case),
            )
        })
        .collect::<Vec<_>>();
    plots.push((
        file_name("step"),
        bars_of("step, 10^9 synapse updates/s (median)", &bars),
    ));
    plots
}

/// The file that a group's plot is in.
pub(super) fn file_name(group: &str) -> String {
    format!("{}.svg", group.replace(": ", "-").replace(' ', "-"))
}

/// Amounts per nanosecond: GB/s, or 10^9 updates per second.
pub(super) fn throughput(case: &Case) -> f64 {
    case.amount as f64 / case.median.max(1) as f64
}

fn bars_of(title: &str, bars: &[(String, f64)]) -> String {
    const LEFT: usize = 340;
    const WIDTH: f64 = 380.0;
    const ROW: usize = 22;
    let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let height = 40 + bars.len() * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"10\" y=\"20\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    for (row, (name, value)) in bars.iter().enumerate() {
        let top = 32 + row * ROW;
        let color = if name.starts_with("fold") { "#2b6cb0" } else { "#a0aec0" };
        let width = WIDTH * value / most;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.1}\" \
             height=\"16\" fill=\"{color}\"/><text x=\"{:.1}\" y=\"{}\">{value:.3}</text>",
            LEFT - 8,
            top + 13,
            escaped(name),
            LEFT as f64 + width + 6.0,
            top + 13,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_bar_is_the_widest_and_text_is_escaped() {
        let svg = bars_of("a < b", &[("fold: x".to_owned(), 2.0), ("y & z".to_owned(), 1.0)]);
        assert!(
            svg.contains("width=\"380.0\"") && svg.contains("width=\"190.0\""),
            "{svg}"
        );
        assert!(svg.contains("a &lt; b") && svg.contains("y &amp; z"));
        assert_eq!(file_name("form: save"), "form-save.svg");
    }
}
