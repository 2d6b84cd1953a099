//! Which blocks are lost, and whether their groups can make up for it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::grouping::Grouping;

/// A block of a file, by its number among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block {
    /// A block of content.
    Data(u64),
    /// A parity block.
    Parity(u64),
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(number) => write!(f, "block {number}"),
            Self::Parity(number) => write!(f, "parity block {number}"),
        }
    }
}

/// A group that lost more blocks than its parity can make up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortage {
    /// The group.
    pub group: u32,
    /// Data blocks of the group that are lost.
    pub lost_data: u32,
    /// Parity blocks of the group that are lost.
    pub lost_parity: u32,
    /// Parity blocks of the group: as many blocks of it may be lost, of either kind.
    pub group_parity: u32,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "group {} lost {} blocks and {} parity blocks, {} together can be restored",
            self.group, self.lost_data, self.lost_parity, self.group_parity
        )
    }
}

/// The positions that a group lost, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupLosses {
    pub(super) data: BTreeSet<u32>,
    pub(super) parity: BTreeSet<u32>,
}

/// The lost blocks of a file, by group. Memory is proportional to their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Losses {
    /// The groups that the blocks were sorted into: positions mean nothing in others.
    grouping: Grouping,
    groups: BTreeMap<u32, GroupLosses>,
}

impl Losses {
    /// Sorts lost blocks into their groups; a block may be named more than once.
    ///
    /// # Errors
    /// The first block that the file does not have.
    pub fn new(grouping: &Grouping, lost: impl IntoIterator<Item = Block>) -> Result<Self, Block> {
        let mut groups: BTreeMap<u32, GroupLosses> = BTreeMap::new();
        for block in lost {
            let (number, count) = match block {
                Block::Data(number) => (number, grouping.data_blocks()),
                Block::Parity(number) => (number, grouping.parity_blocks()),
            };
            let (group, position) = grouping.place(number);
            let position = u32::try_from(position).map_err(|_| block)?;
            if number >= count {
                return Err(block);
            }
            let losses = groups.entry(group).or_default();
            match block {
                Block::Data(_) => losses.data.insert(position),
                Block::Parity(_) => losses.parity.insert(position),
            };
        }
        Ok(Self {
            grouping: *grouping,
            groups,
        })
    }

    /// Whether nothing is lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The groups whose data cannot be restored. A group that lost parity blocks alone, even all of them, never is one:
    /// they are computed again.
    #[must_use]
    pub fn shortages(&self) -> Vec<Shortage> {
        let shortage = |(&group, losses): (&u32, &GroupLosses)| {
            let count = |lost: &BTreeSet<u32>| u32::try_from(lost.len()).unwrap_or(u32::MAX);
            let shortage = Shortage {
                group,
                lost_data: count(&losses.data),
                lost_parity: count(&losses.parity),
                group_parity: self.grouping.group_parity(),
            };
            let lost = shortage.lost_data.saturating_add(shortage.lost_parity);
            (shortage.lost_data > 0 && lost > shortage.group_parity).then_some(shortage)
        };
        self.groups.iter().filter_map(shortage).collect()
    }

    /// The losses without those of groups that cannot be restored.
    #[must_use]
    pub fn restorable(mut self) -> Self {
        for shortage in self.shortages() {
            self.groups.remove(&shortage.group);
        }
        self
    }

    pub(super) const fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = (u32, &GroupLosses)> {
        self.groups.iter().map(|(&group, losses)| (group, losses))
    }
}
