//! The figures of a run, as SVG: the learning curve, and what some neurons look for.
//!
//! A figure is drawn into memory and then replaces its file at once, so a reader never sees half of one.

use std::path::{Path, PathBuf};

use fold_advanced::Layer;
use plotters::prelude::*;

use crate::Error;
use crate::encode::Encoding;
use crate::record::EpochMetrics;

/// Neurons shown along each side of the figure of receptive fields; the first ones, not the best-looking.
const GRID: usize = 6;
/// Size of a receptive field, or a little less or more, and of the gap between two of them, in SVG units.
const FIELD: i32 = 72;
const GAP: i32 = 10;
const MARGIN: i32 = 16;
const TITLE: i32 = 46;

const INK: RGBColor = RGBColor(40, 40, 40);
const HELD_OUT: RGBColor = RGBColor(0, 90, 160);
const TRAINING: RGBColor = RGBColor(120, 170, 90);
const FROZEN: RGBColor = RGBColor(190, 80, 30);

type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Draws the figures of a run into `dir`, which is created, and gives their paths.
///
/// - `history`: one entry per epoch.   - `frozen`: held-out accuracy of the layer that did not learn.
pub(crate) fn write(
    dir: &Path,
    history: &[EpochMetrics],
    frozen: f64,
    encoding: Encoding,
    layer: &Layer,
) -> Result<Vec<PathBuf>, Error> {
    std::fs::create_dir_all(dir).map_err(|source| Error::Figure {
        path: dir.into(),
        source,
    })?;
    let curve = render("learning-curve", (760, 460), |canvas| {
        learning_curve(canvas, history, frozen)
    })?;
    let side = GRID as i32 * (field(encoding) + GAP) - GAP + 2 * MARGIN;
    let size = (side as u32, (side + TITLE) as u32);
    let fields = render("receptive-fields", size, |canvas| {
        receptive_fields(canvas, encoding, layer)
    })?;
    [("learning-curve.svg", curve), ("receptive-fields.svg", fields)]
        .into_iter()
        .map(|(name, text)| {
            let path = dir.join(name);
            fold_ops::replace(&path, text.as_bytes())?;
            Ok(path)
        })
        .collect()
}

/// Size of a pixel of a receptive field.
fn cell(encoding: Encoding) -> i32 {
    (FIELD / encoding.side() as i32).max(1)
}

/// Size of a receptive field.
fn field(encoding: Encoding) -> i32 {
    encoding.side() as i32 * cell(encoding)
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn render(figure: &'static str, size: (u32, u32), draw: impl FnOnce(&Canvas<'_>) -> Drawn) -> Result<String, Error> {
    let mut text = String::new();
    {
        let canvas = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let drawn = canvas.fill(&WHITE).map_err(Into::into).and_then(|()| draw(&canvas));
        let drawn = drawn.and_then(|()| canvas.present().map_err(Into::into));
        drawn.map_err(|source| Error::Drawing { figure, source })?;
    }
    Ok(text)
}

fn learning_curve(canvas: &Canvas<'_>, history: &[EpochMetrics], frozen: f64) -> Drawn {
    let last = history.last().map_or(1, |metrics| metrics.epoch.max(1)) as f64;
    let lowest = history
        .iter()
        .map(|m| m.test_accuracy.min(m.train_accuracy))
        .fold(frozen, f64::min);
    // Down to the next lower multiple of five per cent, with a little room.
    let bottom = (((lowest - 0.01) * 20.0).floor() / 20.0).clamp(0.0, 0.95);
    let mut chart = ChartBuilder::on(canvas)
        .caption("Accuracy of the readout after each epoch", ("sans-serif", 20, &INK))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..last, bottom..1.0)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(INK)
        .label_style(("sans-serif", 14, &INK))
        .x_labels((last as usize + 1).min(11))
        .x_label_formatter(&|epoch| format!("{epoch:.0}"))
        .y_label_formatter(&|accuracy| format!("{accuracy:.2}"))
        .x_desc("epoch (0: the layer as drawn)")
        .y_desc("fraction classified right")
        .draw()?;
    let of = |value: fn(&EpochMetrics) -> f64| history.iter().map(move |m| (m.epoch as f64, value(m)));
    let end = |value: fn(&EpochMetrics) -> f64| history.last().map_or(0.0, value);
    let series = [
        (
            "training images",
            TRAINING,
            of(|m| m.train_accuracy).collect::<Vec<_>>(),
            end(|m| m.train_accuracy),
        ),
        (
            "held-out images",
            HELD_OUT,
            of(|m| m.test_accuracy).collect(),
            end(|m| m.test_accuracy),
        ),
        (
            "held-out, learning off",
            FROZEN,
            vec![(0.0, frozen), (last, frozen)],
            frozen,
        ),
    ];
    for (name, colour, points, value) in series {
        let style = ShapeStyle::from(colour).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.clone(), style))?
            .label(format!("{name} ({value:.3})"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
        if points.len() == history.len() {
            chart.draw_series(
                points
                    .into_iter()
                    .map(|point| Circle::new(point, 3, ShapeStyle::from(colour).filled())),
            )?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .margin(14)
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 14, &INK))
        .draw()?;
    Ok(())
}

fn receptive_fields(canvas: &Canvas<'_>, encoding: Encoding, layer: &Layer) -> Drawn {
    let style = ("sans-serif", 15, &INK).into_text_style(canvas);
    canvas.draw_text("What the first neurons look for: W(on) - W(off)", &style, (MARGIN, 8))?;
    let style = ("sans-serif", 12, &INK).into_text_style(canvas);
    canvas.draw_text(
        "blue: ink wanted, red: ink unwanted, white: either",
        &style,
        (MARGIN, 28),
    )?;
    let all = layer.state().weights();
    for neuron in 0..all.rows().min(GRID * GRID) {
        let weights = all.row(neuron).collect::<Vec<_>>();
        let (side, cell, pitch) = (encoding.side(), cell(encoding), field(encoding) + GAP);
        let (left, top) = (
            (neuron % GRID) as i32 * pitch + MARGIN,
            (neuron / GRID) as i32 * pitch + TITLE,
        );
        for (pixel, value) in encoding.receptive_field(&weights).into_iter().enumerate() {
            let (x, y) = (left + (pixel % side) as i32 * cell, top + (pixel / side) as i32 * cell);
            canvas.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], colour(value).filled()))?;
        }
        let frame = [(left, top), (left + field(encoding), top + field(encoding))];
        canvas.draw(&Rectangle::new(frame, RGBColor(170, 170, 170).stroke_width(1)))?;
    }
    Ok(())
}

/// White at 0, blue towards 1, red towards -1.
fn colour(value: f32) -> RGBColor {
    let share = value.abs().min(1.0);
    let mix = |full: u8| (255.0 - share * (255.0 - f32::from(full))).round() as u8;
    if value >= 0.0 {
        RGBColor(mix(5), mix(60), mix(150))
    } else {
        RGBColor(mix(170), mix(30), mix(20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;
    use crate::session::Session;

    #[test]
    fn figures_are_whole_and_say_what_they_show() {
        let dir = tempfile::tempdir().unwrap();
        let config = TrainConfig {
            neurons: 40,
            ..TrainConfig::default()
        };
        let session = Session::new(&config, Encoding::DIGITS, 1).unwrap();
        let history: Vec<EpochMetrics> = (0..4u8)
            .map(|epoch| crate::record::example(epoch.into(), 0.7 + f64::from(epoch) / 20.0))
            .collect();
        let paths = write(dir.path(), &history, 0.77, Encoding::DIGITS, &session.layer).unwrap();
        let texts: Vec<String> = paths
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert!(
            texts
                .iter()
                .all(|text| text.starts_with("<svg") && text.trim_end().ends_with("</svg>"))
        );
        assert!(texts[0].contains("0.850") && texts[0].contains("learning off (0.770)"));
        // A background, 36 neurons of 64 pixels with a frame each.
        assert_eq!(texts[1].matches("<rect").count(), 1 + 36 * 65);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            2,
            "nothing temporary is left"
        );
        write(dir.path(), &history[..1], 0.77, Encoding::DIGITS, &session.layer).unwrap();
    }

    #[test]
    fn colours_are_white_in_the_middle_and_differ_at_the_ends() {
        assert_eq!(colour(0.0), RGBColor(255, 255, 255));
        assert_eq!(
            [colour(1.0), colour(-1.0)],
            [RGBColor(5, 60, 150), RGBColor(170, 30, 20)]
        );
    }
}
