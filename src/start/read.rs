//! Reading the sources of a start: in parallel, each until it is answered or nothing can help.

use std::time::Duration;

use crate::domain::{Fetched, Problem, Source};
use crate::plan::Planned;
use crate::provider::{Effect, Failure, Fetch, in_parallel};
use crate::sys::clock;

use super::deadline::Start;

/// What each source answered and when that was requested, or why it cannot be read.
pub(crate) type Answers = Vec<(Source, Result<(Fetched, Duration), Problem>)>;

/// How a backend takes the sources of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batching {
    /// One request each: an answer counts when it comes, whatever becomes of the others.
    Each,
    /// As few requests as it can be done in.
    Together,
}

/// Reads every source, and again what another try can help. `heard` is told of each value as soon as it came, and when it
/// was asked for.
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
        match start.attempt(provider.fetch(&sources)).await {
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

fn refused(planned: &Planned, failure: &Failure) -> (Source, Result<(Fetched, Duration), Problem>) {
    let once = if failure.class.is_retried() && !is_repeatable(&planned.source, failure) {
        " (it may have been carried out, so it is not sent again)"
    } else {
        ""
    };
    let text = format!("cannot read {}: {failure}{once}", planned.shown);
    (planned.source.clone(), Err(Problem::new(failure.class.exit(), text)))
}
