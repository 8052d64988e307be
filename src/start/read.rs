//! Reads the sources of a start in parallel, with retries.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::timeout;
use tracing::debug;

use crate::backend::revoke::LAST_MOMENT;
use crate::domain::{Diagnostic, Fetched, Source};
use crate::plan::Planned;
use crate::provider::{Effect, Failure, Fetch, in_parallel};
use crate::sys::clock;

use super::deadline::Start;

/// The largest number of parallel requests for the same source.
const MAX_PARALLEL: u32 = 3;

/// The result for each source: its value and when it was requested, or why it cannot be read.
pub(crate) type Answers = Vec<(Source, Result<(Fetched, Duration), Diagnostic>)>;

/// The result of one request, for each of its sources.
type OfEach = Vec<Result<Fetched, Failure>>;

/// How a backend's sources are distributed over requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batching {
    /// One request per source: each value counts as soon as it arrives.
    Each,
    /// As few requests as possible, for a provider with its own batching and retries (the AWS SDK) or without a
    /// network.
    Together,
}

impl Batching {
    /// The largest number of parallel requests for the same source. A write is sent once.
    fn max_parallel(self, sources: &[&Source]) -> u32 {
        if self == Self::Together || sources.iter().any(|source| source.is_write()) { 1 } else { MAX_PARALLEL }
    }
}

/// Reads every source, and retries those whose failure may pass. `on_answer` is called with each value as soon as it
/// arrives, with the time its request was sent. Returns one result per source.
pub(crate) async fn read(
    provider: &impl Fetch,
    ask: Batching,
    planned: Vec<&Planned>,
    start: &Start,
    on_answer: impl Fn(&Source, &Fetched, Duration),
) -> Answers {
    let mut answers = Answers::new();
    let mut open = planned;
    let mut tries = 0;
    let mut earlier: BTreeMap<&Source, String> = BTreeMap::new();
    while !open.is_empty() {
        let round = round(provider, ask, &open, start, &on_answer).await;
        let mut again: Vec<(&Planned, Failure)> = Vec::new();
        for (planned, answer) in open.into_iter().zip(round) {
            let answer = answer.map_err(|failure| {
                let before = earlier.insert(&planned.source, failure.why.clone());
                let before = before.or_else(|| provider.failed_so_far());
                if start.left().is_zero() { failure.after(before) } else { failure }
            });
            match answer {
                Ok(answer) => answers.push((planned.source.clone(), Ok(answer))),
                Err(failure) if is_repeatable(&planned.source, &failure) => again.push((planned, failure)),
                Err(failure) => {
                    start.fail();
                    answers.push(refused(planned, &failure));
                }
            }
        }
        let Some((planned, failure)) = again.first() else { break };
        let more = if again.len() > 1 { format!(" and {} more", again.len() - 1) } else { String::new() };
        if !start.wait(&format!("cannot read {}{more}", planned.shown), failure, tries).await {
            start.fail();
            answers.extend(again.iter().map(|(planned, failure)| refused(planned, failure)));
            break;
        }
        open = again.into_iter().map(|(planned, _)| planned).collect();
        tries += 1;
    }
    answers
}

/// Makes one attempt at each source; returns the results in the order of `open`, each value with the time its request
/// was sent.
async fn round(
    provider: &impl Fetch,
    ask: Batching,
    open: &[&Planned],
    start: &Start,
    on_answer: &impl Fn(&Source, &Fetched, Duration),
) -> Vec<Result<(Fetched, Duration), Failure>> {
    let together = async |planned: &[&Planned]| {
        let sources: Vec<&Source> = planned.iter().map(|planned| &planned.source).collect();
        let first = planned.first().map_or("the backend", |planned| planned.shown.as_str());
        match start.attempt(first, answered(provider, ask, &sources, start)).await {
            Ok((sent, answers)) => {
                let came =
                    sources.iter().zip(&answers).filter_map(|(source, answer)| Some((source, answer.as_ref().ok()?)));
                came.for_each(|(source, fetched)| on_answer(source, fetched, sent));
                answers.into_iter().map(|answer| answer.map(|fetched| (fetched, sent))).collect()
            }
            Err(late) => planned.iter().map(|_| Err(late.clone())).collect(),
        }
    };
    match ask {
        Batching::Together => together(open).await,
        Batching::Each => in_parallel(open.chunks(1).map(together)).await.into_iter().flatten().collect(),
    }
}

/// Sends the request, and a parallel one whenever its share of the time is over (the first may hang, or the store may
/// be slow). Returns the first conclusive result and the time its request was sent.
async fn answered(provider: &impl Fetch, ask: Batching, sources: &[&Source], start: &Start) -> (Duration, OfEach) {
    let send = || {
        let sent = clock::boottime();
        async move { (sent, provider.fetch(sources).await) }
    };
    let is_final = |answers: &OfEach| {
        answers.iter().any(|answer| answer.as_ref().map_or_else(|failure| !failure.class.is_retried(), |_| true))
    };
    let most = ask.max_parallel(sources);
    let mut count = 1;
    let mut under_way = FuturesUnordered::from_iter([send()]);
    loop {
        let next = under_way.next();
        let answer = if count < most { timeout(start.share(), next).await.ok() } else { Some(next.await) };
        match answer.map(|answer| answer.expect("one at least is under way")) {
            // The start has failed: nothing would wait for a further request.
            None if start.has_failed() => count = most,
            None => {
                under_way.push(send());
                count += 1;
            }
            Some((sent, answers)) if is_final(&answers) || under_way.is_empty() => {
                revoke_unused(provider, &answers, under_way).await;
                return (sent, answers);
            }
            Some(_) => {}
        }
    }
}

/// Awaits the parallel requests that are not used, and revokes their leases, for [`LAST_MOMENT`] at most. Does nothing
/// for values without a lease.
async fn revoke_unused(
    provider: &impl Fetch,
    answers: &OfEach,
    mut others: FuturesUnordered<impl Future<Output = (Duration, OfEach)>>,
) {
    let has_lease = answers.iter().flatten().any(|fetched| fetched.lease.is_some());
    if !has_lease || others.is_empty() {
        return;
    }
    let all = async {
        while let Some((_, late)) = others.next().await {
            for lease in late.into_iter().flatten().filter_map(|fetched| fetched.lease) {
                if provider.revoke(&lease.id).await.is_err() {
                    debug!("a lease that came late ends by itself, or with the token");
                }
            }
        }
    };
    let _unused = timeout(LAST_MOMENT, all).await;
}

/// Whether a request may be repeated. A write is repeated only if it provably had no effect.
fn is_repeatable(source: &Source, failure: &Failure) -> bool {
    failure.class.is_retried() && !(source.is_write() && failure.effect != Effect::None)
}

/// The problem of a source that cannot be read.
fn refused(planned: &Planned, failure: &Failure) -> (Source, Result<(Fetched, Duration), Diagnostic>) {
    let once = if failure.class.is_retried() && !is_repeatable(&planned.source, failure) {
        " (it may have been carried out, so it is not sent again)"
    } else {
        ""
    };
    let text = format!("cannot read {}: {failure}{once}", planned.shown);
    (planned.source.clone(), Err(Diagnostic::new(failure.class.exit(), text)))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;

    use super::super::deadline::{Needs, Patience};
    use super::*;
    use crate::domain::{Lease, LeaseId};
    use crate::plan::tests::{plan_of, value_of};
    use crate::provider::Class;

    /// A store that answers each request with the next of these.
    struct Scripted {
        answers: RefCell<VecDeque<Result<Fetched, Failure>>>,
        /// So many of the first requests are never answered.
        hung: Cell<u32>,
        requests: RefCell<Vec<String>>,
    }

    impl Scripted {
        fn new(answers: impl IntoIterator<Item = Result<Fetched, Failure>>) -> Self {
            Self {
                answers: RefCell::new(answers.into_iter().collect()),
                hung: Cell::new(0),
                requests: RefCell::default(),
            }
        }
    }

    impl Fetch for Scripted {
        async fn fetch(&self, sources: &[&Source]) -> Vec<Result<Fetched, Failure>> {
            self.requests.borrow_mut().extend(sources.iter().map(ToString::to_string));
            if self.hung.get() > 0 {
                self.hung.set(self.hung.get() - 1);
                return std::future::pending().await;
            }
            sources.iter().map(|_| self.answers.borrow_mut().pop_front().expect("one answer a request")).collect()
        }

        async fn renew(&self, _: &Lease) -> Result<Lease, Failure> {
            unreachable!("a start renews nothing")
        }

        async fn revoke(&self, _: &LeaseId) -> Result<(), Failure> {
            unreachable!("reading revokes nothing")
        }
    }

    fn transient() -> Failure {
        Failure::new(Class::Transient, "no connection")
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    /// The answers for one file of each reference.
    fn answers(store: &Scripted, references: &[&str]) -> Answers {
        let files: Vec<String> = references.iter().enumerate().map(|(i, text)| format!("f{i}={text}")).collect();
        let flags: Vec<(&str, &str)> = files.iter().map(|file| ("--file", file.as_str())).collect();
        let plan = plan_of(&flags);
        let start = Start::within(Duration::from_secs(60), Patience::Long, Needs::Start);
        block_on(read(store, Batching::Together, plan.sources.iter().collect(), &start, |_, _, _| {}))
    }

    #[test]
    fn a_transient_failure_is_repeated_and_the_life_counts_from_the_last_request() {
        let store = Scripted::new([Err(transient()), Ok(value_of(r#"{"k":"v"}"#))]);
        let before = clock::boottime();
        let answers = answers(&store, &["vault:secret/data/x#k"]);
        let (_, requested_at) = answers[0].1.as_ref().unwrap();
        assert_eq!(store.requests.borrow().len(), 2);
        assert!(*requested_at >= before + Duration::from_millis(90), "after the pause, not before it");
    }

    #[test]
    fn a_deadline_says_what_came_before_it() {
        let store = Scripted::new([Err(transient()), Err(transient())]);
        let plan = plan_of(&[("--file", "f=vault:secret/data/x#k"), ("--file", "g=vault:secret/data/y#k")]);
        let start = Start::within(Duration::from_secs(1), Patience::Long, Needs::Start);
        let hangs_again = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            store.hung.set(100);
        };
        let reading = read(&store, Batching::Together, plan.sources.iter().collect(), &start, |_, _, _| {});
        let (answers, ()) = block_on(futures_util::future::join(reading, hangs_again));
        for (_, answer) in answers {
            let text = answer.unwrap_err().text;
            assert!(
                text.ends_with(": no answer before the deadline (--timeout); before that: no connection"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_write_that_may_have_been_carried_out_is_sent_once() {
        let store = Scripted::new([Err(transient().perhaps_done())]);
        let answers = answers(&store, &["vault:pki/issue/web?common_name=a#certificate"]);
        let problem = answers[0].1.as_ref().unwrap_err();
        assert!(problem.text.ends_with("(it may have been carried out, so it is not sent again)"), "{}", problem.text);
        assert_eq!(store.requests.borrow().len(), 1);
    }

    #[test]
    fn a_request_that_hangs_leaves_time_for_another_one_but_a_write_a_batch_and_a_start_that_ends_send_none() {
        let begun = || Start::within(Duration::from_millis(2500), Patience::Long, Needs::Start);
        let read_within = |start: &Start, store: &Scripted, batching, reference: &str| {
            let plan = plan_of(&[("--file", &format!("f={reference}"))]);
            block_on(read(store, batching, plan.sources.iter().collect(), start, |_, _, _| {}))
        };
        let store = Scripted::new([Ok(value_of(r#"{"k":"v"}"#))]);
        store.hung.set(1);
        let before = clock::boottime();
        let answers = read_within(&begun(), &store, Batching::Each, "vault:secret/data/x#k");
        let (_, requested_at) = answers[0].1.as_ref().unwrap();
        assert!(*requested_at >= before + Duration::from_secs(2), "its life counts from the second request");
        let ended = begun();
        ended.fail();
        for (start, batching, reference) in [
            (begun(), Batching::Each, "vault:pki/issue/web?common_name=a#certificate"),
            (begun(), Batching::Together, "aws-sm:x#k"),
            (ended, Batching::Each, "vault:database/creds/web#password"),
        ] {
            let store = Scripted::new([]);
            store.hung.set(2);
            assert!(read_within(&start, &store, batching, reference)[0].1.is_err(), "{reference}");
            assert_eq!(store.requests.borrow().len(), 1, "{reference}");
        }
    }

    #[test]
    fn after_a_failure_that_nothing_mends_nobody_waits_for_the_others() {
        let denied = Failure::new(Class::Denied, "permission denied (403)");
        let store = Scripted::new([Err(denied), Err(transient())]);
        let answers = answers(&store, &["vault:secret/data/x#k", "vault:secret/data/y#k"]);
        let texts: Vec<_> = answers.iter().map(|(_, answer)| answer.as_ref().unwrap_err().text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "cannot read vault:secret/data/x#k: permission denied (403)",
                "cannot read vault:secret/data/y#k: no connection"
            ]
        );
        assert_eq!(store.requests.borrow().len(), 2);
    }
}
