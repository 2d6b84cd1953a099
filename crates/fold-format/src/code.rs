//! The stable codes that this crate raises: one table for severity, class and meaning.
//!
//! A code is never reused and never changes its meaning. The families are those of the command line's contract:
//! 00xx the caller, 01xx recognising a file, 02xx its structure, 03xx its digests, 04xx the environment, 08xx content of
//! other programs. Codes of other layers (state, store) are not here; `fold-ops` adds them together with the runbook.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing; nothing is lost and the answer stands.
    Warning,
    /// The file, the request or the machine is not as it must be.
    Error,
}

impl Severity {
    /// `warning` or `error`, as the JSON reports write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The file's bytes are not those that were saved: repair, or go back to another copy.
    Damaged,
    /// The file may be fine, this reader or its limits are not made for it.
    Unsupported,
    /// The calling program asked for something that cannot be. Never caused by a file's content.
    Misuse,
    /// The operating system, the disk or the user stood in the way.
    Environment,
}

impl Class {
    /// `damaged`, `unsupported`, `misuse` or `environment`, as the JSON reports write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Unsupported => "unsupported",
            Self::Misuse => "misuse",
            Self::Environment => "environment",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row per code: the variant, its stable text, severity, class and meaning in one line.
macro_rules! codes {
    ($($variant:ident $text:literal $severity:ident $class:ident $meaning:literal;)+) => {
        /// A stable code. [`Code::as_str`] is what users see, search for and report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $text, "`: ", $meaning, ".")] $variant,)+
        }

        impl Code {
            /// Every code of this crate, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable text, for example `FOLD-E0301`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// Whose move it is.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)+ }
            }

            /// What it means, in one line without a final stop.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

codes! {
    TargetExists "FOLD-E0003" Error Misuse "the target exists and was not to be replaced";
    InvalidContent "FOLD-E0004" Error Misuse "what was to be saved breaks a rule of the format";
    NoSuchEntry "FOLD-E0005" Error Misuse "the file holds no tensor or chunk of the requested name";
    WrongView "FOLD-E0006" Error Misuse "the requested view or buffer does not fit the tensor";
    Cancelled "FOLD-E0007" Error Environment "the caller stopped the operation before it was done";
    NotSealed "FOLD-E0009" Error Misuse "the file is not sealed with BLAKE3, so that a signature would prove nothing";
    NotContainer "FOLD-E0101" Error Unsupported "the file is not a fold container";
    NewerVersion "FOLD-E0102" Error Unsupported "the container's version is newer than this reader";
    Absent "FOLD-E0103" Error Environment "the file does not exist";
    UnknownFeature "FOLD-E0104" Error Unsupported "the container requires a feature that this reader does not have";
    UnknownMinor "FOLD-W0107" Warning Unsupported "the file names a version of its format that nothing is known to have written";
    IndexDigest "FOLD-E0201" Error Damaged "a copy of the index or of the digest table does not match its digest";
    WrongLength "FOLD-E0202" Error Damaged "bytes are missing from the end of the file, or follow it";
    OutOfBounds "FOLD-E0203" Error Damaged "an offset or a length points outside its region, or overflows";
    Overlap "FOLD-E0204" Error Damaged "two entries claim the same bytes";
    OverLimit "FOLD-E0205" Error Unsupported "the file asks for more than the reader's limits allow";
    DuplicateName "FOLD-E0206" Error Damaged "two entries have the same name";
    SuperblockDigest "FOLD-E0207" Error Damaged "a superblock does not match its own digest";
    NonZeroPadding "FOLD-E0208" Error Damaged "padding that must be zero is not";
    CopiesDiffer "FOLD-E0209" Error Damaged "the two copies of the metadata are each whole but differ";
    Prologue "FOLD-E0210" Error Damaged "a chunk's prologue does not agree with the index";
    Malformed "FOLD-E0211" Error Damaged "a field holds a value that the format does not allow";
    TensorDirectory "FOLD-E0212" Error Damaged "a chunk's tensor directory does not agree with the index";
    MissingChunk "FOLD-E0221" Error Damaged "the metadata name a chunk that the index does not have";
    UnclaimedBytes "FOLD-W0222" Warning Damaged "bytes of the file belong to nothing, and nothing speaks for them";
    HashAbsent "FOLD-W0223" Warning Damaged "the metadata carry no hash of themselves: nothing speaks for them";
    BlockDigest "FOLD-E0301" Error Damaged "a block does not match its digest";
    ReadThroughParity "FOLD-W0302" Warning Damaged "damaged bytes are read through their parity";
    BeyondParity "FOLD-E0303" Error Damaged "more is damaged than the parity restores";
    RootDigest "FOLD-E0304" Error Damaged "the root digest does not match the superblock it covers";
    Decompression "FOLD-E0305" Error Damaged "compressed bytes do not decode to what the index says";
    Signature "FOLD-E0306" Error Damaged "a signature does not match";
    ChunkDigest "FOLD-E0307" Error Damaged "a chunk's digest does not match the digests of its blocks";
    KeyNeeded "FOLD-E0311" Error Unsupported "a key is needed to read or to verify this, and none was given";
    Decryption "FOLD-E0312" Error Damaged "a chunk does not decrypt: another key was given, or its bytes were altered";
    Unkeyed "FOLD-E0313" Error Damaged "a digest is made without the integrity key that was given";
    ParityDamaged "FOLD-W0314" Warning Damaged "parity is damaged; what it protects is whole";
    SyncFailed "FOLD-E0403" Error Environment "flushing to the disk failed: what was written is not known to be durable";
    NoSpace "FOLD-E0404" Error Environment "the disk or the quota is full";
    Io "FOLD-E0406" Error Environment "another input or output operation failed";
    ForbiddenPickle "FOLD-E0804" Error Unsupported "a pickle asks for what this reader does not do; nothing of it was executed";
    BrokenContent "FOLD-E0805" Error Damaged "the content is not what its format says";
    ForeignContent "FOLD-E0806" Error Unsupported "the content has a type or size that has no counterpart here";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_unique_ascend_and_name_their_severity() {
        for pair in Code::ALL.windows(2) {
            // `FOLD-` and the letter differ only by severity; the number alone orders.
            assert!(
                pair[0].as_str()[6..] < pair[1].as_str()[6..],
                "{} before {}",
                pair[0],
                pair[1]
            );
        }
        for code in Code::ALL {
            let letter = match code.severity() {
                Severity::Error => 'E',
                Severity::Warning => 'W',
            };
            assert_eq!(code.as_str().as_bytes()[5], letter as u8, "{code}");
            assert!(!code.meaning().ends_with('.') && !code.meaning().is_empty());
        }
    }

    #[test]
    fn reports_write_these_words() {
        let severities = [Severity::Warning, Severity::Error].map(|severity| severity.to_string());
        assert_eq!(severities, ["warning", "error"]);
        let classes = [Class::Damaged, Class::Unsupported, Class::Misuse, Class::Environment];
        assert_eq!(
            classes.map(|class| class.to_string()),
            ["damaged", "unsupported", "misuse", "environment"]
        );
        assert_eq!(Code::BlockDigest.to_string(), "FOLD-E0301");
    }

    #[test]
    fn family_02_and_03_never_blame_the_environment() {
        for code in Code::ALL {
            if matches!(&code.as_str()[6..8], "02" | "03") {
                assert!(matches!(code.class(), Class::Damaged | Class::Unsupported), "{code}");
            }
        }
    }
}
