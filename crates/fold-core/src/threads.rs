//! When more than the calling thread is put to work.
//!
//! Threads are those of rayon's current pool. They change no bit of a result.

/// Whether there are other threads, and `work` is at least `least`, what waking them costs.
#[must_use]
pub fn pay(work: usize, least: usize) -> bool {
    work >= least && rayon::current_num_threads() > 1
}

/// Runs `work` on a thread of the pool, if there are several.
///
/// What runs outside of the pool pays for every part that other threads help with: it wakes one of them and sleeps until
/// that one wakes it. Inside, it goes on itself.
pub fn inside_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let outside = rayon::current_thread_index().is_none();
    if outside && rayon::current_num_threads() > 1 {
        rayon::scope(|_| work())
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::{inside_pool, pay};

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn other_threads_pay_for_much_work_where_there_are_some() {
        assert!(!pool(1).install(|| pay(100, 10)));
        assert!(pool(2).install(|| pay(10, 10)));
        assert!(!pool(2).install(|| pay(9, 10)));
    }

    #[test]
    fn work_inside_a_pool_stays_on_its_thread() {
        let [one, other] =
            pool(2).install(|| [std::thread::current().id(), inside_pool(|| std::thread::current().id())]);
        assert_eq!(one, other);
        let there = inside_pool(rayon::current_thread_index);
        assert_eq!(there.is_some(), rayon::current_num_threads() > 1);
    }
}
