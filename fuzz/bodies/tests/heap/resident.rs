//! What this process has in memory: also what did not come from the allocator. Linux tells; elsewhere nothing is known.

use std::fs;

/// Bytes from which on growth counts that the allocator did not give: what the container takes from the system is longer. What
/// is shorter may be pages that the allocator had and nobody had touched.
const NOTED: usize = 3 << 20;

/// The most memory since it was made.
#[derive(Debug)]
pub(crate) struct Resident {
    before: Option<usize>,
}

impl Resident {
    /// Begins to watch.
    pub(crate) fn watch() -> Self {
        // 5 sets the peak to what is resident now.
        let reset = fs::write("/proc/self/clear_refs", "5");
        Self {
            before: reset.ok().and_then(|()| field("VmRSS:")),
        }
    }

    /// The most bytes that were taken at once: `heap` from the allocator, or more where memory grew by much more.
    pub(crate) fn peak(&self, heap: usize) -> usize {
        let grown = self
            .before
            .zip(field("VmHWM:"))
            .map(|(before, most)| most.saturating_sub(before));
        grown
            .filter(|&grown| grown >= heap.saturating_add(NOTED))
            .unwrap_or(heap)
    }
}

/// A field of the process' status, in bytes.
fn field(name: &str) -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}
