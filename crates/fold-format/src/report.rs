//! What is asked of a verification and what it answers: depth, options, progress, report, verdict.
//!
//! How the file is walked is in `verify`.

use std::fmt;
use std::ops::ControlFlow;

use crate::finding::Finding;
use crate::info::Info;
use crate::limits::Limits;
use crate::seal::PublicKey;

/// How far a verification goes. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Depth<'a> {
    /// Both superblocks and the file's length.
    Superblock,
    /// Also both copies of index and digest table, the padding around them, and every record.
    Index,
    /// Also one chunk: its prologue and all its blocks.
    Chunk(&'a str),
    /// Also one tensor: the blocks that it lies on.
    Tensor(&'a str),
    /// Every byte of the file.
    All,
}

/// The answer, named by the level it was reached at: only [`Verdict::Ok`] speaks for the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Both superblocks and the length are right; nothing else was looked at.
    HeaderOk,
    /// The metadata are right, and what of the content was asked for; the rest was not looked at.
    StructureOk,
    /// Every byte is right.
    Ok,
    /// All damage found lies where the file holds a second copy: every answer it gives is right, and it should be rewritten.
    Corrected,
    /// Something is lost; the rest can be read.
    Damaged,
    /// Nothing can be read: not a container, not for this reader, or both copies of the metadata are lost.
    Unreadable,
}

impl Verdict {
    /// `header-ok`, `structure-ok`, `ok`, `corrected`, `damaged` or `unreadable`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HeaderOk => "header-ok",
            Self::StructureOk => "structure-ok",
            Self::Ok => "ok",
            Self::Corrected => "corrected",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a running verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes read so far.
    pub bytes_done: u64,
    /// Bytes that will have been read at the end.
    pub bytes_total: u64,
}

/// What a verification found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The answer.
    pub verdict: Verdict,
    /// The facts of the superblock that was used; none where no superblock could be.
    pub info: Option<Info>,
    /// What is wrong, in the order of the file; at most as many as the options allow.
    pub findings: Vec<Finding>,
    /// How many there were in all.
    pub findings_total: u64,
    /// Names of the tensors that lie on a bad block, sorted; of those blocks that were checked.
    pub damaged_tensors: Vec<Box<str>>,
    /// Blocks of the file: of content and of parity.
    pub blocks_total: u64,
    /// Blocks checked.
    pub blocks_checked: u64,
    /// Blocks that did not match or could not be read.
    pub blocks_bad: u64,
    /// Bytes of the file as it is.
    pub bytes_total: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

/// Called with how far it is; `Break` ends the work.
pub(crate) type ProgressCallback<'a> = &'a mut (dyn FnMut(Progress) -> ControlFlow<()> + Send);

/// How to verify.
#[must_use]
pub struct VerifyOptions<'a> {
    pub(crate) limits: Limits,
    pub(crate) max_findings: usize,
    pub(crate) public_key: Option<PublicKey>,
    pub(crate) progress: Option<ProgressCallback<'a>>,
}

impl fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions")
            .field("limits", &self.limits)
            .field("max_findings", &self.max_findings)
            .field("public_key", &self.public_key)
            .field("progress", &self.progress.is_some())
            .finish()
    }
}

impl Default for VerifyOptions<'_> {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            max_findings: 1000,
            public_key: None,
            progress: None,
        }
    }
}

impl<'a> VerifyOptions<'a> {
    /// The default limits, at most 1000 findings kept, no progress.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the file's metadata may ask for.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many findings are kept; those beyond are only counted.
    pub const fn max_findings(mut self, max_findings: usize) -> Self {
        self.max_findings = max_findings;
        self
    }

    /// Asks for a signature by this key: a file without one, or with another one, is damaged (`FOLD-E0306`).
    ///
    /// Without a key a recorded signature must be right, but says nothing about who signed.
    pub const fn public_key(mut self, key: PublicKey) -> Self {
        self.public_key = Some(key);
        self
    }

    /// Called now and then on the calling thread; `Break` ends the verification with [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn progress(mut self, callback: &'a mut (dyn FnMut(Progress) -> ControlFlow<()> + Send)) -> Self {
        self.progress = Some(callback);
        self
    }
}
