//! What can still be had of a damaged file: an exact copy by [`repair`], or what is intact of it by [`salvage`].
//!
//! Neither touches its source, and neither overwrites anything. A repair is exact or it is refused; a salvage loses
//! something and says what. Both read version 2 and version 1, told apart by content.

mod file_names;
mod repair;
mod salvage;

pub use repair::{RepairReport, ShortageReport, Version1Repair, repair};
pub use salvage::{LostItem, SalvageReport, SavedItem, Stop, salvage};

use std::fs::File;
use std::path::Path;

use fold_format::{ReadAt as _, v1};

use crate::error::{DirectoryOperation, Error};
use crate::input_file;

/// Whether to do it or to say what would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Reads everything and writes nothing.
    Plan,
    /// Writes.
    Write,
}

/// The versions of the container that can be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Version2,
    Version1,
}

impl Format {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Version2 => "fold-v2",
            Self::Version1 => "fold-v1",
        }
    }
}

/// Opens a regular file and looks at its first bytes. What is not version 1 is taken for version 2, whose magic may be
/// what is damaged.
fn open(path: &Path) -> Result<(File, Format), Error> {
    let unread = |source| Error::Directory {
        operation: DirectoryOperation::Read,
        path: path.into(),
        source,
    };
    let file = input_file::open_container(path)?;
    let mut start = [0; 8];
    let read = file.read_at(&mut start, 0).map_err(unread)?;
    let format = match v1::is_version_1(start.get(..read).unwrap_or_default()) {
        true => Format::Version1,
        false => Format::Version2,
    };
    Ok((file, format))
}
