//! When more than the calling thread is put to work.
//!
//! Threads are those of rayon's current pool. They change no bit of a result.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this is inside a pool with other threads, and `work` is at least `least`, what sharing it costs. Outside of a pool a part
/// by itself does not pay: see [`in_pool`].
#[must_use]
pub fn pay(work: usize, least: usize) -> bool {
    work >= least && rayon::current_thread_index().is_some() && rayon::current_num_threads() > 1
}

/// Runs `work`, which has several parts for several threads, inside the pool, with up to `helpers` of its other threads awake.
///
/// What runs outside of the pool wakes a thread of it for every such part, sleeps until that one wakes it, and finds the
/// others asleep again at the next part: that costs more than a part of some hundred microseconds gains. Inside the pool
/// nothing but `work` is run: who is there shares out the threads already.
pub fn in_pool<R: Send>(helpers: usize, work: impl FnOnce() -> R + Send) -> R {
    let helpers = helpers.min(rayon::current_num_threads() - 1);
    if helpers == 0 || rayon::current_thread_index().is_some() {
        return work();
    }
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| {
                while !done.load(Ordering::Relaxed) {
                    if rayon::yield_now() != Some(rayon::Yield::Executed) {
                        spin_loop();
                    }
                }
            });
        }
        // Also where `work` panics: the scope waits for the helpers.
        let _release = Release(&done);
        work()
    })
}

/// Sets the flag when it goes.
struct Release<'a>(&'a AtomicBool);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::thread;

    use rayon::prelude::*;

    use super::{in_pool, pay};

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn other_threads_pay_for_much_work_where_there_are_some() {
        assert!(!pool(1).install(|| pay(100, 10)));
        assert!(pool(2).install(|| pay(10, 10)));
        assert!(!pool(2).install(|| pay(9, 10)));
        assert!(!pay(100, 10), "outside of a pool");
        assert!(in_pool(1, || pay(100, 10)) || rayon::current_num_threads() == 1);
    }

    #[test]
    fn work_inside_a_pool_stays_on_its_thread() {
        let ids = pool(2).install(|| [thread::current().id(), in_pool(1, || thread::current().id())]);
        assert_eq!(ids[0], ids[1]);
        let own = thread::current().id();
        assert_eq!(in_pool(0, || thread::current().id()), own, "nobody to help");
    }

    #[test]
    fn work_from_outside_gets_its_parts_done_and_its_panic_comes_out() {
        for _ in 0..100 {
            let sum = in_pool(7, || (0..1000_u64).into_par_iter().sum::<u64>());
            assert_eq!(sum, 499_500);
        }
        let panicked = catch_unwind(|| in_pool(7, || panic!("out of here")));
        let message = panicked.unwrap_err();
        assert_eq!(message.downcast_ref::<&str>(), Some(&"out of here"));
    }
}
