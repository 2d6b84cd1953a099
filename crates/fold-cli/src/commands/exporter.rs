//! `fold exporter`: the metrics of a store over HTTP, computed anew for each request.

mod http;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use fold_ops::scrub::ScrubState;
use fold_ops::telemetry::StoreSnapshot;
use fold_ops::{Clock as _, Escaped, ExitCode, SystemClock};

use self::http::Answer;
use crate::arguments::{Exporter, Global};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;

/// The media type of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn run(arguments: &Exporter, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let dir = arguments.dir.clone();
    let state = arguments
        .state
        .clone()
        .unwrap_or_else(|| ScrubState::default_path(&dir));
    if !dir.is_dir() {
        return Err(Failure::NoDirectory(dir));
    }
    let failed = |source| Failure::Listen {
        address: arguments.listen,
        source,
    };
    let listener = TcpListener::bind(arguments.listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if global.json {
        output.json(&serde_json::json!({
            "schema": "fold.exporter/1", "command": "exporter", "listen": address.to_string(),
            "url": format!("http://{address}/metrics"),
        }))?;
    } else {
        output.text(&format!(
            "metrics of {} at http://{address}/metrics\n",
            Escaped(&dir.to_string_lossy())
        ))?;
    }
    let source = Source {
        dir,
        state,
        one_at_a_time: Mutex::new(()),
    };
    http::serve(
        &listener,
        move |path| source.answer(path),
        || interrupt::requested().is_break(),
    )
    .map_err(failed)?;
    Ok(ExitCode::Interrupted)
}

/// Where the metrics come from.
struct Source {
    dir: PathBuf,
    state: PathBuf,
    /// A long state is held once, however many ask.
    one_at_a_time: Mutex<()>,
}

impl Source {
    fn answer(&self, path: &str) -> Answer {
        if path != "/metrics" {
            return Answer::refusal((404, "Not Found"), "the metrics are at /metrics");
        }
        match self.exposition() {
            Ok(text) => Answer {
                status: (200, "OK"),
                media: TEXT_FORMAT,
                text,
            },
            Err(error) => {
                log::error!("{error}");
                Answer::refusal((500, "Internal Server Error"), &error.to_string())
            }
        }
    }

    /// The text of the metrics. A state that cannot be read is a failed scrape, which Prometheus tells by `up`.
    fn exposition(&self) -> Result<String, fold_ops::Error> {
        let _turn = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = ScrubState::load(&self.state)?;
        state.forget_the_future(SystemClock::start().now());
        let snapshot = StoreSnapshot::take(&self.dir, state);
        Ok(snapshot.render_with_run())
    }
}
