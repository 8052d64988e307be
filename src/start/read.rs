//! Reading the sources of a start: in parallel, each until it is answered or nothing can help.

use std::time::Duration;

use crate::domain::{Diagnostic, Fetched, Source};
use crate::plan::Planned;
use crate::provider::{Effect, Failure, Fetch, in_parallel};
use crate::sys::clock;

use super::deadline::Start;

/// What each source answered and when that was requested, or why it cannot be read.
pub(crate) type Answers = Vec<(Source, Result<(Fetched, Duration), Diagnostic>)>;

/// How a backend takes the sources of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batching {
    /// One request each: an answer counts when it comes, whatever becomes of the others.
    Each,
    /// As few requests as it can be done in.
    Together,
}

/// Reads every source, and repeats what another try can help. `on_answer` gets each value as soon as it came, with the time
/// its request was sent.
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
    while !open.is_empty() {
        let now = clock::boottime();
        let round = round(provider, ask, &open, start, |source, fetched| on_answer(source, fetched, now)).await;
        let mut again: Vec<(&Planned, Failure)> = Vec::new();
        for (planned, answer) in open.into_iter().zip(round) {
            match answer {
                Ok(fetched) => {
                    answers.push((planned.source.clone(), Ok((fetched, now))));
                }
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

/// One attempt at each, in their order.
async fn round(
    provider: &impl Fetch,
    ask: Batching,
    open: &[&Planned],
    start: &Start,
    on_answer: impl Fn(&Source, &Fetched),
) -> Vec<Result<Fetched, Failure>> {
    let together = async |planned: &[&Planned]| {
        let sources: Vec<&Source> = planned.iter().map(|planned| &planned.source).collect();
        let first = planned.first().map_or("the backend", |planned| planned.shown.as_str());
        match start.attempt(first, provider.fetch(&sources)).await {
            Ok(answers) => {
                let came =
                    sources.iter().zip(&answers).filter_map(|(source, answer)| Some((source, answer.as_ref().ok()?)));
                came.for_each(|(source, fetched)| on_answer(source, fetched));
                answers
            }
            Err(late) => planned.iter().map(|_| Err(late.clone())).collect(),
        }
    };
    match ask {
        Batching::Together => together(open).await,
        Batching::Each => in_parallel(open.chunks(1).map(together)).await.into_iter().flatten().collect(),
    }
}

/// A write is sent once per start: again only when it provably did nothing.
fn is_repeatable(source: &Source, failure: &Failure) -> bool {
    failure.class.is_retried() && !(source.is_write() && failure.effect == Effect::Perhaps)
}

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
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::super::deadline::{Needs, Patience};
    use super::*;
    use crate::domain::{Lease, LeaseId};
    use crate::plan::tests::{plan_of, value_of};
    use crate::provider::Class;

    /// A store that answers each request with the next of these.
    struct Scripted {
        answers: RefCell<VecDeque<Result<Fetched, Failure>>>,
        requests: RefCell<Vec<String>>,
    }

    impl Scripted {
        fn new(answers: impl IntoIterator<Item = Result<Fetched, Failure>>) -> Self {
            Self { answers: RefCell::new(answers.into_iter().collect()), requests: RefCell::default() }
        }
    }

    impl Fetch for Scripted {
        async fn fetch(&self, sources: &[&Source]) -> Vec<Result<Fetched, Failure>> {
            self.requests.borrow_mut().extend(sources.iter().map(ToString::to_string));
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
    fn a_write_that_may_have_been_carried_out_is_sent_once() {
        let store = Scripted::new([Err(transient().perhaps_done())]);
        let answers = answers(&store, &["vault:pki/issue/web?common_name=a#certificate"]);
        let problem = answers[0].1.as_ref().unwrap_err();
        assert!(problem.text.ends_with("(it may have been carried out, so it is not sent again)"), "{}", problem.text);
        assert_eq!(store.requests.borrow().len(), 1);
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
