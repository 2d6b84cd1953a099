//! The builder's checks, the order of phases, initialisation logs, health policies, and responses.

use std::fmt;
use std::sync::{Mutex, Once};

use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::mechanism::{Mechanism, Phase, StepContext};
use fold_advanced::refractory::{Refractory, RefractoryParams};
use fold_advanced::stateful::{StateSlice, Stored};
use fold_advanced::stdp::StdpParams;
use fold_advanced::{Error, Layer, LayerBuilder, LayerConfig, Response, Result, Scratch, StateData, StepOptions};
use fold_core::health::{HealthParams, Policy};
use fold_core::invariants::{Breach, Invariant, Part, Place};
use fold_core::three_factor::ThreeFactorParams;
use fold_core::{Shape, Wiring};

use super::{build, everything, input};

/// A mechanism written elsewhere: runs `effect` in `phase`.
#[derive(Clone)]
pub(crate) struct Foreign {
    name: &'static str,
    phase: Phase,
    requires: &'static [&'static str],
    effect: fn(&mut StepContext<'_>),
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Mechanism for Foreign {
    fn name(&self) -> &'static str {
        self.name
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }
    fn phase(&self) -> Phase {
        self.phase
    }
    fn requires(&self) -> &'static [&'static str] {
        self.requires
    }
    fn parameters(&self) -> &dyn fmt::Debug {
        &self.name
    }
    fn act(&mut self, context: &mut StepContext<'_>) {
        (self.effect)(context);
    }
    fn rest(&mut self, _samples: usize) {}
    fn reset_neuron(&mut self, _neuron: usize) {}
    fn check(&self, _part: Part, _found: &mut Vec<Breach>) {}
    fn visit_state(&self, _visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {}
    fn restore(&mut self, _samples: usize, _stored: &mut Stored<'_>) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn foreign(phase: Phase, effect: fn(&mut StepContext<'_>)) -> Foreign {
    Foreign {
        name: "foreign",
        phase,
        requires: &[],
        effect,
    }
}

fn plain() -> LayerConfig {
    let shape = Shape {
        neurons: 5,
        dendrites: 2,
        synapses: 3,
    };
    let mut config = LayerConfig::new(shape, 6, 1);
    // A third of what so few synapses can bring is enough.
    config.spike.theta_init = 0.17;
    config
}

fn builder(config: LayerConfig) -> LayerBuilder {
    let wiring = Wiring::shared(config.shape).unwrap();
    LayerBuilder::new(config, wiring).unwrap()
}

#[test]
fn a_layer_with_a_mechanism_of_its_own_comes_back_by_its_builder() {
    let with_refractory = || {
        let refractory = Refractory::new(&RefractoryParams::default(), 1.0, plain().shape);
        builder(plain()).with(refractory)
    };
    let mut layer = with_refractory().build().unwrap();
    layer.set_samples(3).unwrap();
    let step = |layer: &mut Layer, t| {
        layer
            .step(&input(3, 6, t), 3, StepOptions::default())
            .unwrap()
            .spikes
            .to_vec()
    };
    let fired: usize = (0..20)
        .map(|t| step(&mut layer, t).iter().filter(|s| **s != 0).count())
        .sum();
    assert!(fired > 0);
    let arrays = layer.state_arrays();
    assert!(arrays.contains_key("refractory.countdown"));
    let mut again = with_refractory().restore(|name| arrays.get(name).cloned()).unwrap();
    for t in 20..40 {
        assert_eq!(step(&mut layer, t), step(&mut again, t));
    }
    assert_eq!(layer.state_arrays(), again.state_arrays());

    let without = |name: &str| arrays.get(name).filter(|_| !name.starts_with("refractory")).cloned();
    assert!(matches!(
        with_refractory().restore(without),
        Err(Error::StateMissing { .. })
    ));
    let refractory = Refractory::new(&RefractoryParams::default(), 1.0, plain().shape);
    let twice = with_refractory().with(refractory).restore(without);
    assert!(matches!(twice, Err(Error::Duplicate { .. })));
}

#[test]
fn duplicates_missing_parts_and_wrong_order_name_the_mechanism() {
    let refractory = || Refractory::new(&RefractoryParams::default(), 1.0, plain().shape);
    let twice = builder(plain()).with(refractory()).with(refractory()).build();
    assert_eq!(
        twice.unwrap_err(),
        Error::Duplicate {
            mechanism: "refractory"
        }
    );

    let late = builder(everything(1)).with(foreign(Phase::Compete, |_| {})).build();
    let Err(Error::Order {
        mechanism: "foreign",
        after: "homeostasis",
        ..
    }) = late
    else {
        panic!("{late:?}")
    };

    let needy = Foreign {
        requires: &["stdp"],
        ..foreign(Phase::Regulate, |_| {})
    };
    let missing = builder(plain()).with(needy).build();
    assert_eq!(
        missing.unwrap_err(),
        Error::Missing {
            mechanism: "foreign",
            requires: "stdp"
        }
    );

    let config = LayerConfig {
        three_factor: Some(ThreeFactorParams::default()),
        ..plain()
    };
    let wiring = Wiring::shared(config.shape).unwrap();
    let missing = Layer::new(config, wiring);
    assert_eq!(
        missing.unwrap_err(),
        Error::Missing {
            mechanism: "three_factor",
            requires: "stdp"
        }
    );
}

type Change = (&'static str, fn(&mut LayerConfig));

/// What could never be: spikes, a rate, a filament; and where it is noticed.
const UNREACHABLE: [Change; 4] = [
    ("spike.theta_init = 0.75: without homeostasis", |config| {
        config.homeostasis = None;
        config.spike.theta_init = 0.75;
    }),
    ("must be below sup u, the largest potential", |config| {
        config.shape.dendrites = 1;
        config.shape.synapses = 1;
    }),
    ("the target must be reachable", |config| {
        config.refractory = Some(RefractoryParams {
            absolute_ms: 0.0,
            boost: 65_536.0,
            tau_ms: 1e6,
        });
    }),
    ("three_factor.eta", |config| {
        config.stdp = Some(StdpParams::default());
        config.three_factor = Some(ThreeFactorParams {
            eta: 1e-9,
            ..ThreeFactorParams::default()
        });
    }),
];

#[test]
fn joint_violations_are_found_across_sections() {
    let mut config = everything(1);
    config.spike.theta_max = 2.0;
    config.dt_ms = 0.0;
    config.stdp = Some(StdpParams {
        a_plus: 32.0,
        ..StdpParams::default()
    });
    let text = config.check().unwrap_err().to_string();
    for part in ["dt_ms = 0", "spike.theta_max = 2: must exceed D", "stdp.a_plus = 32"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for (part, change) in UNREACHABLE {
        let mut config = plain();
        config.homeostasis = Some(Default::default());
        assert_eq!(config.check(), Ok(()));
        change(&mut config);
        let text = config.check().unwrap_err().to_string();
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut config = everything(1);
    config.inhibition = Some(InhibitionParams {
        winners: Winners::Count(1),
        contenders: Contenders::Driven,
    });
    let text = config.check().unwrap_err().to_string();
    assert!(text.contains("homeostasis.rate_target"), "{text}");
}

#[test]
fn a_configuration_survives_json_and_refuses_unknown_keys() {
    let config = everything(3);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<LayerConfig>(&text).unwrap(), config);
    assert!(serde_json::from_str::<LayerConfig>(&text.replace("\"a_plus\"", "\"a_pluss\"")).is_err());
}

/// D3: in PyFolds a later mechanism recomputed the spikes after the refractory gate.
#[test]
fn no_mechanism_can_undo_the_gate() {
    let mut layer = builder(plain())
        .with(foreign(Phase::Compete, |context| context.spikes.fill(1)))
        .with(Refractory::new(
            &RefractoryParams {
                absolute_ms: 2.0,
                ..RefractoryParams::default()
            },
            1.0,
            plain().shape,
        ))
        .build()
        .unwrap();
    let fired: Vec<u8> = (0..7)
        .map(|t| layer.step(&input(1, 6, t), 1, StepOptions::default()).unwrap().spikes[0])
        .collect();
    assert_eq!(fired, [1, 0, 0, 1, 0, 0, 1]);
}

#[test]
fn silence_stays_silent_however_long() {
    let mut config = plain();
    config.homeostasis = Some(Default::default());
    let mut layer = build(config, 2);
    for _ in 0..2000 {
        let step = layer.step(&[0.0; 12], 2, StepOptions::default()).unwrap();
        assert_eq!((step.counts, step.potential), (&[0u32; 5][..], &[0.0f32; 10][..]));
    }
}

fn corrupted(policy: Policy) -> Layer {
    let mut config = plain();
    config.health = HealthParams {
        sweep_steps: 2,
        policy,
        ..HealthParams::default()
    };
    builder(config)
        .with(foreign(Phase::Regulate, |context| {
            if context.clock == 4 {
                context.state.theta_mut()[3] = f32::NAN;
            }
        }))
        .build()
        .unwrap()
}

#[test]
fn each_health_policy_does_what_it_says() {
    let run = |layer: &mut Layer| -> Vec<bool> {
        (0..10)
            .map(|_| layer.step(&[1.0; 6], 1, StepOptions::default()).is_ok())
            .collect()
    };
    let mut report = corrupted(Policy::Report);
    assert!(run(&mut report).iter().all(|ok| *ok));
    assert!(report.health().unwrap().breach_count > 0);
    assert!(!report.check().is_empty());

    let mut quarantine = corrupted(Policy::Quarantine);
    assert!(run(&mut quarantine).iter().all(|ok| *ok));
    assert_eq!(quarantine.state().quarantined(), [0, 0, 0, 1, 0]);
    assert!(quarantine.check().is_empty(), "the quarantined neuron is valid again");
    let step = quarantine.step(&[1.0; 6], 1, StepOptions::default()).unwrap();
    assert_eq!(step.spikes[3], 0, "and silent");
    assert_eq!(quarantine.health().unwrap().quarantined, [3]);

    let mut stop = corrupted(Policy::Stop);
    let ok = run(&mut stop);
    assert!(ok[..4].iter().all(|ok| *ok) && !ok[4..].iter().all(|ok| *ok), "{ok:?}");
}

/// A quarantined neuron is as if it were not there, whatever the mechanisms: nothing of it moves, and nobody else waits for it.
#[test]
fn a_quarantined_neuron_rests_and_takes_nobodys_place() {
    const SICK: usize = 3;
    let mut config = everything(4);
    // Without noise and competition for two places, which the sick neuron would win: it has the lowest threshold.
    config.spike.width = 0.0;
    config.health = HealthParams {
        sweep_steps: 1,
        policy: Policy::Quarantine,
        ..HealthParams::default()
    };
    config.inhibition = Some(InhibitionParams {
        winners: Winners::Count(2),
        contenders: Contenders::Driven,
    });
    config.homeostasis.as_mut().unwrap().rate_target = 0.4;
    config.refractory = None;
    let mut healthy = builder(config.clone()).build().unwrap();
    let mut layer = builder(config)
        .with(foreign(Phase::Regulate, |context| {
            if context.clock == 30 {
                context.state.theta_mut()[SICK] = f32::NAN;
            }
        }))
        .build()
        .unwrap();
    let samples = 3;
    layer.set_samples(samples).unwrap();
    healthy.set_samples(samples).unwrap();
    let go = |layer: &mut Layer, steps: std::ops::Range<u64>| -> Vec<Vec<u8>> {
        steps
            .map(|t| {
                let step = layer.step(&input(samples, 6, t), samples, StepOptions::default());
                step.unwrap().spikes.to_vec()
            })
            .collect()
    };
    let fired = go(&mut layer, 0..30);
    let of_sick = |step: &Vec<u8>| step.iter().skip(SICK).step_by(5).any(|&s| s != 0);
    assert!(fired.iter().any(of_sick), "it has had traces to leave");
    go(&mut layer, 30..31);
    assert_eq!(layer.state().quarantined(), [0, 0, 0, 1, 0]);

    // The part of some neurons of every array of the state: those with n at an axis, the others are of lines or of the layer.
    let parts = |layer: &Layer, wanted: fn(usize) -> bool| {
        let mut parts = Vec::new();
        for (name, array) in layer.state_arrays() {
            let StateData::F32(values) = &array.data else { continue };
            let axis = match (
                array.shape.as_slice(),
                name.starts_with("short_term."),
                name.starts_with("feedback."),
            ) {
                ([5, ..], false, false) => 0,
                ([_, 5, ..], false, false) => 1,
                _ => continue,
            };
            let inner: usize = array.shape[axis + 1..].iter().product();
            let rows = values
                .chunks_exact(inner)
                .enumerate()
                .filter(|(row, _)| wanted(row % 5));
            parts.push((
                name.clone(),
                rows.flat_map(|(_, row)| row.to_vec()).collect::<Vec<f32>>(),
            ));
        }
        parts
    };
    let own = |layer: &Layer| parts(layer, |neuron| neuron == SICK);
    let others = |layer: &Layer| parts(layer, |neuron| neuron != SICK);
    go(&mut healthy, 0..31);
    assert_eq!(others(&layer), others(&healthy), "only its own state is put to rest");
    let before = own(&layer);
    assert!(before.len() >= 8, "{before:?}");
    for (name, values) in &before {
        let rests = values.iter().all(|v| *v == 0.0);
        assert!(rests || name == "theta", "{name} of the quarantined neuron: {values:?}");
    }
    let filaments = |layer: &Layer| layer.state().filaments()[SICK * 6..(SICK + 1) * 6].to_vec();
    let (n, all) = (filaments(&layer), layer.state().filaments().to_vec());
    let after = go(&mut layer, 31..120);
    assert_eq!(own(&layer), before);
    assert_eq!(filaments(&layer), n);
    assert_ne!(layer.state().filaments(), all, "the others go on learning");
    assert!(!after.iter().any(of_sick));
    for step in after.iter().flat_map(|step| step.chunks(5)) {
        assert_eq!(step.iter().map(|&s| u32::from(s)).sum::<u32>(), 2, "two others fire");
    }
    let mut answers = vec![0.0; 5];
    for response in [Response::Potential, Response::Probability { width: 0.5 }] {
        let x = [1.0; 6];
        layer
            .respond(&x, 1, response, &mut Scratch::default(), &mut answers)
            .unwrap();
        assert_eq!(answers[SICK], 0.0);
        assert!(
            answers
                .iter()
                .enumerate()
                .all(|(at, answer)| at == SICK || *answer > 0.0),
            "{answers:?}"
        );
    }
}

/// What is wrong in no neuron cannot be quarantined.
#[test]
fn a_breach_outside_of_every_neuron_stops_under_quarantine() {
    let mut config = everything(4);
    config.health = HealthParams {
        sweep_steps: 1,
        policy: Policy::Quarantine,
        ..HealthParams::default()
    };
    let mut arrays = build(config.clone(), 1).state_arrays();
    let expected = arrays.get_mut("neuromodulation.expected").unwrap();
    let len = expected.shape.iter().product();
    expected.data = StateData::F32(vec![f32::NAN; len]);
    let refused = Layer::restore(config.clone(), |name| arrays.get(name).cloned());
    assert!(matches!(refused, Err(Error::StateInvalid { .. })));
    let mut layer = builder(config).with(Unwell).build().unwrap();
    let stopped = layer.step(&[0.5; 6], 1, StepOptions::default()).map(drop);
    assert!(
        matches!(stopped, Err(Error::Stopped { breach }) if breach.array == "unwell.level"),
        "{stopped:?}"
    );
    assert_eq!((layer.clock(), layer.state().quarantined()), (1, &[0; 5][..]));
}

/// A mechanism whose one value, for the whole layer, is never in its range.
#[derive(Debug, Clone)]
struct Unwell;

impl Mechanism for Unwell {
    fn name(&self) -> &'static str {
        "unwell"
    }
    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }
    fn phase(&self) -> Phase {
        Phase::Regulate
    }
    fn parameters(&self) -> &dyn fmt::Debug {
        self
    }
    fn act(&mut self, _context: &mut StepContext<'_>) {}
    fn rest(&mut self, _samples: usize) {}
    fn reset_neuron(&mut self, _neuron: usize) {}
    fn check(&self, _part: Part, found: &mut Vec<Breach>) {
        found.push(Breach {
            invariant: Invariant::Range,
            array: "unwell.level",
            place: Place::Layer,
            value: f64::NAN,
        });
    }
    fn visit_state(&self, _visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {}
    fn restore(&mut self, _samples: usize, _stored: &mut Stored<'_>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_response_is_the_closed_form_and_changes_nothing() {
    let mut layer = build(everything(5), 2);
    for t in 0..50 {
        layer.step(&input(2, 6, t), 2, StepOptions::default()).unwrap();
    }
    let before = fold_advanced::soak::fingerprint(&layer);
    let x = input(3, 6, 1000);
    let (mut u, mut p) = (vec![0.0; 15], vec![0.0; 15]);
    let mut scratch = Scratch::default();
    layer.respond(&x, 3, Response::Potential, &mut scratch, &mut u).unwrap();
    layer
        .respond(&x, 3, Response::Probability { width: 0.5 }, &mut scratch, &mut p)
        .unwrap();
    assert_eq!(fold_advanced::soak::fingerprint(&layer), before);
    for (k, (u, p)) in u.iter().zip(&p).enumerate() {
        let z = f64::from(*u - layer.state().theta()[k % 5]) / 0.5;
        assert!((f64::from(*p) - 1.0 / (1.0 + (-z).exp())).abs() < 1e-6);
    }
    assert!(
        layer
            .respond(&x, 3, Response::Probability { width: 0.0 }, &mut scratch, &mut p)
            .is_err()
    );
    assert!(layer.respond(&x, 2, Response::Potential, &mut scratch, &mut p).is_err());
}

static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Recorder;

impl log::Log for Recorder {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        RECORDS
            .lock()
            .unwrap()
            .push(format!("{} {}", record.level(), record.args()));
    }
    fn flush(&self) {}
}

#[test]
fn every_mechanism_is_logged_with_its_parameters() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Recorder).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    let mut config = everything(1);
    config.stdp = Some(StdpParams {
        a_plus: 0.8125,
        ..StdpParams::default()
    });
    build(config, 1);
    let records = RECORDS.lock().unwrap();
    for start in [
        "inhibition in phase compete",
        "refractory in phase gate",
        "three_factor in phase credit",
    ] {
        assert!(
            records
                .iter()
                .any(|r| r.starts_with(&format!("INFO mechanism {start}"))),
            "{start}"
        );
    }
    assert!(
        records
            .iter()
            .any(|r| r.contains("stdp in phase learn") && r.contains("a_plus: 0.8125"))
    );
}
