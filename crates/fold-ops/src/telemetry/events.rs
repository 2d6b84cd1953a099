//! What happened, as lines of JSON: for a person after the fact, and for a log collector.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

/// A file that events are appended to, one JSON object a line.
///
/// Each line is written by one call and the file is opened for each, so that it can be rotated at any time. A line that
/// cannot be written is told once in the log and otherwise lost: telling is never a reason to stop.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    complained: bool,
}

#[derive(Serialize)]
struct Line<'a, T> {
    time: Timestamp,
    event: &'a str,
    #[serde(flatten)]
    fields: T,
}

impl EventLog {
    /// The name of the file in a run's or a store's directory.
    pub const FILE_NAME: &'static str = "events.jsonl";

    /// Appends to `DIR/events.jsonl`.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        Self {
            path: dir.join(Self::FILE_NAME),
            complained: false,
        }
    }

    /// Appends one event.
    ///
    /// - `event`: what happened, for example `checkpoint_saved`.   - `fields`: an object; its keys stand beside `time`
    ///   and `event`.
    pub fn append(&mut self, time: Timestamp, event: &str, fields: &impl Serialize) {
        let line = Line { time, event, fields };
        let written = serde_json::to_vec(&line)
            .map_err(std::io::Error::from)
            .and_then(|mut text| {
                text.push(b'\n');
                let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
                file.write_all(&text)
            });
        if let Err(error) = written
            && !self.complained
        {
            self.complained = true;
            log::warn!(
                "events are lost: cannot append to {}: {error}",
                crate::error::shown(&self.path)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = EventLog::in_dir(dir.path());
        for text in ["a\nb", "\u{1b}[31m\"", ""] {
            events.append(Timestamp::UNIX_EPOCH, "saved", &serde_json::json!({"path": text}));
        }
        let written = std::fs::read_to_string(dir.path().join(EventLog::FILE_NAME)).unwrap();
        assert_eq!(written.lines().count(), 3);
        for line in written.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&line["event"], &line["time"]),
                (&"saved".into(), &"1970-01-01T00:00:00Z".into())
            );
            assert!(line["path"].is_string());
        }
        assert!(!written.contains('\u{1b}'));
        EventLog::in_dir(&dir.path().join("absent")).append(Timestamp::UNIX_EPOCH, "lost", &());
    }
}
