//! `fold exporter`: the metrics of a store over HTTP, computed anew for each request.

use std::time::Duration;

use fold_ops::scrub::ScrubState;
use fold_ops::telemetry::StoreSnapshot;
use fold_ops::{Escaped, ExitCode};
use tiny_http::{Header, Method, Request, Response, Server};

use crate::arguments::{Exporter, Global};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;

/// How often a waiting exporter looks for a signal.
const LOOK: Duration = Duration::from_millis(200);
/// The media type of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn run(arguments: &Exporter, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let state = arguments
        .state
        .clone()
        .unwrap_or_else(|| ScrubState::default_path(&arguments.dir));
    if !arguments.dir.is_dir() {
        return Err(Failure::NoDirectory(arguments.dir.clone()));
    }
    let server = Server::http(arguments.listen).map_err(|source| Failure::Listen {
        address: arguments.listen,
        source,
    })?;
    let address = server.server_addr().to_ip().unwrap_or(arguments.listen);
    if global.json {
        output.json(&serde_json::json!({
            "schema": "fold.exporter/1", "command": "exporter", "listen": address.to_string(),
            "url": format!("http://{address}/metrics"),
        }))?;
    } else {
        output.text(&format!(
            "metrics of {} at http://{address}/metrics\n",
            Escaped(&arguments.dir.to_string_lossy())
        ))?;
    }
    while interrupt::requested().is_continue() {
        match server.recv_timeout(LOOK) {
            Ok(Some(request)) => {
                let answer = if asks_for_metrics(&request) {
                    Some(exposition(arguments, &state))
                } else {
                    None
                };
                respond(request, answer);
            }
            Ok(None) => {}
            Err(source) => return Err(Failure::Serve(source)),
        }
    }
    Ok(ExitCode::Interrupted)
}

fn asks_for_metrics(request: &Request) -> bool {
    matches!(request.method(), Method::Get | Method::Head)
        && request.url().split('?').next().is_some_and(|path| path == "/metrics")
}

/// The text of the metrics. A state that cannot be read is a failed scrape, which Prometheus tells by `up`.
fn exposition(arguments: &Exporter, state: &std::path::Path) -> Result<String, fold_ops::Error> {
    let snapshot = StoreSnapshot::take(&arguments.dir, ScrubState::load(state)?);
    Ok(snapshot.render_with_run())
}

fn respond(request: Request, answer: Option<Result<String, fold_ops::Error>>) {
    let (status, text) = match answer {
        Some(Ok(text)) => (200, text),
        Some(Err(error)) => {
            log::error!("{error}");
            (500, format!("{error}\n"))
        }
        None => (404, "the metrics are at /metrics\n".to_owned()),
    };
    let response = Response::from_string(text).with_status_code(status);
    let response = match Header::from_bytes("Content-Type", TEXT_FORMAT) {
        Ok(header) => response.with_header(header),
        Err(()) => response,
    };
    if let Err(error) = request.respond(response) {
        // The client went away; the next one asks again.
        log::debug!("a response was not taken: {error}");
    }
}
