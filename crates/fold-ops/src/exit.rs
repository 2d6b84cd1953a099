//! The exit codes of the command line: one table, shared by reports that carry an exit code and by the binary.
//!
//! The code 75 (try again later) is part of the contract, and nothing in this release ends with it: it is not here.

use crate::code::Code;
use fold_format::Class;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum ExitCode {
    /// Done; every answer is good.
    Done = 0,
    /// The command ran and the answer is no: damage was found.
    No = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Done in part: what is left is taken up by the next call, or is lost and named.
    Partial = 3,
    /// The file is absent or not a container.
    Absent = 10,
    /// Another process is writing there.
    Locked = 11,
    /// The file needs a newer release.
    Newer = 12,
    /// Damaged, and the command cannot go on.
    Damaged = 20,
    /// Refused, to keep something from being lost.
    Refused = 21,
    /// An input or output operation failed; standard output too.
    Io = 74,
    /// A bug in this program.
    Bug = 101,
    /// Asked to end by SIGHUP: its terminal is gone.
    HungUp = 129,
    /// Interrupted from the keyboard, or by the caller.
    Interrupted = 130,
    /// Asked to end by SIGTERM.
    Terminated = 143,
}

impl ExitCode {
    /// Every exit code, ascending.
    pub const ALL: &'static [Self] = &[
        Self::Done,
        Self::No,
        Self::Usage,
        Self::Partial,
        Self::Absent,
        Self::Locked,
        Self::Newer,
        Self::Damaged,
        Self::Refused,
        Self::Io,
        Self::Bug,
        Self::HungUp,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the process ends with.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What it means, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::No => "the answer is no: damage was found",
            Self::Usage => "wrong usage or configuration",
            Self::Partial => "done in part",
            Self::Absent => "absent or not a container",
            Self::Locked => "locked by another process",
            Self::Newer => "needs a newer release",
            Self::Damaged => "damaged, cannot go on",
            Self::Refused => "refused for safety",
            Self::Io => "input/output error",
            Self::Bug => "a bug",
            Self::HungUp => "ended by SIGHUP",
            Self::Interrupted => "interrupted",
            Self::Terminated => "ended by SIGTERM",
        }
    }
}

impl serde::Serialize for ExitCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl Code {
    /// What a command ends with when this code stops it.
    #[must_use]
    pub const fn exit(self) -> ExitCode {
        use fold_format::Code as F;
        match self {
            Self::BadConfiguration
            | Self::UnknownKey
            | Self::InputMismatch
            | Self::Format(F::NoSuchEntry | F::KeyNeeded) => ExitCode::Usage,
            Self::Format(F::NotContainer | F::Absent) => ExitCode::Absent,
            Self::Locked => ExitCode::Locked,
            Self::Format(F::NewerVersion | F::UnknownFeature | F::ForeignContent) => ExitCode::Newer,
            Self::Format(F::TargetExists | F::NotSealed | F::ForbiddenPickle)
            | Self::ResumeDiffers
            | Self::LastValid
            | Self::LossyRefused
            | Self::MetadataDropped => ExitCode::Refused,
            Self::Format(F::Cancelled) => ExitCode::Interrupted,
            Self::ScrubState | Self::UnsafeFileSystem => ExitCode::Io,
            Self::Internal => ExitCode::Bug,
            Self::SourceDamaged
            | Self::StateMissing
            | Self::StateMismatch
            | Self::InvariantViolated
            | Self::NoValidCheckpoint
            | Self::NoParity => ExitCode::Damaged,
            Self::Format(other) => match other.class() {
                Class::Damaged | Class::Unsupported => ExitCode::Damaged,
                Class::Environment => ExitCode::Io,
                // A program that builds content or views which the format refuses has a bug.
                _ => ExitCode::Bug,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_contract() {
        let numbers = ExitCode::ALL.iter().map(|exit| exit.number()).collect::<Vec<_>>();
        assert_eq!(numbers, [0, 1, 2, 3, 10, 11, 12, 20, 21, 74, 101, 129, 130, 143]);
    }

    #[test]
    fn no_code_ends_a_command_as_if_it_were_done() {
        for code in Code::all() {
            assert!(!matches!(code.exit(), ExitCode::Done | ExitCode::No), "{code}");
        }
        let exit = |text| Code::find(text).map(|code| code.exit().number());
        assert_eq!(exit("E0101"), Some(10));
        assert_eq!(exit("E0102"), Some(12));
        assert_eq!(exit("E0105"), Some(11));
        assert_eq!(exit("E0301"), Some(20));
        assert_eq!(exit("E0205"), Some(20));
        assert_eq!(exit("E0404"), Some(74));
        assert_eq!(exit("E0806"), Some(12));
        assert_eq!(exit("E0311"), Some(2));
        assert_eq!(exit("E0004"), Some(101));
        assert_eq!(exit("E0503"), Some(21));
    }
}
