//! AWS Secrets Manager: secrets are grouped by region and role, and read in batches of up to twenty.
//!
//! `batch` groups secrets and assigns results; `error` classifies failures.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_smithy_types::Blob;
use futures_util::stream::{self, StreamExt};
use tokio::sync::Mutex;

use crate::domain::{AwsSource, Fetched, Lease, LeaseId, Payload, SecretBytes, Source, Version};
use crate::identity::aws::{AwsIdentity, with_origin};

use super::{Class, Failure, Fetch};

mod batch;
mod denial;
mod error;

use batch::{Group, Job, PENDING};
pub use error::DescribeError;

/// The number of parallel requests.
const PARALLEL: usize = 8;

/// Secrets Manager, in all regions and with all roles that references name.
pub struct Aws {
    identity: Arc<AwsIdentity>,
    clients: Mutex<BTreeMap<Group, Client>>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// What `DescribeSecret` returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The version that a fetch would return now, as far as labels say: a version without any is not listed, and can
    /// still be read by its ID.
    pub version: Option<Version>,
    /// The latest time of the next rotation, if one is scheduled.
    pub next_rotation: Option<SystemTime>,
    /// When the secret was scheduled for deletion; its value can no longer be read.
    pub deleted: Option<SystemTime>,
}

/// Results with the indexes of their sources.
type Answers = Vec<(usize, Result<Fetched, Failure>)>;

impl Aws {
    /// A provider that sends nothing before the first fetch.
    pub fn new(identity: Arc<AwsIdentity>) -> Self {
        Self { identity, clients: Mutex::new(BTreeMap::new()) }
    }

    /// Returns the current version of a source and the date of its next rotation (`DescribeSecret`: no decryption, same
    /// price). Retries once with new credentials if these are rejected.
    pub async fn describe(&self, source: &AwsSource) -> Result<Description, DescribeError> {
        match self.describe_once(source).await {
            Err(DescribeError::Failed(failure)) if error::is_of_credentials(&failure) => {
                self.forget_credentials().await;
                self.describe_once(source).await
            }
            answer => answer,
        }
    }

    /// Describes a source with one request (`DescribeSecret`): its current version and the date of its next rotation.
    async fn describe_once(&self, source: &AwsSource) -> Result<Description, DescribeError> {
        batch::refuse_pending(source)?;
        let group = self.group(source).await?;
        let client = self.client(&group).await?;
        let answer = client.describe_secret().secret_id(&source.id).send().await;
        let answer = answer.map_err(|error| error::of_describe(error, source, &group.region))?;
        let stages = answer.version_ids_to_stages.unwrap_or_default();
        let version = match &source.version {
            Some(version) => Some(version).filter(|version| stages.contains_key(*version)),
            None => {
                let wanted = source.stage.as_deref().unwrap_or(batch::CURRENT);
                stages.iter().find(|(_, stages)| stages.iter().any(|stage| stage == wanted)).map(|(id, _)| id)
            }
        };
        let next_rotation = answer.next_rotation_date.and_then(|date| SystemTime::try_from(date).ok());
        let deleted = answer.deleted_date.and_then(|date| SystemTime::try_from(date).ok());
        Ok(Description { version: version.cloned().map(Version), next_rotation, deleted })
    }

    /// What the first request for a source would fail with, as far as that is known without sending it: region, profile,
    /// addresses, proxy.
    pub async fn check(&self, source: &AwsSource) -> Result<(), Failure> {
        let group = self.group(source).await?;
        let sdk = self.identity.sdk(&group.region, group.role.as_deref()).await?;
        let place = Params::builder()
            .region(group.region.clone())
            .set_use_fips(sdk.use_fips())
            .set_use_dual_stack(sdk.use_dual_stack())
            .set_endpoint(self.identity.endpoint(&sdk));
        let Ok(place) = place.build() else { return Ok(()) }; // the request has the SDK's reason
        match DefaultResolver::new().resolve_endpoint(&place).await {
            Ok(endpoint) => self.identity.check_proxy(endpoint.url())?,
            Err(_) => return Ok(()),
        }
        Ok(self.identity.check_sts_proxy(&group.region, source.role.as_deref()).await?)
    }

    /// Drops the cached credentials, so that the next request obtains new ones.
    async fn forget_credentials(&self) {
        self.clients.lock().await.clear();
        self.identity.forget().await;
    }

    /// The region and role of a source.
    async fn group(&self, source: &AwsSource) -> Result<Group, Failure> {
        let region = self.identity.region(source.region.as_deref()).await?;
        Ok(Group { region, role: source.role.clone() })
    }

    /// The client of a group, created when it is first used.
    async fn client(&self, group: &Group) -> Result<Client, Failure> {
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(group) {
            return Ok(client.clone());
        }
        let client = Client::new(&self.identity.sdk(&group.region, group.role.as_deref()).await?);
        clients.insert(group.clone(), client.clone());
        Ok(client)
    }

    /// Fetches one secret.
    async fn fetch_one(&self, group: &Group, source: &AwsSource) -> Result<Fetched, Failure> {
        let client = self.client(group).await?;
        let request = client
            .get_secret_value()
            .secret_id(&source.id)
            .set_version_stage(source.stage.clone())
            .set_version_id(source.version.clone());
        let answer = request.send().await.map_err(|error| error::of_get(error, source, &group.region))?;
        let stages = answer.version_stages.unwrap_or_default();
        if stages.iter().any(|stage| stage == PENDING) && !stages.iter().any(|stage| stage == batch::CURRENT) {
            return Err(batch::pending());
        }
        fetched(answer.secret_string, answer.secret_binary, answer.version_id)
    }

    /// Fetches several secrets with one `BatchGetSecretValue`. Secrets that are missing from the result have to be
    /// fetched singly.
    async fn fetch_batch(&self, group: &Group, places: &[usize], sources: &[&Source]) -> Answers {
        let wanted: Vec<(usize, &AwsSource)> =
            places.iter().filter_map(|place| Some((*place, aws(sources.get(*place)?)?))).collect();
        let all = |failure: Failure| wanted.iter().map(|(place, _)| (*place, Err(failure.clone()))).collect();
        let client = match self.client(group).await {
            Ok(client) => client,
            Err(failure) => return all(failure),
        };
        let ids = batch::distinct_ids(wanted.iter().map(|(_, source)| *source));
        let answer = match client.batch_get_secret_value().set_secret_id_list(Some(ids)).send().await {
            Ok(answer) => answer,
            Err(error) => return error::of_batch(error, &group.region).map_or_else(Vec::new, all),
        };
        let mut values = answer.secret_values.unwrap_or_default();
        let errors = answer.errors.unwrap_or_default();
        let mut answers = Answers::new();
        for (place, source) in wanted {
            let is_its = |arn: Option<&str>, name: Option<&str>| batch::is_answer_to(&source.id, arn, name);
            if let Some(found) = values.iter().position(|value| is_its(value.arn(), value.name())) {
                let value = values.swap_remove(found);
                answers.push((place, fetched(value.secret_string, value.secret_binary, value.version_id)));
            } else if let Some(error) = errors.iter().find(|error| is_its(error.secret_id(), error.secret_id())) {
                let failure = error::of_entry(error.error_code(), error.message(), source, &group.region);
                answers.push((place, Err(failure)));
            }
        }
        answers
    }

    /// Executes one job; returns its group, the indexes of its sources, and the results.
    async fn run_job(&self, job: Job, sources: &[&Source]) -> (Group, Vec<usize>, Answers) {
        let answers = match job.places.as_slice() {
            [place] => match sources.get(*place).and_then(|source| aws(source)) {
                Some(source) => vec![(*place, self.fetch_one(&job.group, source).await)],
                None => Vec::new(),
            },
            places => self.fetch_batch(&job.group, places, sources).await,
        };
        (job.group, job.places, answers)
    }
}

impl Fetch for Aws {
    /// Fetches the sources; those whose credentials are refused are fetched once more with new credentials.
    async fn fetch(&self, sources: &[&Source]) -> Vec<Result<Fetched, Failure>> {
        let mut answers = self.fetch_once(sources).await;
        let is_refused = |answer: &Result<Fetched, Failure>| answer.as_ref().is_err_and(error::is_of_credentials);
        let again: Vec<usize> = (0..answers.len()).filter(|place| is_refused(&answers[*place])).collect();
        if !again.is_empty() {
            self.forget_credentials().await;
            let refused: Vec<&Source> = again.iter().map(|place| sources[*place]).collect();
            for (place, answer) in again.into_iter().zip(self.fetch_once(&refused).await) {
                answers[place] = answer;
            }
        }
        answers
    }

    async fn renew(&self, _: &Lease) -> Result<Lease, Failure> {
        Err(Failure::new(Class::Malformed, "Secrets Manager has no leases to renew"))
    }

    fn failed_so_far(&self) -> Option<String> {
        self.identity.failed_so_far()
    }

    async fn revoke(&self, _: &LeaseId) -> Result<(), Failure> {
        Err(Failure::new(Class::Malformed, "Secrets Manager has no leases to revoke"))
    }
}

impl Aws {
    /// Fetches every source, without a retry for rejected credentials. Secrets that a batch does not return are fetched
    /// singly.
    async fn fetch_once(&self, sources: &[&Source]) -> Vec<Result<Fetched, Failure>> {
        let mut answers: BTreeMap<usize, Result<Fetched, Failure>> = BTreeMap::new();
        let mut groups: BTreeMap<Group, Vec<(usize, &AwsSource)>> = BTreeMap::new();
        for (place, source) in sources.iter().enumerate() {
            let group = match aws(source) {
                Some(source) => match batch::refuse_pending(source) {
                    Ok(()) => self.group(source).await.map(|group| (group, source)),
                    Err(failure) => Err(failure),
                },
                None => Err(Failure::new(Class::Malformed, "this is not a Secrets Manager reference")),
            };
            match group {
                Ok((group, source)) => groups.entry(group).or_default().push((place, source)),
                Err(failure) => _ = answers.insert(place, Err(failure)),
            }
        }
        let mut jobs = batch::jobs(groups);
        while !jobs.is_empty() {
            let round: Vec<_> =
                stream::iter(jobs).map(|job| self.run_job(job, sources)).buffer_unordered(PARALLEL).collect().await;
            jobs = Vec::new();
            for (group, places, found) in round {
                answers.extend(found);
                // Only batches omit results, so there are two rounds at most.
                let missing = places.into_iter().filter(|place| !answers.contains_key(place));
                jobs.extend(missing.map(|place| Job { group: group.clone(), places: vec![place] }));
            }
        }
        self.identity.close_idle();
        answers.into_values().collect()
    }
}

/// The source, if it is one of Secrets Manager.
fn aws(source: &Source) -> Option<&AwsSource> {
    match source {
        Source::Aws(source) => Some(source),
        Source::Vault(_) | Source::File(_) => None,
    }
}

/// Converts a secret string or binary.
fn fetched(text: Option<String>, binary: Option<Blob>, version: Option<String>) -> Result<Fetched, Failure> {
    let value = match (text, binary) {
        (Some(text), _) => SecretBytes::from(text),
        (None, Some(binary)) => SecretBytes::new(binary.into_inner()),
        (None, None) => {
            return Err(Failure::new(Class::Malformed, with_origin("the answer has no value")));
        }
    };
    match Failure::of_too_many_secrets() {
        Some(failure) => Err(failure),
        None => Ok(Fetched {
            payload: Payload::Whole(value),
            version: version.map(Version),
            lease: None,
            ends: None,
            metadata: None,
        }),
    }
}
