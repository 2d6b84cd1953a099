//! What to do about a finding, and the command of this release that does it.
//!
//! A file that holds what is lost a second time, as parity or as the other copy of its metadata, is repaired. Else what
//! helps is the run itself, whose training is deterministic and computes a lost checkpoint again from the newest valid
//! one, bit for bit; or another copy, or what is intact of this one.

use std::path::{Path, PathBuf};

use fold_format::{Class, Code as FormatCode, Severity};

use crate::code::Code;
use crate::store::step_of;

/// What to do, and with which command.
pub(crate) struct Advice {
    pub(super) action: String,
    pub(super) next_command: Option<String>,
}

/// - `mendable`: the file holds a second time whatever is damaged in it, here and elsewhere.
pub(super) fn on_finding(code: Code, mendable: bool, path: &Path) -> Advice {
    let explain = Some(format!("fold explain {code}"));
    let say = |action: &str, next_command| Advice {
        action: action.to_owned(),
        next_command,
    };
    match code {
        Code::Format(FormatCode::Absent) => say("check the path", explain),
        Code::Format(FormatCode::NotContainer) => say(
            "check the path: the file is something else, or its beginning is lost (fold salvage looks for what is left)",
            explain,
        ),
        Code::Format(FormatCode::NewerVersion | FormatCode::UnknownFeature) => {
            say("read it with the release that wrote it, or a newer one", explain)
        }
        Code::Format(FormatCode::KeyNeeded) => say(
            "give the key: --key-file for encrypted chunks, --integrity-key-file for keyed digests",
            explain,
        ),
        Code::Format(FormatCode::Decryption | FormatCode::Unkeyed) => say(
            "check that the key is this file's; if it is, the file was altered",
            explain,
        ),
        Code::Format(FormatCode::Signature) => say("do not use the file before you know who has written it", explain),
        _ if code.class() == Class::Damaged && mendable => say(
            "write a whole copy, which the file holds everything for, and put it in this one's place",
            repair_command(path).or(explain),
        ),
        _ if code.class() == Class::Damaged && code.severity() == Severity::Warning => {
            say("the content is whole: nothing has to be done now", explain)
        }
        _ if code.class() == Class::Damaged => match resume_command(path) {
            Some(command) => say(
                "resume the run: it goes on from the newest valid checkpoint, and puts this file aside unless that one is newer",
                Some(command),
            ),
            None => say(
                "replace the file by a good copy; where there is none, take out of it what is intact",
                salvage_command(path).or(explain),
            ),
        },
        _ => say("mend what the message names, then try again", explain),
    }
}

/// Content of another program that is broken, refused or not read.
///
/// - `in_chunk`: it lies inside a chunk whose digests match.
pub(super) fn on_content(code: Code, in_chunk: bool) -> Advice {
    Advice {
        action: match (code, code.class()) {
            (Code::Format(FormatCode::ForbiddenPickle), _) => "do not load this file elsewhere: ask who made it",
            (Code::Format(FormatCode::ForeignContent), _) => {
                "the file may be sound: write it anew, in the program that made it, with a type and form that are read here"
            }
            (_, Class::Environment) => "the file may be sound: mend what the message names, then try again",
            _ if in_chunk => "the bytes are those that were written: ask the program that wrote them",
            _ => "replace the file by a good copy, or have the program that wrote it write it anew",
        }
        .to_owned(),
        next_command: Some(format!("fold explain {code}")),
    }
}

/// A damaged checkpoint of a run in which `newer` is whole.
pub(super) fn on_superseded(newer: &Path) -> Advice {
    Advice {
        action: "nothing is lost: a newer checkpoint of this run is whole; move this file away".to_owned(),
        next_command: quoted(newer).map(|newer| format!("fold inspect {newer}")),
    }
}

/// A damaged checkpoint of a run of which none is whole.
pub(super) fn on_a_run_lost(path: &Path) -> Advice {
    Advice {
        action: "no checkpoint of this directory is whole: replace the file by a good copy, or take out of it what is intact"
            .to_owned(),
        next_command: salvage_command(path),
    }
}

/// The command that resumes the run which `path` is a checkpoint of. None where it is not named like one.
pub(super) fn resume_command(path: &Path) -> Option<String> {
    step_of(path.file_name()?)?;
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Some(format!("fold train --out {} --resume", quoted(dir)?))
}

/// The command that writes a whole copy of a file: `x.repaired.fold` for `x.fold`.
fn repair_command(path: &Path) -> Option<String> {
    Some(format!(
        "fold repair {} -o {}",
        quoted(path)?,
        quoted(&beside(path, ".repaired"))?
    ))
}

/// The command that takes out of a file what is intact, into the directory `x-salvaged` for `x.fold`.
pub(crate) fn salvage_command(path: &Path) -> Option<String> {
    let dir = beside(&path.with_extension(""), "-salvaged");
    Some(format!("fold salvage {} -o {}", quoted(path)?, quoted(&dir)?))
}

/// The command that writes a file anew with BLAKE3 digests: `x.sealed.fold` for `x.fold`.
pub(crate) fn sealing_command(path: &Path) -> Option<String> {
    let sealed = quoted(&beside(path, ".sealed"))?;
    Some(format!("fold convert {} {sealed} --digest blake3", quoted(path)?))
}

/// A name beside `path`, with `mark` before the extension.
fn beside(path: &Path, mark: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(mark);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// A path as one word of a command line of the system's shell. None where it cannot be shown faithfully: what is not UTF-8
/// or has control characters is not put into a command, nor, on Windows, what its shells expand between double quotes too.
#[must_use]
pub fn quoted(path: &Path) -> Option<String> {
    quoted_for(if cfg!(windows) { Shell::Windows } else { Shell::Posix }, path)
}

/// Whose quotes are used.
#[derive(Clone, Copy)]
enum Shell {
    Posix,
    /// `cmd` and PowerShell, which have the double quote in common.
    Windows,
}

fn quoted_for(shell: Shell, path: &Path) -> Option<String> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control))?;
    let dashed = if text.starts_with('-') {
        format!("./{text}")
    } else {
        text.to_owned()
    };
    let marks = match shell {
        Shell::Posix => "_-./+=:,@%",
        Shell::Windows => r"_-./+:\",
    };
    if dashed.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c)) {
        return Some(dashed);
    }
    match shell {
        Shell::Posix => Some(format!("'{}'", dashed.replace('\'', r"'\''"))),
        // PowerShell takes curly quotes for straight ones.
        Shell::Windows if dashed.contains(['"', '%', '$', '`', '\u{201c}', '\u{201d}', '\u{201e}']) => None,
        Shell::Windows => {
            // A program takes a backslash before the closing quote as escaping it.
            let end = &dashed[dashed.trim_end_matches('\\').len()..];
            Some(format!("\"{dashed}{end}\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_posix_shell() {
        let quoted = |text: &str| quoted_for(Shell::Posix, Path::new(text));
        assert_eq!(quoted("runs/digits").as_deref(), Some("runs/digits"));
        assert_eq!(quoted("my runs/a'b").as_deref(), Some(r"'my runs/a'\''b'"));
        assert_eq!(quoted("-rf").as_deref(), Some("./-rf"));
        assert_eq!(quoted("$(reboot)").as_deref(), Some("'$(reboot)'"));
        assert_eq!(quoted("a\u{1b}[2J"), None);
    }

    #[test]
    fn a_path_is_one_word_of_the_shells_of_windows() {
        let quoted = |text: &str| quoted_for(Shell::Windows, Path::new(text));
        assert_eq!(quoted(r"C:\runs\digits").as_deref(), Some(r"C:\runs\digits"));
        assert_eq!(quoted(r"my runs\a'b").as_deref(), Some(r#""my runs\a'b""#));
        assert_eq!(quoted(r"my runs\").as_deref(), Some(r#""my runs\\""#));
        assert_eq!(quoted("a&b").as_deref(), Some(r#""a&b""#));
        assert_eq!(quoted("-rf").as_deref(), Some("./-rf"));
        for expanded in ["$(reboot)", "%PATH%", "a`b", "a\"b", "a\u{201d}b", "a\u{1b}[2J"] {
            assert_eq!(quoted(expanded), None, "{expanded}");
        }
    }

    #[test]
    fn only_a_checkpoint_of_a_run_is_resumed() {
        let next = |path: &str| {
            on_finding(Code::Format(FormatCode::BlockDigest), false, Path::new(path))
                .next_command
                .unwrap()
        };
        assert_eq!(
            next("runs/digits/step-00000003.fold"),
            "fold train --out runs/digits --resume"
        );
        assert_eq!(next("step-00000003.fold"), "fold train --out . --resume");
        assert_eq!(next("model.fold"), "fold salvage model.fold -o model-salvaged");
        assert_eq!(next("a\u{1b}"), "fold explain FOLD-E0301");
    }

    #[cfg(unix)]
    #[test]
    fn both_paths_of_a_command_are_quoted() {
        assert_eq!(
            salvage_command(Path::new("a/my net")).as_deref(),
            Some("fold salvage 'a/my net' -o 'a/my net-salvaged'")
        );
    }

    #[test]
    fn what_can_be_repaired_is_repaired_a_run_s_checkpoint_too() {
        let next = |code, path: &str| {
            on_finding(Code::Format(code), true, Path::new(path))
                .next_command
                .unwrap()
        };
        assert_eq!(
            next(FormatCode::ReadThroughParity, "r/step-00000003.fold"),
            "fold repair r/step-00000003.fold -o r/step-00000003.repaired.fold"
        );
        assert_eq!(next(FormatCode::IndexDigest, "net"), "fold repair net -o net.repaired");
    }

    #[test]
    fn a_wrong_signature_is_no_damage_to_be_mended() {
        for mendable in [false, true] {
            let advice = on_finding(
                Code::Format(FormatCode::Signature),
                mendable,
                Path::new("r/step-00000003.fold"),
            );
            assert_eq!(advice.next_command.as_deref(), Some("fold explain FOLD-E0306"));
        }
    }

    #[test]
    fn what_is_not_damage_is_not_resumed() {
        let advice = on_finding(
            Code::Format(FormatCode::Absent),
            false,
            Path::new("r/step-00000003.fold"),
        );
        assert_eq!(advice.next_command.as_deref(), Some("fold explain FOLD-E0103"));
    }
}
