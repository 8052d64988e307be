//! Decides which secrets are read in one batch, and which result belongs to which secret. No I/O.

use std::collections::BTreeMap;

use crate::domain::AwsSource;

use super::super::{Class, Failure};

/// The most secrets that one `BatchGetSecretValue` takes.
const LIMIT: usize = 20;
/// The only staging label that a batch can read.
pub(super) const CURRENT: &str = "AWSCURRENT";
/// The staging label of a version that a rotation is still creating.
pub(super) const PENDING: &str = "AWSPENDING";

/// The key of a client: secrets with the same region and role share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group {
    /// Resolved already.
    pub(super) region: String,
    /// The role that the reference names, if any.
    pub(super) role: Option<String>,
}

/// One request: a single secret, or a batch of several.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) group: Group,
    /// Indexes into the list of sources; never empty.
    pub(super) places: Vec<usize>,
}

/// Distributes the secrets over as few requests as the service allows. Other versions than the current one are read
/// singly.
pub(super) fn jobs(groups: BTreeMap<Group, Vec<(usize, &AwsSource)>>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (group, sources) in groups {
        let (together, alone): (Vec<_>, Vec<_>) = sources.into_iter().partition(|(_, source)| is_current(source));
        let places = |sources: &[(usize, &AwsSource)]| sources.iter().map(|(place, _)| *place).collect();
        let mut push = |places| jobs.push(Job { group: group.clone(), places });
        together.chunks(LIMIT).for_each(|chunk| push(places(chunk)));
        alone.chunks(1).for_each(|chunk| push(places(chunk)));
    }
    jobs
}

/// Whether the source names the current version, which a batch can read.
fn is_current(source: &AwsSource) -> bool {
    source.version.is_none() && source.stage.as_deref().is_none_or(|stage| stage == CURRENT)
}

/// The distinct IDs of the sources: a batch must not repeat one.
pub(super) fn distinct_ids<'a>(sources: impl Iterator<Item = &'a AwsSource>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for source in sources {
        if !ids.contains(&source.id) {
            ids.push(source.id.clone());
        }
    }
    ids
}

/// Whether a result is about the secret ID `wanted`, which is a name, an ARN, or an ARN without the six characters that
/// the service appends.
pub(super) fn is_answer_to(wanted: &str, arn: Option<&str>, name: Option<&str>) -> bool {
    if arn == Some(wanted) || name == Some(wanted) {
        return true;
    }
    let suffix = arn.filter(|_| wanted.starts_with("arn:")).and_then(|arn| arn.strip_prefix(wanted)?.strip_prefix('-'));
    suffix.is_some_and(|suffix| suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Returns an error for a version that its rotation is still creating: it is never delivered.
pub(super) fn refuse_pending(source: &AwsSource) -> Result<(), Failure> {
    if source.stage.as_deref() == Some(PENDING) { Err(pending()) } else { Ok(()) }
}

/// The failure for a version that is only AWSPENDING.
pub(super) fn pending() -> Failure {
    let why = "a version that is only AWSPENDING is still being made by its rotation and is never delivered; use AWSCURRENT or AWSPREVIOUS";
    Failure::new(Class::Malformed, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(id: &str) -> AwsSource {
        AwsSource { id: id.to_owned(), region: None, stage: None, version: None, role: None }
    }

    fn group(region: &str) -> Group {
        Group { region: region.to_owned(), role: None }
    }

    fn places(groups: BTreeMap<Group, Vec<(usize, &AwsSource)>>) -> Vec<Vec<usize>> {
        jobs(groups).into_iter().map(|job| job.places).collect()
    }

    #[test]
    fn twenty_secrets_are_one_request_and_twenty_one_are_two() {
        let sources: Vec<_> = (0..21).map(|n| source(&format!("s{n}"))).collect();
        let all: Vec<_> = sources.iter().enumerate().collect();
        assert_eq!(jobs(BTreeMap::from([(group("a"), all[..20].to_vec())])).len(), 1);
        let two = places(BTreeMap::from([(group("a"), all)]));
        assert_eq!(two.iter().map(Vec::len).collect::<Vec<_>>(), [20, 1]);
    }

    #[test]
    fn regions_are_apart_and_stages_alone() {
        let current = AwsSource { stage: Some(CURRENT.into()), ..source("c") };
        let previous = AwsSource { stage: Some("AWSPREVIOUS".into()), ..source("p") };
        let version = AwsSource { version: Some("v".into()), ..source("v") };
        let plain = source("x");
        let groups = BTreeMap::from([
            (group("a"), vec![(0, &current), (1, &previous), (2, &version), (3, &plain)]),
            (group("b"), vec![(4, &plain)]),
        ]);
        assert_eq!(places(groups), [vec![0, 3], vec![1], vec![2], vec![4]]);
    }

    #[test]
    fn an_answer_is_known_by_name_arn_or_partial_arn() {
        let arn = "arn:aws:secretsmanager:eu-west-1:1:secret:prod/db-AbC123";
        let answers = |wanted: &str| is_answer_to(wanted, Some(arn), Some("prod/db"));
        assert!(answers("prod/db") && answers(arn) && answers("arn:aws:secretsmanager:eu-west-1:1:secret:prod/db"));
        assert!(!answers("prod/d") && !answers("arn:aws:secretsmanager:eu-west-1:1:secret:prod/d"));
        assert!(!is_answer_to("prod/db", Some(arn), Some("prod/db-extra1")));
    }

    #[test]
    fn the_same_id_is_asked_once() {
        let sources = [source("a"), source("b"), source("a")];
        assert_eq!(distinct_ids(sources.iter()), ["a", "b"]);
    }

    #[test]
    fn a_pending_version_is_never_delivered() {
        let source = AwsSource { stage: Some(PENDING.into()), ..source("x") };
        assert_eq!(refuse_pending(&source).unwrap_err().class, Class::Malformed);
    }
}
