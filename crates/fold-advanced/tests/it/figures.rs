//! The figures of docs/numerics, one for each page of a law, drawn from what the code computes.
//!
//! `UPDATE=1 cargo test -p fold-advanced --test it figures` writes them; without it they are compared.

use std::path::Path;

use fold_advanced::adaptation::AdaptationParams;
use fold_advanced::bap::BapParams;
use fold_advanced::consolidation::ConsolidationParams;
use fold_advanced::feedback::FeedbackParams;
use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::neuromodulation::NeuromodulationParams;
use fold_advanced::pruning::PruningParams;
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::short_term::ShortTermParams;
use fold_advanced::{Layer, LayerConfig, StateSlice, StepOptions};
use fold_core::dendrite::Dendrite;
use fold_core::health::HealthParams;
use fold_core::params::{DendriteParams, FilamentParams, SpikeParams};
use fold_core::three_factor::ThreeFactorParams;
use fold_core::weight::WeightTable;
use fold_core::{Shape, Wiring, spike};
use plotters::prelude::*;

use super::stdp::{PAIR, pair, pair_layer};

/// A line of a figure: what it is, and its points.
type Curve = (String, Vec<(f64, f64)>);

struct Figure {
    page: &'static str,
    caption: &'static str,
    x: &'static str,
    y: &'static str,
    curves: Vec<Curve>,
}

fn curve(name: impl Into<String>, points: impl Iterator<Item = (f64, f64)>) -> Curve {
    (name.into(), points.collect())
}

/// 200 neurons that listen to the same 8 lines, with escape noise: the share of them that fires is a rate.
fn population() -> LayerConfig {
    let shape = Shape {
        neurons: 200,
        dendrites: 1,
        synapses: 8,
    };
    LayerConfig {
        dendrite: DendriteParams {
            threshold: 1.0,
            ..DendriteParams::default()
        },
        spike: SpikeParams {
            theta_init: 0.6,
            width: 0.05,
            ..SpikeParams::default()
        },
        filaments: FilamentParams {
            init_low: 15,
            init_high: 15,
            ..FilamentParams::default()
        },
        ..LayerConfig::new(shape, 8, 1)
    }
}

fn layer(config: LayerConfig) -> Layer {
    let wiring = Wiring::shared(config.shape).unwrap();
    Layer::new(config, wiring).unwrap()
}

/// An array of the state by its name.
fn array(layer: &Layer, name: &str) -> Vec<f64> {
    let mut found = Vec::new();
    layer.visit_state(&mut |at, _, values| {
        if let (true, StateSlice::F32(values)) = (at == name, values) {
            found = values.iter().map(|&value| f64::from(value)).collect();
        }
    });
    assert!(!found.is_empty(), "no array {name}");
    found
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The rate of a population after the onset of a steady input at step 20.
fn response(name: &str, config: LayerConfig, steps: usize) -> Curve {
    let mut layer = layer(config);
    let rates = (0..steps).map(|t| {
        let x = [if t < 20 { 0.0 } else { 0.33 }; 8];
        let spikes = layer.step(&x, 1, StepOptions::default()).unwrap().spikes;
        let fired = spikes.iter().filter(|&&spike| spike != 0).count();
        (t as f64, fired as f64 / spikes.len() as f64)
    });
    curve(name, rates)
}

fn filaments() -> Figure {
    let params = FilamentParams::default();
    let law = WeightTable::new(&params);
    let weights = (0..=params.n_max).map(|n| (f64::from(n), f64::from(law.weight(n))));
    Figure {
        page: "filaments",
        caption: "Weight of a synapse",
        x: "filaments N",
        y: "W(N)",
        curves: vec![curve("W = log2(1 + N) / 5", weights)],
    }
}

fn dendrite() -> Figure {
    let of = |gain: f32| {
        let dendrite = Dendrite::new(&DendriteParams {
            gain,
            ..DendriteParams::default()
        });
        let points = (0..=200).map(|k| k as f32 / 20.0);
        curve(
            format!("g = {gain}"),
            points.map(|v| (v.into(), dendrite.activation(v).into())),
        )
    };
    Figure {
        page: "dendrite",
        caption: "Activation of one dendrite, th = 4",
        x: "drive v",
        y: "a(v)",
        curves: [0.5, 1.0, 2.0].map(of).into(),
    }
}

fn escape() -> Figure {
    let of = |width: f32| {
        let points = (0..=200).map(|k| k as f32 / 100.0);
        curve(
            format!("width = {width}"),
            points.map(|u| (u.into(), spike::rate(u, 1.0, width).into())),
        )
    };
    Figure {
        page: "spike",
        caption: "Chance of a spike in a step, theta = 1",
        x: "potential u",
        y: "P(spike)",
        curves: [0.02, 0.1, 0.3].map(of).into(),
    }
}

/// A pair of spikes at step 10, and reward or punishment from step 60 to 80.
fn three_factor() -> Figure {
    let of = |name: &str, reward: f32| {
        let mut config = pair_layer(PAIR, 16).config().clone();
        config.three_factor = Some(ThreeFactorParams {
            tau_e_ms: 60.0,
            eta: 0.05,
        });
        let wiring = pair_layer(PAIR, 16).wiring().clone();
        let mut layer = Layer::new(config, wiring).unwrap();
        let points = (0..150).map(|t| {
            let x = [f32::from(u8::from(t == 10)), f32::from(u8::from(t == 11))];
            let modulator = if (60..80).contains(&t) { reward } else { 0.0 };
            let options = StepOptions {
                modulator,
                ..StepOptions::default()
            };
            layer.step(&x, 1, options).unwrap();
            let changed = f64::from(layer.state().filaments()[0]) + f64::from(layer.state().internal()[0]) - 16.0;
            (t as f64, changed)
        });
        curve(name, points.collect::<Vec<_>>().into_iter())
    };
    Figure {
        page: "three_factor",
        caption: "A pair at 10 ms, a modulator from 60 to 80 ms",
        x: "time, ms",
        y: "change of N + I, filaments",
        curves: vec![of("M = 1", 1.0), of("M = 0", 0.0), of("M = -1", -1.0)],
    }
}

fn stdp() -> Figure {
    let change = |lag: i32| match lag {
        0.. => pair(PAIR, 5, 5 + lag as usize),
        _ => pair(PAIR, 5 + lag.unsigned_abs() as usize, 5),
    };
    Figure {
        page: "stdp",
        caption: "Change by one pair of spikes, tau+ = 15 ms, tau- = 25 ms",
        x: "post after pre, ms",
        y: "change of N + I, filaments",
        curves: vec![
            curve("post before pre", (-40..0).map(|lag| (lag.into(), change(lag)))),
            curve(
                "pre before post, or at once",
                (0..=40).map(|lag| (lag.into(), change(lag))),
            ),
        ],
    }
}

fn homeostasis() -> Figure {
    let of = |name: &str, theta_init: f32| {
        let mut config = population();
        config.spike.theta_init = theta_init;
        config.homeostasis = Some(HomeostasisParams::default());
        response(name, config, 600)
    };
    Figure {
        page: "homeostasis",
        caption: "Rate of a population, input from 20 ms on, target 0.1",
        x: "time, ms",
        y: "spikes per step",
        curves: vec![of("theta starts at 0.2", 0.2), of("theta starts at 1.5", 1.5)],
    }
}

fn refractory() -> Figure {
    let mut config = population();
    config.refractory = Some(RefractoryParams {
        absolute_ms: 4.0,
        boost: 0.3,
        tau_ms: 10.0,
    });
    Figure {
        page: "refractory",
        caption: "Rate of a population, input from 20 ms on",
        x: "time, ms",
        y: "spikes per step",
        curves: vec![
            response("without", population(), 100),
            response("4 ms absolute, boost 0.3 over 10 ms", config, 100),
        ],
    }
}

fn inhibition() -> Figure {
    let of = |name: &str, inhibition: Option<InhibitionParams>| {
        let mut layer = layer(LayerConfig {
            inhibition,
            ..population()
        });
        let points = (0..=50).map(|k| {
            let x = k as f32 / 50.0;
            let fired = layer.step(&[x; 8], 1, StepOptions::default()).unwrap().spikes;
            (x.into(), fired.iter().filter(|&&spike| spike != 0).count() as f64)
        });
        curve(name, points.collect::<Vec<_>>().into_iter())
    };
    let winners = |contenders| InhibitionParams {
        winners: Winners::Count(20),
        contenders,
    };
    Figure {
        page: "inhibition",
        caption: "Neurons of 200 that fire in a step",
        x: "input of every line",
        y: "neurons",
        curves: vec![
            of("without", None),
            of(
                "20 winners of those above theta",
                Some(winners(Contenders::AboveThreshold)),
            ),
        ],
    }
}

fn feedback() -> Figure {
    let mut config = population();
    config.feedback = Some(FeedbackParams {
        cells: 4,
        strength: 0.5,
        ..FeedbackParams::default()
    });
    Figure {
        page: "feedback",
        caption: "Rate of a population, input from 20 ms on",
        x: "time, ms",
        y: "spikes per step",
        curves: vec![
            response("without", population(), 150),
            response("4 inhibitory cells, strength 0.5", config, 150),
        ],
    }
}

fn adaptation() -> Figure {
    let mut config = population();
    config.adaptation = Some(AdaptationParams {
        strength: 0.5,
        tau_ms: 100.0,
    });
    Figure {
        page: "adaptation",
        caption: "Rate of a population, input from 20 ms on",
        x: "time, ms",
        y: "spikes per step",
        curves: vec![
            response("without", population(), 400),
            response("strength 0.5 over 100 ms", config, 400),
        ],
    }
}

/// Events every 50 ms for half a second, and one more a second later.
fn short_term() -> Figure {
    let params = ShortTermParams::default();
    let mut layer = layer(LayerConfig {
        short_term: Some(params),
        ..population()
    });
    let (mut facilitation, mut depletion) = (Vec::new(), Vec::new());
    for t in 0..2000_u32 {
        let event = (t < 500 && t.is_multiple_of(50)) || t == 1500;
        let x = [f32::from(u8::from(event)); 8];
        layer.step(&x, 1, StepOptions::default()).unwrap();
        facilitation.push((
            t.into(),
            array(&layer, "short_term.facilitation")[0] + f64::from(params.u_rest),
        ));
        depletion.push((t.into(), 1.0 - array(&layer, "short_term.depletion")[0]));
    }
    Figure {
        page: "short_term",
        caption: "Ten events, 50 ms apart, and one at 1500 ms",
        x: "time, ms",
        y: "share",
        curves: vec![
            ("utilisation u".into(), facilitation),
            ("resources R".into(), depletion),
        ],
    }
}

fn bap() -> Figure {
    let mut config = population();
    (config.bap, config.stdp) = (Some(BapParams::default()), Some(PAIR));
    let mut layer = layer(config);
    let frozen = StepOptions {
        plasticity: 0.0,
        ..StepOptions::default()
    };
    let points = (0..200_u32).map(|t| {
        let x = [if t < 60 { 0.33 } else { 0.0 }; 8];
        layer.step(&x, 1, frozen).unwrap();
        (t.into(), mean(&array(&layer, "bap.exhaustion")))
    });
    let points = points.collect::<Vec<_>>();
    Figure {
        page: "bap",
        caption: "Exhaustion of back-propagation, input until 60 ms",
        x: "time, ms",
        y: "mean over the neurons",
        curves: vec![("exhaustion".into(), points)],
    }
}

fn neuromodulation() -> Figure {
    let mut config = pair_layer(PAIR, 16).config().clone();
    config.three_factor = Some(ThreeFactorParams::default());
    config.neuromodulation = Some(NeuromodulationParams {
        tau_ms: 100.0,
        ..NeuromodulationParams::default()
    });
    let mut layer = Layer::new(config, pair_layer(PAIR, 16).wiring().clone()).unwrap();
    let (mut expected, mut modulator) = (Vec::new(), Vec::new());
    let mut before = 0.0;
    for t in 0..800_u32 {
        let reward = if (100..500).contains(&t) { 1.0 } else { 0.0 };
        let options = StepOptions {
            modulator: reward,
            ..StepOptions::default()
        };
        layer.step(&[0.0, 0.0], 1, options).unwrap();
        modulator.push((t.into(), f64::from(reward) - before));
        before = array(&layer, "neuromodulation.expected")[0];
        expected.push((t.into(), before));
    }
    Figure {
        page: "neuromodulation",
        caption: "Reward 1 from 100 to 500 ms, tau = 100 ms",
        x: "time, ms",
        y: "reward",
        curves: vec![("expectation".into(), expected), ("R - expectation".into(), modulator)],
    }
}

fn consolidation() -> Figure {
    let share = |minutes: u32| {
        let mut config = pair_layer(PAIR, 16).config().clone();
        config.consolidation = Some(ConsolidationParams::default());
        let mut layer = Layer::new(config, pair_layer(PAIR, 16).wiring().clone()).unwrap();
        for _ in 0..40 {
            layer.step(&[1.0, 1.0], 1, StepOptions::default()).unwrap();
        }
        let before = array(&layer, "consolidation.labile")[0];
        if minutes > 0 {
            layer.sleep(minutes as f32 * 60_000.0).unwrap();
        }
        (f64::from(minutes), array(&layer, "consolidation.labile")[0] / before)
    };
    Figure {
        page: "consolidation",
        caption: "What is still labile after sleep, tau = 10 minutes",
        x: "sleep, minutes",
        y: "share of what was learned",
        curves: vec![curve("labile", (0..=60).map(share))],
    }
}

fn pruning() -> Figure {
    let mut config = population();
    config.filaments.init_low = 0;
    config.filaments.init_high = 23;
    config.pruning = Some(PruningParams {
        below: 6,
        patience: 3,
        interval_ms: 10.0,
        keep: 2,
    });
    let mut layer = layer(config);
    let synapses = layer.state().filaments().len() as f64;
    let points = (0..80_u32).map(|t| {
        layer.step(&[0.0; 8], 1, StepOptions::default()).unwrap();
        let weak = layer.state().filaments().iter().filter(|&&n| n > 0).count();
        (t.into(), weak as f64 / synapses)
    });
    let points = points.collect::<Vec<_>>();
    Figure {
        page: "pruning",
        caption: "Synapses with filaments; weak below 6, counted every 10 ms, patience 3",
        x: "time, ms",
        y: "share of all synapses",
        curves: vec![("N > 0".into(), points)],
    }
}

/// No input at first: what the monitor says of the neurons at each of its sweeps.
fn health() -> Figure {
    let mut config = population();
    config.health = HealthParams::default();
    let mut layer = layer(config);
    let (mut dead, mut saturated) = (Vec::new(), Vec::new());
    for t in 0..4000_u32 {
        let x = [if t < 2000 { 0.0 } else { 0.8 }; 8];
        layer.step(&x, 1, StepOptions::default()).unwrap();
        if let Some(report) = layer.health() {
            dead.push((t.into(), report.dead));
            saturated.push((t.into(), report.saturated));
        }
    }
    Figure {
        page: "health",
        caption: "What the monitor reports, input from 2000 ms on",
        x: "time, ms",
        y: "share of the neurons",
        curves: vec![("dead".into(), dead), ("saturated".into(), saturated)],
    }
}

const INK: RGBColor = RGBColor(40, 40, 40);
const LINES: [RGBColor; 3] = [RGBColor(0, 90, 160), RGBColor(190, 80, 30), RGBColor(70, 130, 60)];

fn draw(figure: &Figure) -> String {
    let points = || figure.curves.iter().flat_map(|(_, points)| points);
    let ends = |of: fn(&(f64, f64)) -> f64| {
        points().map(of).fold((f64::MAX, f64::MIN), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    let ((left, right), (bottom, top)) = (ends(|point| point.0), ends(|point| point.1));
    let room = (top - bottom).max(1e-6) * 0.06;
    let mut text = String::new();
    let canvas = SVGBackend::with_string(&mut text, (640, 360)).into_drawing_area();
    canvas.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&canvas)
        .caption(figure.caption, ("sans-serif", 17, &INK))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(left..right, bottom - room..top + room)
        .unwrap();
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(228, 228, 228))
        .axis_style(INK)
        .label_style(("sans-serif", 13, &INK))
        .x_desc(figure.x)
        .y_desc(figure.y)
        .draw()
        .unwrap();
    for ((name, points), colour) in figure.curves.iter().zip(LINES) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))
            .unwrap()
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(TRANSPARENT)
        .label_font(("sans-serif", 13, &INK))
        .draw()
        .unwrap();
    canvas.present().unwrap();
    drop(chart);
    drop(canvas);
    text
}

#[test]
fn every_page_shows_the_figure_that_the_code_draws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/numerics");
    let figures = [
        filaments(),
        dendrite(),
        escape(),
        three_factor(),
        stdp(),
        homeostasis(),
        refractory(),
        inhibition(),
        feedback(),
        adaptation(),
        short_term(),
        bap(),
        neuromodulation(),
        consolidation(),
        pruning(),
        health(),
    ];
    let pages = super::docs::PAGES.map(|(page, _)| page);
    assert_eq!(figures.len(), pages.len());
    for figure in &figures {
        let (page, file) = (format!("{}.md", figure.page), format!("figures/{}.svg", figure.page));
        assert!(pages.contains(&page.as_str()), "{page}");
        let (drawn, path) = (draw(figure), folder.join(&file));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(folder.join("figures")).unwrap();
            std::fs::write(&path, &drawn).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == drawn,
            "docs/numerics/{file} is not what is drawn now: UPDATE=1 writes it"
        );
        let text = std::fs::read_to_string(folder.join(&page)).unwrap();
        assert!(
            text.contains(&format!("]({file})")),
            "docs/numerics/{page} must show {file}"
        );
    }
}
