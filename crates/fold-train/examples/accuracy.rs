//! Accuracy of the default configuration over seeds: `cargo run --release -p fold-train --example accuracy -- OUT [SEEDS] [CONFIG]`.
//!
//! Prints one line per event and the outcome as JSON; goes on from what is in OUT. The numbers of `docs/learning` come from here.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

use fold_train::{DataSet, Event, Observer, Resume, TrainConfig, TrainRequest, train};

struct Lines<W>(W, Instant);

impl<W: std::io::Write> Observer for Lines<W> {
    fn on(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        let at = self.1.elapsed().as_secs_f32();
        let written = match event {
            Event::EpochFinished {
                seed,
                metrics,
                images,
                seconds,
            } => {
                writeln!(
                    self.0,
                    "{at:6.2} s  seed {seed}  {metrics:?}  {:.0} images/s",
                    *images as f64 / seconds
                )
            }
            Event::ControlMeasured {
                seed,
                control,
                accuracy,
            } => {
                writeln!(self.0, "{at:6.2} s  seed {seed}  {}  {accuracy:.4}", control.as_str())
            }
            Event::Health { report, .. } => writeln!(self.0, "{at:6.2} s  {report:?}"),
            _ => Ok(()),
        };
        if written.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("usage: accuracy OUT [SEEDS] [CONFIG]")?;
    let seeds: u64 = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let request = TrainRequest {
        data: DataSet::named("digits")?,
        out: out.into(),
        config: TrainConfig::from_json(arguments.next().as_deref().unwrap_or("{}"))?,
        seed: 0,
        more_seeds: (1..seeds).collect(),
        resume: Resume::Auto,
        retention: None,
        parity: None,
    };
    let outcome = train(&request, &mut Lines(std::io::stdout().lock(), Instant::now()))?;
    serde_json::to_writer_pretty(std::io::stdout().lock(), &outcome)?;
    writeln!(std::io::stdout())?;
    Ok(())
}
