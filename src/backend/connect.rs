//! The secret stores that a plan needs, connected once for the start and for rotation.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::{Config, ConfigError, VaultAuth};
use crate::domain::{Diagnostic, Exit, Fetches, Lease, Source};
use crate::identity::PreloadedFiles;
use crate::identity::aws::AwsIdentity;
use crate::identity::protected::ProtectedFiles;
use crate::plan::Plan;
use crate::provider::Limits;
use crate::provider::aws::Aws;
use crate::provider::file::Files;
use crate::provider::local::Local;
use crate::provider::vault::Vault;
use crate::sys::clock;

use super::revoke::{REVOKE_WITHIN, Revoked, leases, log_revocation, revoke_each, revoke_login};
use super::{Kind, Logins, VersionedReader};

/// The clients of a plan's secret stores. With `--local` the local file is the only one that is used.
#[derive(Debug)]
pub(crate) struct Backends {
    pub(crate) vault: Option<(Rc<Vault>, VaultAuth)>,
    pub(crate) aws: Option<Rc<Aws>>,
    pub(crate) files: Rc<Files>,
    pub(crate) local: Option<Rc<Local>>,
    /// Shared by Secrets Manager and Vault's aws login; sends nothing until one of them needs it.
    pub(crate) aws_identity: Arc<AwsIdentity>,
}

impl Backends {
    /// Builds the clients that the plan needs, without sending a request.
    pub(crate) fn connect(
        config: &Config,
        plan: &Plan,
        protected: &ProtectedFiles,
        aws_ca: Option<PathBuf>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let needs = |wanted: fn(&Source) -> bool| plan.sources.iter().any(|planned| wanted(&planned.source));
        let aws_identity = Arc::new(AwsIdentity::new(config.backends.aws.clone(), aws_ca));
        let files = Rc::new(Files::new(protected.clone()));
        let mut backends = Self { vault: None, aws: None, files, local: None, aws_identity };
        if let Some(path) = &config.backends.local {
            let mistaken = |mistakes: Vec<ConfigError>| mistakes.into_iter().map(Diagnostic::from).collect::<Vec<_>>();
            backends.local = Some(Rc::new(Local::open(path).map_err(mistaken)?));
            return Ok(backends);
        }
        if needs(|source| matches!(source, Source::Vault(_))) || plan.computes() {
            // Reached only for references inside templates: validation of the config alone does not see them.
            let Some(vault) = &config.backends.vault else { return Err(missing("vault.address (or VAULT_ADDR)")) };
            let Some(auth) = vault.auth.clone() else { return Err(missing("vault.auth")) };
            let connected = Vault::connect(vault, Limits::default(), clock::wall).map_err(|failure| {
                vec![Diagnostic::new(
                    Exit::Usage,
                    format!("cannot set up the connection to {}: {failure}", vault.address),
                )]
            })?;
            connected.complete_kv2_paths(plan.paths_as_written());
            if connected.is_plain_remote() {
                warn!("{} is plain http: secrets travel readable; use https", vault.address);
            }
            backends.vault = Some((Rc::new(connected), auth));
        }
        if needs(|source| matches!(source, Source::Aws(_))) {
            backends.aws = Some(Rc::new(Aws::new(Arc::clone(&backends.aws_identity))));
        }
        Ok(backends)
    }

    /// Reads files that may not be readable after privileges are dropped: the mounted files of the plan, and AWS's CA
    /// bundle. Read failures are reported when the content is needed.
    pub(crate) fn preload(&self, plan: &Plan) {
        if self.local.is_none() {
            self.files.preload(plan.sources.iter().map(|planned| &planned.source));
        }
        if self.aws.is_some() {
            self.aws_identity.preload();
        }
    }

    /// Closes idle connections, so that their buffers do not keep the last response.
    pub(crate) fn close_idle(&self) {
        if let Some((vault, _)) = &self.vault {
            vault.close_idle();
        }
        self.aws_identity.close_idle();
    }

    /// Revokes the token of our login (its leases end with it), or, where the token came from a token file, each lease
    /// individually. Retries transient failures, all within [`REVOKE_WITHIN`]. Failures are logged as warnings;
    /// leases then end with their TTL.
    pub(crate) async fn revoke_all(&self, fetches: &Fetches) {
        let leases = leases(fetches);
        let source_of =
            |lease: &Lease| leases.iter().find(|(_, known)| known.id == lease.id).map(|(source, _)| *source);
        let log = |revoked: Revoked<'_>| match revoked {
            Revoked::Token(revoked) => log_revocation(revoked),
            Revoked::Lease(lease, revoked) => {
                let source = source_of(lease).map(ToString::to_string).unwrap_or_default();
                match revoked {
                    Ok(()) => info!(event = "revoke", reference = source, "revoked the lease of {source}"),
                    Err(failure) => warn!("cannot revoke the lease of {source}, which ends by itself: {failure}"),
                }
            }
        };
        let each: Vec<&Lease> = leases.iter().map(|(_, lease)| *lease).collect();
        let work = async {
            if let Some(local) = &self.local {
                revoke_each(&**local, &each, log).await;
            } else if let Some((vault, _)) = &self.vault {
                revoke_login(vault, &each, log).await;
            }
        };
        if timeout(REVOKE_WITHIN, work).await.is_err() {
            warn!("gave up revoking after {} s; what was issued ends by itself", REVOKE_WITHIN.as_secs());
        }
    }

    /// The remaining TTL of Vault's token; `None` without a token or when it does not expire.
    pub(crate) fn token_ttl(&self) -> Option<Duration> {
        self.vault.as_ref().and_then(|(vault, _)| vault.token()?.ttl)
    }

    /// The store of a source, in the form that rotation uses. Panics for a source that `connect` was not called with.
    pub(crate) fn kind_of(&self, source: &Source, config: &Config, preloaded: &Rc<PreloadedFiles>) -> Kind {
        if let Some(local) = &self.local {
            return Kind::Local(Rc::clone(local));
        }
        match source {
            Source::File(_) => Kind::Files(Rc::clone(&self.files)),
            Source::Aws(_) => {
                let aws = self.aws.as_ref().expect("connected for the sources of the plan");
                Kind::Aws(VersionedReader::new(Rc::clone(aws)))
            }
            Source::Vault(_) => {
                let (vault, auth) = self.vault.as_ref().expect("connected for the sources of the plan");
                let settings = config.backends.vault.clone().expect("a connected server has settings");
                let (preloaded, aws) = (Rc::clone(preloaded), Arc::clone(&self.aws_identity));
                Kind::Vault(Box::new(Logins::new(settings, auth.clone(), preloaded, aws, Rc::clone(vault))))
            }
        }
    }
}

/// The error for a Vault setting that a reference inside a template requires.
fn missing(setting: &str) -> Vec<Diagnostic> {
    vec![Diagnostic::new(Exit::Usage, format!("{setting} is missing, and a template has a vault: reference"))]
}
