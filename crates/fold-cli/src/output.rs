//! Standard output and notes on standard error, by writes that may fail.
//!
//! A standard output that is full, or whose reader has gone, is an exit code, never a panic. One that was closed before the
//! program began is /dev/null by the time it is written to. A note that cannot be written is lost: there is
//! nowhere left to say so.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use crate::arguments::{Color, Global};
use crate::failure::Failure;

/// Where a command says its result.
pub(crate) struct Output {
    stream: AutoStream<io::Stdout>,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let choice = match global.color {
            Color::Auto => AutoStream::choice(&io::stdout()),
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            stream: AutoStream::new(io::stdout(), choice),
            quiet: global.quiet,
        }
    }

    /// One JSON object and a line break.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::Internal(error.into()))?;
        self.text(&format!("{text}\n"))
    }

    /// Text for a person.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.stream
            .write_all(text.as_bytes())
            .and_then(|()| self.stream.flush())
            .map_err(Failure::Output)
    }

    /// A remark on standard error, unless `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }
}

/// A line on standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Text in green or red for a terminal; the stream strips it elsewhere.
pub(crate) fn painted(text: &str, good: bool) -> String {
    let color = if good { "32" } else { "1;31" };
    format!("\u{1b}[{color}m{text}\u{1b}[0m")
}
