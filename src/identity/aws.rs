//! The workload's AWS identity: the SDK's credentials chain, roles to assume, and a signed proof for Vault.
//!
//! Nothing is read, connected or allocated before the first request. `transport` does HTTP, TLS and proxies, `signed`
//! the proof for Vault, `credentials_error` explains missing credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::imds;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use tokio::sync::{Mutex, OnceCell};

use crate::config;

use super::SignedRequest;

mod body;
mod chain;
mod checked;
mod credentials_error;
mod endpoint;
mod environment;
mod files_error;
mod negative_cache;
mod peer;
mod profile;
mod signed;
mod token_files;
mod transport;

pub use body::BodyError;
use chain::ProfileCredentials;
use checked::Checked;
pub use credentials_error::{AwsCredentialsError, Meaning, Metadata, explain};
pub(crate) use credentials_error::{CREDENTIALS, in_brackets, oversized, retry_after, sanitize_code};
use endpoint::NamedEndpoint;
use negative_cache::NegativeCache;
use profile::{ExplainedFiles, Services};
pub(crate) use profile::{profile_files, with_origin};
use transport::Transport;

/// The timeout of a TCP and TLS handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// The timeout until a response begins.
const READ: Duration = Duration::from_secs(10);
/// The timeout of instance metadata. It is one hop away: it answers at once, or never (a hop limit of 1 keeps pods
/// out).
const METADATA: Duration = Duration::from_secs(1);
/// The timeout of the whole credentials chain.
const CHAIN: Duration = Duration::from_secs(15);
/// How much earlier than that the chain is given up with a reason.
const BEFORE_TIMEOUT: Duration = Duration::from_millis(500);
/// The SDK's ID of the service that keeps secrets.
const SECRETS_MANAGER: &str = "Secrets Manager";
/// The SDK's ID of the service that issues credentials.
const STS: &str = "STS";
/// The signing region of the global STS endpoint.
const GLOBAL: Region = Region::from_static("us-east-1");

/// The workload's AWS identity. All clients made from it share one credentials chain, and one session per role.
pub struct AwsIdentity {
    settings: config::Aws,
    transport: Transport,
    ambient_region: OnceCell<Option<Region>>,
    base: Mutex<Option<SdkConfig>>,
    roles: Mutex<BTreeMap<String, SharedCredentialsProvider>>,
}

impl fmt::Debug for AwsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsIdentity").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl AwsIdentity {
    /// An identity that has not sent or read anything yet. `ca_bundle` is `AWS_CA_BUNDLE`, which replaces the system's
    /// roots.
    pub fn new(settings: config::Aws, ca_bundle: Option<PathBuf>) -> Self {
        Self {
            transport: Transport::new(ca_bundle, settings.proxies.clone()),
            settings,
            ambient_region: OnceCell::new(),
            base: Mutex::new(None),
            roles: Mutex::new(BTreeMap::new()),
        }
    }

    /// The region of a secret: its own (from an ARN), the configured one, the environment's, or the profile's.
    pub async fn region(&self, own: Option<&str>) -> Result<String, AwsCredentialsError> {
        profile::check_files().map_err(|error| AwsCredentialsError::Misconfigured(error.to_string()))?;
        let region = match own.or(self.settings.region.as_deref()) {
            Some(region) => region.to_owned(),
            None => match self.ambient_region().await {
                Some(region) => region.to_string(),
                // A profile that is malformed or missing may be the reason.
                None => {
                    return Err(profile::explain_files()
                        .await
                        .map_or(AwsCredentialsError::NoRegion, AwsCredentialsError::Misconfigured));
                }
            },
        };
        signed::checked_region(&region)?;
        Ok(region)
    }

    /// The settings for a client of one region, with the credentials of `role`, else of the configured role, else of
    /// the workload itself.
    pub async fn sdk(&self, region: &str, role: Option<&str>) -> Result<SdkConfig, AwsCredentialsError> {
        let region = Region::new(region.to_owned());
        let base = self.base(&region).await?;
        let services = Services(base.clone());
        environment::check_one_endpoint(&base, &services, SECRETS_MANAGER)?;
        let mut sdk = base.clone().into_builder().region(region);
        if let Some(role) = role.or(self.settings.assume_role.as_ref().map(|role| role.arn.as_str())) {
            environment::check_endpoint(&base, &services, STS)?;
            environment::check_one_endpoint(&base, &services, STS)?;
            sdk = sdk.credentials_provider(self.assumed(&base, role).await);
        }
        Ok(sdk.build())
    }

    /// The address that the environment or the profile gives Secrets Manager, if any.
    pub fn endpoint(&self, sdk: &SdkConfig) -> Option<String> {
        environment::endpoint(sdk, &Services(sdk.clone()), SECRETS_MANAGER)
    }

    /// Checks that the proxy for an address can be used, if it has one. Sends nothing.
    pub fn check_proxy(&self, address: &str) -> Result<(), AwsCredentialsError> {
        Ok(self.settings.proxies.choose_for(address).map(drop)?)
    }

    /// Checks that the proxy for STS can be used, where credentials for this region and role come from there: those of a role to
    /// assume, of a profile with a role, and a web identity's. Sends nothing.
    pub async fn check_sts_proxy(&self, region: &str, role: Option<&str>) -> Result<(), AwsCredentialsError> {
        let is_role = role.is_some() || self.settings.assume_role.is_some();
        if !is_role && !is_from_sts().await {
            return Ok(());
        }
        let base = self.base(&Region::new(region.to_owned())).await?;
        let place = Params::builder()
            .set_region(base.region().map(ToString::to_string))
            .set_use_fips(base.use_fips())
            .set_use_dual_stack(base.use_dual_stack())
            .set_endpoint(environment::endpoint(&base, &Services(base.clone()), STS));
        let Ok(place) = place.build() else { return Ok(()) }; // the request has the SDK's reason
        match DefaultResolver::new().resolve_endpoint(&place).await {
            Ok(endpoint) => self.check_proxy(endpoint.url()),
            Err(_) => Ok(()),
        }
    }

    /// Signs `GetCallerIdentity` with the workload's own credentials (never those of an assumed role). Without a region
    /// it is signed for the global endpoint.
    pub async fn signed_caller_identity(
        &self,
        server_id: Option<&str>,
        region: Option<&str>,
        now: SystemTime,
    ) -> Result<SignedRequest, AwsCredentialsError> {
        let endpoint = signed::Endpoint::of(region)?;
        let base = self.base(&region.map_or(GLOBAL, |region| Region::new(region.to_owned()))).await?;
        let provider = base.credentials_provider().ok_or(AwsCredentialsError::NoCredentials(Metadata::Silent))?;
        let credentials = provider.provide_credentials().await.map_err(|error| explain(&error))?;
        signed::sign(credentials, &endpoint, server_id, now)
    }

    /// Drops the cached credentials, including those of roles, because the service rejected them. The next client runs
    /// the credentials chain again.
    pub async fn forget(&self) {
        self.roles.lock().await.clear();
        *self.base.lock().await = None;
    }

    /// Reads the CA bundle while privileges allow it. A failure is reported when the bundle is needed.
    pub fn preload(&self) {
        let _reported_later = self.transport.load_roots();
    }

    /// What the request for credentials that is under way has failed with so far: the SDK repeats those of a container endpoint
    /// and of instance metadata by itself.
    pub fn failed_so_far(&self) -> Option<String> {
        self.transport.failed_so_far()
    }

    /// Closes idle connections, because each keeps its last response in memory.
    pub fn close_idle(&self) {
        self.transport.close_idle();
    }

    /// The region of the environment or the profile.
    async fn ambient_region(&self) -> Option<Region> {
        // Not the SDK's default chain, which also queries instance metadata and waits for a timeout where there is
        // none.
        let find = || async {
            match environment::region() {
                Some(region) => Some(Region::new(region)),
                None => ProfileFileRegionProvider::new().region().await,
            }
        };
        self.ambient_region.get_or_init(find).await.clone()
    }

    /// The settings with the workload's own credentials. `hint` is the region of STS where neither the config nor the
    /// environment has one.
    async fn base(&self, hint: &Region) -> Result<SdkConfig, AwsCredentialsError> {
        let mut base = self.base.lock().await;
        if let Some(base) = &*base {
            return Ok(base.clone());
        }
        profile::check_files().map_err(|error| AwsCredentialsError::Misconfigured(error.to_string()))?;
        let region = match &self.settings.region {
            Some(region) => Region::new(region.clone()),
            None => self.ambient_region().await.unwrap_or_else(|| hint.clone()),
        };
        // The SDK would only report a failed connection for an invalid region of the profile.
        signed::checked_region(region.as_ref())?;
        self.transport.load_roots()?;
        environment::check_texts()?;
        environment::check_switches()?;
        Ok(base.insert(load(region, self.transport.clone()).await?).clone())
    }

    /// A credentials provider for the role, shared by all clients.
    async fn assumed(&self, base: &SdkConfig, role: &str) -> SharedCredentialsProvider {
        let mut roles = self.roles.lock().await;
        if let Some(provider) = roles.get(role) {
            return provider.clone();
        }
        let mut builder = AssumeRoleProvider::builder(role).configure(base).session_name("secret-exec");
        let configured = self.settings.assume_role.as_ref().filter(|configured| configured.arn == role);
        if let Some(external_id) = configured.and_then(|configured| configured.external_id.as_ref()) {
            builder = builder.external_id(external_id);
        }
        let provider = SharedCredentialsProvider::new(Checked(builder.build().await));
        roles.insert(role.to_owned(), provider.clone());
        provider
    }
}

/// Whether the chain has its credentials from STS: a profile's role, or a web identity where nothing comes before it.
async fn is_from_sts() -> bool {
    !environment::has_key()
        && match chain::selected().await {
            ProfileCredentials::Role => true,
            ProfileCredentials::Other => false,
            ProfileCredentials::None => environment::has_web_identity(),
        }
}

/// The SDK's settings (endpoints, FIPS, dual stack, profile) with our transport and timeouts, and without retries,
/// which are the caller's.
async fn load(region: Region, transport: Transport) -> Result<SdkConfig, AwsCredentialsError> {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(READ).build();
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        .region(region.clone())
        .http_client(transport.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.clone())
        .identity_cache(IdentityCache::lazy().load_timeout(CHAIN).build())
        .no_credentials()
        .load()
        .await;
    let provider = ProviderConfig::default()
        .with_region(Some(region.clone()))
        .with_http_client(transport.clone())
        .with_retry_config(RetryConfig::disabled())
        .with_timeout_config(timeouts)
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_use_fips(sdk.use_fips())
        .with_use_dual_stack(sdk.use_dual_stack());
    let metadata = imds::Client::builder()
        .configure(&provider)
        .connect_timeout(METADATA)
        .read_timeout(METADATA)
        .max_attempts(2)
        .build();
    let chain = DefaultCredentialsChain::builder().region(region).imds_client(metadata).configure(provider);
    let services = Services(sdk.clone());
    environment::check_endpoint(&sdk, &services, SECRETS_MANAGER)?;
    if environment::has_web_identity() {
        environment::check_endpoint(&sdk, &services, STS)?;
        environment::check_one_endpoint(&sdk, &services, STS)?;
    }
    let endpoint = sdk.endpoint_url().filter(|url| !url.trim().is_empty()).map(str::to_owned);
    let chain = NamedEndpoint { chain: chain.build().await, transport, timeout: CHAIN.saturating_sub(BEFORE_TIMEOUT) };
    let chain = ExplainedFiles(NegativeCache::new(chain));
    let mut builder = sdk.into_builder();
    builder.set_endpoint_url(endpoint);
    Ok(builder.service_config(services).credentials_provider(SharedCredentialsProvider::new(Checked(chain))).build())
}
