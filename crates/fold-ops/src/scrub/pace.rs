//! Keeping a long reading below a rate, and saying when it will be done.

use std::num::NonZeroU64;
use std::time::Duration;

/// The longest single wait: between two waits whoever called is asked whether to go on.
const SLICE: Duration = Duration::from_millis(200);

/// How much was read since a moment, and how much is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    started: Duration,
    limit: Option<NonZeroU64>,
    total: u64,
}

impl Pace {
    /// - `started`: the clock's elapsed time.   - `limit`: bytes per second.   - `total`: bytes to be read.
    pub(super) fn new(started: Duration, limit: Option<NonZeroU64>, total: u64) -> Self {
        Self { started, limit, total }
    }

    /// Bytes to be read.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How long to wait before more is read, in slices; none where the rate is below the limit.
    pub(super) fn wait(&self, done: u64, now: Duration) -> Option<Duration> {
        let limit = self.limit?.get() as f64;
        let due = Duration::try_from_secs_f64(done as f64 / limit).ok()?;
        let taken = now.saturating_sub(self.started);
        due.checked_sub(taken)
            .filter(|wait| !wait.is_zero())
            .map(|wait| wait.min(SLICE))
    }

    /// Time that the rest will take at the rate so far; none before there is a rate.
    pub(super) fn eta(&self, done: u64, now: Duration) -> Option<Duration> {
        let taken = now.saturating_sub(self.started).as_secs_f64();
        let rate = done as f64 / taken;
        let rest = self.total.saturating_sub(done) as f64 / rate;
        Duration::try_from_secs_f64(rest).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_add_up_to_the_rate() {
        let pace = Pace::new(SECOND, NonZeroU64::new(1000), 10_000);
        let mut now = SECOND;
        while let Some(wait) = pace.wait(3000, now) {
            assert!(wait <= SLICE);
            now += wait;
        }
        assert_eq!(now, 4 * SECOND, "3000 bytes at 1000 bytes per second");
        assert_eq!(pace.wait(3000, 5 * SECOND), None, "slower than the limit");
        assert_eq!(Pace::new(SECOND, None, 1).wait(u64::MAX, SECOND), None);
    }

    #[test]
    fn the_rest_is_told_from_the_rate_so_far() {
        let pace = Pace::new(SECOND, None, 10_000);
        assert_eq!(pace.eta(2500, 2 * SECOND), Some(3 * SECOND));
        assert_eq!(pace.eta(10_000, 9 * SECOND), Some(Duration::ZERO));
        assert_eq!(pace.eta(0, 2 * SECOND), None, "nothing was read yet");
        assert_eq!(pace.eta(0, SECOND), None);
    }
}
