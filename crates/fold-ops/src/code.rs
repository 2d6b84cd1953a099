//! Every code that this release can raise: the container's, wrapped, and those of the layers above it.
//!
//! A code is never reused and never changes its meaning. The runbook, `fold explain`, the exit codes and the reports are
//! keyed by it. Codes that no released command can raise are not here.

use std::fmt;

use fold_format::{Class, Severity};

/// One row per code: the variant, its stable text, severity, class and meaning in one line.
macro_rules! codes {
    ($($variant:ident $text:literal $severity:ident $class:ident $meaning:literal;)+) => {
        /// A stable code. [`Code::as_str`] is what users see, search for and report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            /// A code of the container.
            Format(fold_format::Code),
            $(#[doc = concat!("`", $text, "`: ", $meaning, ".")] $variant,)+
        }

        impl Code {
            /// The codes of this table alone.
            const OWN: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable text, for example `FOLD-E0503`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { Self::Format(code) => code.as_str(), $(Self::$variant => $text,)+ }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { Self::Format(code) => code.severity(), $(Self::$variant => Severity::$severity,)+ }
            }

            /// Whose move it is.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { Self::Format(code) => code.class(), $(Self::$variant => Class::$class,)+ }
            }

            /// What it means, in one line without a final stop.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { Self::Format(code) => code.meaning(), $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

codes! {
    BadConfiguration "FOLD-E0001" Error Misuse "a setting is outside its range or does not go with another";
    UnknownKey "FOLD-E0002" Error Misuse "the configuration has a key that this release does not know";
    InputMismatch "FOLD-E0008" Error Misuse "an input array is missing, does not fit the case, or holds what cannot be";
    Locked "FOLD-E0105" Error Environment "another process is writing to the checkpoint directory";
    UnsafeFileSystem "FOLD-W0405" Warning Environment "the file system does not promise what a durable save needs";
    StateMissing "FOLD-E0501" Error Damaged "the checkpoint lacks tensors that the state needs";
    StateMismatch "FOLD-E0502" Error Damaged "a tensor has another type or shape than the state needs";
    ResumeDiffers "FOLD-E0503" Error Misuse "the checkpoint was written with another configuration than the one asked for";
    InvariantViolated "FOLD-E0505" Error Damaged "the state breaks an invariant of the model";
    NoValidCheckpoint "FOLD-E0506" Error Damaged "the directory holds checkpoints, and not one of them is valid";
    NoParity "FOLD-E0601" Error Damaged "blocks are lost, and the file has no parity to restore them from";
    LastValid "FOLD-E0602" Error Misuse "the removal would take the last valid checkpoint";
    ScrubState "FOLD-E0604" Error Environment "the state file of a scrub cannot be read";
    LossyRefused "FOLD-E0801" Error Misuse "the target cannot hold everything, and losing some of it was not allowed";
    SourceDamaged "FOLD-E0802" Error Damaged "the source does not verify, and a conversion would launder its damage";
    MetadataDropped "FOLD-W0803" Warning Misuse "the target has no place for the metadata or for chunks that are no tensors";
    Internal "FOLD-E0901" Error Misuse "an internal error: a bug in this program";
}

impl Code {
    /// Every code of this release, in the order of their numbers.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let container = fold_format::Code::ALL.iter().copied().map(Self::Format);
        let mut all = container.chain(Self::OWN.iter().copied()).collect::<Vec<_>>();
        all.sort_by_key(|code| code.number());
        all
    }

    /// The digits of the code: the letter in front of them says the severity and does not order.
    fn number(self) -> &'static str {
        self.as_str().get(6..).unwrap_or_default()
    }

    /// The code that a user names: `FOLD-E0301`, `E0301` or `0301`, in either case. None where there is no such code.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let asked = text.trim().to_ascii_uppercase();
        Self::all().into_iter().find(|code| {
            let full = code.as_str();
            [Some(full), full.strip_prefix("FOLD-"), Some(code.number())].contains(&Some(asked.as_str()))
        })
    }
}

impl From<fold_format::Code> for Code {
    fn from(code: fold_format::Code) -> Self {
        Self::Format(code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_ascend() {
        for pair in Code::all().windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{} before {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn texts_name_their_severity() {
        for code in Code::all() {
            let letter = match code.severity() {
                Severity::Warning => 'W',
                _ => 'E',
            };
            assert_eq!(code.as_str().len(), "FOLD-E0000".len());
            assert!(code.as_str().starts_with(&format!("FOLD-{letter}")), "{code}");
            assert!(!code.meaning().is_empty() && !code.meaning().ends_with('.'), "{code}");
        }
    }

    #[test]
    fn a_user_may_shorten_a_code() {
        for text in ["FOLD-E0301", "fold-e0301", "E0301", "e0301", " 0301 "] {
            assert_eq!(
                Code::find(text),
                Some(Code::Format(fold_format::Code::BlockDigest)),
                "{text}"
            );
        }
        for text in ["", "FOLD-", "E", "E9999", "FOLD-W0301"] {
            assert_eq!(Code::find(text), None, "{text}");
        }
    }
}
