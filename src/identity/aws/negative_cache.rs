//! Caches for a moment that no AWS credentials are available: each search takes seconds, and every secret would wait
//! for one.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use tokio::sync::Mutex;

use crate::sys::clock;

use super::credentials_error::{self, CachedMiss, Metadata};

/// How long a miss is cached: longer than one round of reads, short enough not to matter after a repair.
const FOR: Duration = Duration::from_secs(5);

/// The credentials chain, and its last miss.
#[derive(Debug)]
pub(super) struct NegativeCache<P> {
    chain: P,
    /// When it had no credentials, as time since boot, and the result of instance metadata.
    nothing: Mutex<Option<(Duration, Metadata)>>,
}

impl<P: ProvideCredentials> NegativeCache<P> {
    pub(super) fn new(chain: P) -> Self {
        Self { chain, nothing: Mutex::new(None) }
    }

    /// The credentials of the chain, or the cached miss.
    async fn credentials(&self) -> Result {
        // Locked during the search: concurrent callers want the same result.
        let mut nothing = self.nothing.lock().await;
        if let Some((when, metadata)) = *nothing
            && clock::boottime().saturating_sub(when) < FOR
        {
            return Err(CredentialsError::not_loaded(CachedMiss(metadata)));
        }
        let answer = self.chain.provide_credentials().await;
        *nothing = match &answer {
            Err(error @ CredentialsError::CredentialsNotLoaded(_)) => {
                Some((clock::boottime(), credentials_error::metadata(error)))
            }
            _ => None,
        };
        answer
    }
}

impl<P: ProvideCredentials> ProvideCredentials for NegativeCache<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Empty(AtomicU32);

    impl ProvideCredentials for Empty {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.0.fetch_add(1, Ordering::Relaxed);
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("nothing")))
        }
    }

    #[test]
    fn a_chain_that_had_nothing_is_asked_once() {
        let chain = NegativeCache::new(Empty::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..3 {
            let error = runtime.block_on(chain.provide_credentials()).unwrap_err();
            assert_eq!(
                credentials_error::explain(&error),
                credentials_error::AwsCredentialsError::NoCredentials(Metadata::Silent)
            );
        }
        assert_eq!(chain.chain.0.load(Ordering::Relaxed), 1);
    }
}
