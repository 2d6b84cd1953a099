//! Where a reader's bytes come from: anything with positioned reads and a length.

#[cfg(unix)]
use std::cell::RefCell;
use std::fs::{File, Permissions};
use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[cfg(unix)]
use crate::memory::{Aligned, PAGE};

/// A source of bytes at positions: a file, a byte slice, an object in a store.
///
/// Reads may come from several threads at once.
pub trait ReadAt: Send + Sync {
    /// Bytes of the source now.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the source has no bytes.
    ///
    /// # Errors
    /// As [`ReadAt::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at most `buffer.len()` bytes from `offset` on and says how many; 0 at or behind the end.
    ///
    /// # Errors
    /// What the system says; `Interrupted` may be returned and is tried again by the reader.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Who may read the source, where the system says so. A file that is made of it is for nobody else.
    ///
    /// # Errors
    /// What the system says.
    fn permissions(&self) -> io::Result<Option<Permissions>> {
        Ok(None)
    }

    /// Says that a place will be read next: what waits for a device may fetch all of it at once. A hint, which may do nothing.
    fn will_read(&self, _range: &Range<u64>) {}
}

impl ReadAt for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn permissions(&self) -> io::Result<Option<Permissions>> {
        Ok(Some(self.metadata()?.permissions()))
    }

    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if buffer.len() >= BOUNCE_LEN && is_slow_target(buffer, offset) {
            return bounced(self, buffer, offset);
        }
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, buffer, offset)
    }

    #[cfg(target_os = "linux")]
    fn will_read(&self, range: &Range<u64>) {
        if let Some(len) = NonZeroU64::new(range.end.saturating_sub(range.start)) {
            // Where it is refused, the file is read when it is asked for.
            let _ = rustix::fs::fadvise(self, range.start, Some(len), rustix::fs::Advice::WillNeed);
        }
    }
}

/// Ranges from this length on are left to the system, which reads ahead by itself; it would be told of more than memory may hold.
const AHEAD_MOST: u64 = 8 << 20;

/// A range that begins this near to the end of the one before goes on from there.
const NEAR: u64 = 1 << 20;

/// Nanoseconds per byte: what takes longer comes from a device. From memory it takes a small part of that, hashing included.
const COLD: u64 = 1;

/// Says what will be read where the system would not find out by itself: not for what goes on where the last range ended.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Where the last range ended.
    reached: AtomicU64,
}

impl Ahead {
    /// Whether a source may be told of a range that is read next.
    pub(crate) fn is_due(&self, range: &Range<u64>) -> bool {
        let reached = self.reached.swap(range.end, Ordering::Relaxed);
        range.start.abs_diff(reached) > NEAR && range.end.saturating_sub(range.start) < AHEAD_MOST
    }

    /// Runs `read`, which reads the first `first` bytes of a range of which the source may be told, and tells it of the others
    /// if those came from a device.
    pub(crate) fn look<T>(
        source: &(impl ReadAt + ?Sized),
        range: &Range<u64>,
        first: u64,
        read: impl FnOnce() -> T,
    ) -> T {
        let started = Instant::now();
        let done = read();
        let rest = range.start.saturating_add(first)..range.end;
        if rest.start < rest.end && started.elapsed() > Duration::from_nanos(first.saturating_mul(COLD)) {
            source.will_read(&rest);
        }
        done
    }
}

/// Bytes that are read by way of aligned memory at a time: they stay in the second-level cache.
#[cfg(unix)]
const BOUNCE_LEN: usize = 64 << 10;

/// Whether the processor copies from the page cache into this memory several times slower than into other memory.
///
/// The kernel copies with `rep movsb`. On AMD's processors since Zen 3 that is slow where the target lies 1 to 31 bytes
/// behind the source within a page. Large blocks of the GNU C library's `malloc` lie 16 bytes behind a page's start, so
/// this is what reading whole pages into a `Vec` meets.
#[cfg(unix)]
fn is_slow_target(buffer: &[u8], offset: u64) -> bool {
    let address = crate::wire::len_u64(buffer.as_ptr().addr());
    cfg!(target_arch = "x86_64") && (1..32).contains(&(address.wrapping_sub(offset) % crate::layout::PAGE_LEN))
}

/// Reads at most [`BOUNCE_LEN`] bytes by way of aligned memory of this thread.
#[cfg(unix)]
fn bounced(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    thread_local! {
        static BOUNCE: RefCell<Aligned<PAGE>> = const { RefCell::new(Aligned::new()) };
    }
    BOUNCE.with_borrow_mut(|bounce| {
        bounce
            .set_len(BOUNCE_LEN)
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let count = std::os::unix::fs::FileExt::read_at(file, bounce, offset)?;
        // In pieces that are too short for the C library to use the same slow instruction.
        let pieces = buffer
            .chunks_mut(PIECE_LEN)
            .zip(bounce.get(..count).unwrap_or(&[]).chunks(PIECE_LEN));
        for (to, from) in pieces {
            if let Some(to) = to.get_mut(..from.len()) {
                to.copy_from_slice(from);
            }
        }
        Ok(count)
    })
}

/// Bytes that the C library copies with vector instructions on every processor.
#[cfg(unix)]
const PIECE_LEN: usize = 1024;

impl ReadAt for [u8] {
    fn len(&self) -> io::Result<u64> {
        Ok(crate::wire::len_u64(<[u8]>::len(self)))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
            .unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> io::Result<u64> {
        ReadAt::len(self.as_slice())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        ReadAt::read_at(self.as_slice(), buffer, offset)
    }
}

impl<S: ReadAt + ?Sized> ReadAt for &S {
    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }

    fn permissions(&self) -> io::Result<Option<Permissions>> {
        (**self).permissions()
    }

    fn will_read(&self, range: &Range<u64>) {
        (**self).will_read(range);
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }
}

impl<S: ReadAt + ?Sized> ReadAt for Arc<S> {
    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }

    fn permissions(&self) -> io::Result<Option<Permissions>> {
        (**self).permissions()
    }

    fn will_read(&self, range: &Range<u64>) {
        (**self).will_read(range);
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }
}

/// How often one call may be interrupted or deliver nothing in a row before it counts as failed.
const PATIENCE: u32 = 64;

/// Fills `buffer` from `offset` on; true when every byte was delivered, false when the source ended before.
///
/// Short reads and `EINTR` are gone on with; a source that only ever interrupts is given up after a while.
pub(crate) fn read_full(source: &(impl ReadAt + ?Sized), buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    let mut rest = buffer;
    let mut offset = offset;
    let mut interruptions = 0;
    while !rest.is_empty() {
        match source.read_at(rest, offset) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                // A source that claims more than it was asked for is cut to the buffer.
                let taken = count.min(rest.len());
                offset = offset.saturating_add(crate::wire::len_u64(taken));
                rest = std::mem::take(&mut rest).get_mut(taken..).unwrap_or(&mut []);
                interruptions = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted && interruptions < PATIENCE => interruptions += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Fills the buffer from `offset` on, with zeros from `end` on.
pub(crate) fn read_or_zeros(file: &(impl ReadAt + ?Sized), buffer: &mut [u8], offset: u64, end: u64) -> io::Result<()> {
    let there = usize::try_from(end.saturating_sub(offset)).map_or(buffer.len(), |len| len.min(buffer.len()));
    let (there, behind) = buffer.split_at_mut_checked(there).unwrap_or_default();
    behind.fill(0);
    if read_full(file, there, offset)? {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    /// Interrupts every other call and delivers three bytes at a time.
    struct Slow(Vec<u8>, AtomicU32);

    impl ReadAt for Slow {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            if self.1.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = buffer.len().min(3);
            ReadAt::read_at(&self.0, &mut buffer[..count], offset)
        }
    }

    struct AlwaysInterrupted;

    impl ReadAt for AlwaysInterrupted {
        fn len(&self) -> io::Result<u64> {
            Ok(1)
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Interrupted.into())
        }
    }

    #[test]
    fn short_and_interrupted_reads_are_completed() {
        let source = Slow((0..100).collect(), AtomicU32::new(0));
        let mut buffer = [0; 50];
        assert!(read_full(&source, &mut buffer, 7).unwrap());
        assert_eq!(buffer.to_vec(), (7..57).collect::<Vec<u8>>());
        assert!(
            !read_full(&source, &mut buffer, 51).unwrap(),
            "one byte short of the end"
        );
        assert!(!read_full(&source, &mut buffer, u64::MAX).unwrap());
    }

    #[test]
    fn a_file_is_read_the_same_into_memory_of_every_alignment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bytes");
        let bytes = (0..200_000_u32).map(|at| (at % 251) as u8).collect::<Vec<_>>();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let mut memory = vec![0; bytes.len() + 64];
        for shift in 0..40 {
            for offset in [0, 1, 4096, 150_000] {
                let buffer = &mut memory[shift..][..bytes.len() - offset];
                buffer.fill(0);
                assert!(read_full(&file, buffer, offset as u64).unwrap());
                assert!(buffer == &bytes[offset..], "{shift} {offset}");
            }
        }
        assert!(!read_full(&file, &mut memory, 1).unwrap(), "more than there is");
    }

    /// Keeps what it is told of.
    struct Told(std::sync::Mutex<Vec<Range<u64>>>);

    impl ReadAt for Told {
        fn len(&self) -> io::Result<u64> {
            Ok(u64::MAX)
        }

        fn read_at(&self, buffer: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(buffer.len())
        }

        fn will_read(&self, range: &Range<u64>) {
            self.0.lock().unwrap().push(range.clone());
        }
    }

    #[test]
    fn a_source_that_answers_slowly_is_told_of_the_rest() {
        let told = |range: Range<u64>, first| {
            let source = Arc::new(Told(std::sync::Mutex::default()));
            Ahead::look(&source, &range, first, || {
                std::thread::sleep(Duration::from_nanos(2 * first * COLD));
            });
            source.0.lock().unwrap().clone()
        };
        assert_eq!(told(1000..9000, 3000).as_slice(), std::slice::from_ref(&(4000..9000)));
        assert!(told(1000..4000, 3000).is_empty(), "nothing is left");
    }

    #[test]
    fn the_system_finds_out_about_long_ranges_and_about_one_behind_the_other() {
        let ahead = Ahead::default();
        let mebibyte = |at: u64| at << 20..(at + 1) << 20;
        assert!(ahead.is_due(&mebibyte(7)));
        assert!(!ahead.is_due(&mebibyte(8)));
        assert!(!ahead.is_due(&mebibyte(9)));
        assert!(ahead.is_due(&mebibyte(12)));
        assert!(!ahead.is_due(&(100 << 20..108 << 20)), "long enough for the system");
    }

    #[test]
    fn endless_interruptions_end() {
        let error = read_full(&AlwaysInterrupted, &mut [0], 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
