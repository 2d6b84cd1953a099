//! Lost blocks against the parity of their groups.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::BTreeMap;

use crate::finding::{Cause, Digested, Finding, Region};
use crate::parity::Grouping;

/// How many blocks each group lost; memory grows with the groups, not with the blocks.
pub(super) struct Losses {
    block_count: u64,
    grouping: Grouping,
    /// Of content, of parity.
    by_group: BTreeMap<u32, (u64, u64)>,
}

impl Losses {
    pub(super) const fn new(block_count: u64, grouping: Grouping) -> Self {
        Self {
            block_count,
            grouping,
            by_group: BTreeMap::new(),
        }
    }

    /// Counts a finding that says that a block's bytes are not there. Bytes behind the end of the file are such blocks.
    pub(super) fn take(&mut self, finding: &Finding) -> bool {
        if let Some(block) = lost_block(finding) {
            let (group, parity) = self.group(block);
            let counts = self.by_group.entry(group).or_default();
            let count = if parity { &mut counts.1 } else { &mut counts.0 };
            *count = count.saturating_add(1);
            return true;
        }
        is_length(finding)
    }

    /// The group of a block, and whether it is a parity block.
    fn group(&self, block: u64) -> (u32, bool) {
        match block.checked_sub(self.block_count) {
            Some(parity) => (self.grouping.place(parity).0, true),
            None => (self.grouping.place(block).0, false),
        }
    }

    fn is_short(&self, group: u32) -> bool {
        let (data, parity) = self.by_group.get(&group).copied().unwrap_or_default();
        data > 0 && data.saturating_add(parity) > u64::from(self.grouping.group_parity())
    }

    /// Whether a group lost content that its parity cannot restore.
    pub(super) fn beyond_parity(&self) -> bool {
        self.by_group.keys().any(|&group| self.is_short(group))
    }

    /// Whether parity restores what the finding says is lost.
    pub(super) fn makes_good(&self, finding: &Finding) -> bool {
        match lost_block(finding) {
            Some(block) => !self.is_short(self.group(block).0),
            None => is_length(finding) && !self.beyond_parity(),
        }
    }
}

/// The block whose bytes are not those that were written, if that is what the finding says.
fn lost_block(finding: &Finding) -> Option<u64> {
    let bytes_lost = matches!(
        finding.cause,
        Cause::Digest {
            of: Digested::Block,
            ..
        } | Cause::Length { .. }
            | Cause::Unreadable { .. }
    );
    finding.block.filter(|_| bytes_lost)
}

fn is_length(finding: &Finding) -> bool {
    finding.region == Region::File && matches!(finding.cause, Cause::Length { .. })
}
