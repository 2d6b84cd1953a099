//! Durations, moments and rates as they are written on the command line.

use std::num::NonZeroU64;
use std::time::Duration;

use fold_ops::{SignedDuration, Timestamp};

/// `90s`, `15m`, `6h`, `7d`, or several of these: `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write for example 90s, 15m, 6h or 7d");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let number = number.parse::<u64>().map_err(|_| wrong())?;
        let seconds = match after.as_bytes().first() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(seconds).map(Duration::from_secs);
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = after.get(1..).unwrap_or_default();
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

/// A moment, or how long ago: `2026-01-31T12:00:00Z` or `7d`.
pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let ago = duration(text).map_err(|error| format!("{error}, or a moment: 2026-01-31T12:00:00Z"))?;
    let ago = SignedDuration::try_from(ago).map_err(|error| error.to_string())?;
    Timestamp::now().checked_sub(ago).map_err(|error| error.to_string())
}

/// Megabytes (10^6 bytes) per second, as bytes: `50`, `0.5`.
pub(crate) fn megabytes_per_second(text: &str) -> Result<NonZeroU64, String> {
    let wrong = || format!("{text:?} is no rate: write megabytes per second, for example 50 or 0.5");
    let rate = text.parse::<f64>().map_err(|_| wrong())?;
    let bytes = (rate * 1e6).round();
    if !(1.0..=1e15).contains(&bytes) {
        return Err(wrong());
    }
    NonZeroU64::new(bytes as u64).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_sum_of_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in [
            "",
            "7",
            "0s",
            "d",
            "-1s",
            "1w",
            "1 h",
            "99999999999999999999s",
            "9999999999999999999d",
            "1é",
        ] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn rates_are_decimal_and_never_zero() {
        assert_eq!(megabytes_per_second("50").unwrap().get(), 50_000_000);
        assert_eq!(megabytes_per_second("0.5").unwrap().get(), 500_000);
        for wrong in ["", "0", "-1", "nan", "inf", "1e99", "50MB"] {
            assert!(megabytes_per_second(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_an_age() {
        assert_eq!(since("1970-01-01T00:00:00Z"), Ok(Timestamp::UNIX_EPOCH));
        let hour_ago = since("1h").unwrap();
        let age = Timestamp::now().as_second() - hour_ago.as_second();
        assert!((3600..3700).contains(&age), "{age}");
        assert!(since("yesterday").is_err() && since("99999999999999d").is_err());
    }
}
