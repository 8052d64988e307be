//! Runs several requests in parallel, up to a limit.

use std::future::Future;

use futures_util::stream::{self, StreamExt};

/// The number of parallel requests. Each needs a connection of its own: more of them would cost handshakes without
/// making a busy server faster.
const PARALLEL: usize = 4;

/// Runs all requests, up to `PARALLEL` at a time; returns their results in order. A slow request does not keep later
/// ones from being sent.
pub async fn in_parallel<F: Future>(requests: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let numbered = requests.into_iter().enumerate().map(async |(number, request)| (number, request.await));
    let mut answers: Vec<_> = stream::iter(numbered).buffer_unordered(PARALLEL).collect().await;
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
    }

    #[test]
    fn answers_stand_in_the_order_of_the_requests() {
        let requests = (0..30_u64).map(async |number| {
            tokio::time::sleep(Duration::from_millis((30 - number) % 7)).await;
            number
        });
        assert_eq!(block_on(in_parallel(requests)), (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn a_slow_first_answer_holds_nobody_back() {
        let all_others = Notify::new();
        let done = Cell::new(0);
        let requests = (0..40).map(async |number| {
            if number == 0 {
                all_others.notified().await;
            } else {
                done.set(done.get() + 1);
                if done.get() == 39 {
                    all_others.notify_one();
                }
            }
        });
        block_on(async {
            tokio::time::timeout(Duration::from_secs(10), in_parallel(requests))
                .await
                .expect("the first was waited for");
        });
    }

    #[test]
    fn never_more_than_the_bound_are_under_way() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let requests = (0..50).map(async |_| {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            tokio::task::yield_now().await;
            now.set(now.get() - 1);
        });
        block_on(in_parallel(requests));
        assert_eq!(most.get(), PARALLEL);
    }
}
