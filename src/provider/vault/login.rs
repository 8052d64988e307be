//! Logging in, and the life of the token: renewal, check and revocation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustify::Endpoint;
use std::sync::PoisonError;
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::auth::aws::requests::IamLoginRequest;
use vaultrs::api::auth::kubernetes::requests::LoginWithKubernetesRequest;
use vaultrs::api::auth::oidc::requests::JWTLoginRequest;
use vaultrs::api::sys::requests::UnwrapRequest;
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest, RevokeTokenSelfRequest};

use crate::domain::SecretBytes;
use crate::identity::{ClientCertificate, JwtMethod, Proof, SecretId, SignedRequest};
use crate::provider::{Class, Failure};

use super::answer::{self, Answer};
use super::endpoint::{Call, header};
use super::explain::{self, RequestKind};
use super::token::{Namespace, Origin, Revocation, Token, TokenKind};
use super::{Session, Unwrapped, Vault};

/// The request that looks up our own token.
pub(super) fn look_up() -> LookupTokenSelfRequest {
    LookupTokenSelfRequest {}
}

/// The number of uses that a process which keeps running needs: more than any limit.
pub const ENDLESS: u64 = u64::MAX;

impl Vault {
    /// Logs in with one request (and one more if a secret ID has to be unwrapped) and stores the token.
    ///
    /// `planned` is how many requests the token must allow: every read and write, and the revocation; or [`ENDLESS`]. A
    /// token that allows fewer is revoked and refused, because its last use cannot issue a credential. For a token file
    /// the only request is `lookup-self`.
    pub async fn login(&self, proof: &Proof, planned: u64) -> Result<Token, Failure> {
        let (secret, token) = match proof {
            Proof::Token(secret) => (SecretBytes::copy_of(secret.expose()), self.look_up_foreign(proof, secret).await?),
            _ => answer::issued(&self.send_login(proof).await?)?,
        };
        header(&secret)?;
        let few = token.uses.filter(|uses| *uses < planned);
        *self.session() = Some(Session { secret, token: token.clone(), since: (self.now)() });
        let Some(uses) = few else {
            return Ok(token);
        };
        // The result does not matter: a token with few uses left is harmless.
        let _ = self.revoke_token().await;
        *self.session() = None;
        Err(Failure::new(Class::Denied, too_few_uses(token.origin, uses, planned)))
    }

    /// Looks up a token from a token file. A token whose policy does not allow that is accepted with unknown
    /// properties.
    async fn look_up_foreign(&self, proof: &Proof, secret: &SecretBytes) -> Result<Token, Failure> {
        let answer = self.send(look_up(), Some(header(secret)?)).await?;
        if answer.is_success() {
            return answer::looked_up(&answer);
        }
        if answer.status != 403 {
            return Err(explain::refusal(&RequestKind::Login(proof), &answer, self.namespace()));
        }
        if explain::is_dead_token(&answer) {
            let said = " was refused (403): it is wrong, has expired or was revoked, or its entity is disabled";
            return Err(Failure::of_refused_login(proof.to_string(), said));
        }
        let kind = if secret.expose().starts_with(b"b.") || secret.expose().starts_with(b"hvb.") {
            TokenKind::Batch
        } else {
            TokenKind::Service
        };
        Ok(Token { accessor: None, ttl: None, renewable: false, kind, origin: Origin::Foreign, uses: None })
    }

    /// Sends the login request of the method.
    async fn send_login(&self, proof: &Proof) -> Result<Answer, Failure> {
        match proof {
            Proof::Token(_) => unreachable!("a token is looked up, not proved"),
            Proof::Jwt { method: JwtMethod::Kubernetes, mount, role, token } => {
                let (mount, role, jwt) = (mount.clone(), role.clone(), text(token)?);
                self.log_in(proof, LoginWithKubernetesRequest { mount, role, jwt }).await
            }
            Proof::Jwt { method: JwtMethod::Jwt, mount, role, token } => {
                let (mount, role, jwt) = (mount.clone(), Some(role.clone()), text(token)?);
                self.log_in(proof, JWTLoginRequest { mount, jwt, role }).await
            }
            Proof::AppRole { mount, role_id, secret_id } => {
                let secret_id = match secret_id {
                    None => String::new(),
                    Some(SecretId::Plain(id)) => text(id)?,
                    Some(SecretId::Wrapped(token)) => self.unwrap(token).await?,
                };
                let (mount, role_id) = (mount.clone(), role_id.clone());
                self.log_in(proof, LoginWithApproleRequest { mount, role_id, secret_id }).await
            }
            Proof::Cert { mount, role, certificate } => {
                self.present_certificate(certificate)?;
                // vaultrs's request has `cert_name`, which no server reads.
                let body = serde_json::json!({ "name": role.as_deref().unwrap_or_default() });
                self.log_in(proof, Call::write(&format!("auth/{mount}/login"), &body)).await
            }
            Proof::Aws { role, mount, request } => {
                let SignedRequest { method, url, body, headers_json } = request;
                let request = IamLoginRequest {
                    mount: mount.clone(),
                    role: Some(role.clone()),
                    iam_http_request_method: method.clone(),
                    iam_request_url: STANDARD.encode(url),
                    iam_request_body: STANDARD.encode(body),
                    iam_request_headers: STANDARD.encode(headers_json.expose()),
                };
                self.log_in(proof, request).await
            }
        }
    }

    /// Sends a login request; an error unless the login was accepted.
    async fn log_in(&self, proof: &Proof, request: impl Endpoint) -> Result<Answer, Failure> {
        let answer = self.send(request, None).await?;
        self.accepted(&RequestKind::Login(proof), answer)
    }

    /// Presents the client certificate of the cert method.
    fn present_certificate(&self, certificate: &ClientCertificate) -> Result<(), Failure> {
        if !self.address().starts_with("https://") {
            return Err(Failure::new(Class::Malformed, "the cert method needs an https:// address"));
        }
        self.transport.present_certificate(certificate).map_err(|error| Failure::new(Class::Denied, error.to_string()))
    }

    /// Unwraps a secret ID. A wrapping token can be used once, so the result is kept for retries and later logins.
    async fn unwrap(&self, wrapping_token: &SecretBytes) -> Result<String, Failure> {
        let known = || self.unwrapped.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unwrapped) = known().as_ref().filter(|known| known.wrapping_token.is_same(wrapping_token)) {
            return text(&unwrapped.secret_id);
        }
        let answer = self.send(UnwrapRequest { token: None }, Some(header(wrapping_token)?)).await?;
        let secret_id = answer::unwrapped(&self.accepted(&RequestKind::Unwrap, answer)?)?;
        let answered = text(&secret_id);
        let wrapping_token = SecretBytes::copy_of(wrapping_token.expose());
        *known() = Some(Unwrapped { wrapping_token, secret_id });
        answered
    }

    /// Moves the connection to another namespace, for a token of an earlier configuration, which is only valid there.
    pub(crate) fn in_namespace(mut self, namespace: &Namespace) -> Result<Self, Failure> {
        let value = namespace.name().map(HeaderValue::try_from).transpose();
        self.namespace = value.map_err(|_| Failure::new(Class::Malformed, "a namespace that no header can carry"))?;
        Ok(self)
    }

    /// Renews the token; returns it as the server now has it.
    pub async fn renew_token(&self) -> Result<Token, Failure> {
        let answer = self.ask(RenewTokenSelfRequest { increment: None }).await?;
        let answer = self.accepted_or_dead(&RequestKind::RenewToken, answer).await?;
        let mut session = self.session();
        let Some(session) = session.as_mut() else {
            return Err(Failure::new(Class::Denied, "not logged in"));
        };
        let token = answer::renewed_token(&answer, session.token.origin)?;
        session.token = token.clone();
        Ok(token)
    }

    /// Checks whether the token is alive. `Denied` means that it is dead; it is then forgotten. A token that may not
    /// look itself up counts as alive.
    pub async fn check_token(&self) -> Result<(), Failure> {
        let answer = self.ask(look_up()).await?;
        if explain::is_dead_token(&answer) {
            *self.session() = None;
            return Err(explain::dead_token(None));
        }
        if answer.is_success() || answer.status == 403 {
            return Ok(());
        }
        Err(explain::refusal(&RequestKind::Read("auth/token/lookup-self"), &answer, self.namespace()))
    }

    /// Revokes our token, and with it its leases. A token from a token file is only forgotten, and a batch token ends
    /// by itself: no request is sent for these. After a failure the token is kept, for another try.
    pub async fn revoke_token(&self) -> Result<Revocation, Failure> {
        let Some(token) = self.token() else {
            return Ok(Revocation::NoToken);
        };
        let revocation = match (token.origin, token.kind) {
            (Origin::Foreign, _) => Revocation::Foreign,
            (Origin::Login, TokenKind::Batch) => Revocation::Batch { ttl: token.ttl },
            (Origin::Login, TokenKind::Service) => {
                let answer = self.ask(RevokeTokenSelfRequest {}).await?;
                match self.accepted_or_dead(&RequestKind::RevokeToken, answer).await {
                    Ok(_) => Revocation::Revoked,
                    Err(_) if self.token().is_none() => Revocation::NoToken,
                    Err(failure) => return Err(failure),
                }
            }
        };
        *self.session() = None;
        Ok(revocation)
    }
}

/// Explains why a token that allows too few requests is refused.
fn too_few_uses(origin: Origin, uses: u64, planned: u64) -> String {
    let requests = if uses == 1 { "request" } else { "requests" };
    let are_needed = if planned == 1 { "is needed" } else { "are needed" };
    match (origin, planned) {
        (Origin::Foreign, ENDLESS) => format!(
            "the token is good for {uses} more {requests} only (num_uses), and secrets are kept fresh for as long as this runs; put \
             one without a limit of uses there"
        ),
        (Origin::Foreign, _) => format!(
            "the token is good for {uses} more {requests} (num_uses, of which the look at itself took one), and {planned} more \
             {are_needed}; put one with more uses there, or without a limit"
        ),
        (Origin::Login, ENDLESS) => format!(
            "the token is good for {uses} {requests} only, and secrets are kept fresh for as long as this runs; set the role's \
             token_num_uses to 0, which is any number"
        ),
        (Origin::Login, _) => format!(
            "the token is good for {uses} {requests}, and {planned} {are_needed}; raise the role's token_num_uses"
        ),
    }
}

/// A secret as a string; an error if it is not UTF-8.
fn text(secret: &SecretBytes) -> Result<String, Failure> {
    let text = secret.expose_text().map(str::to_owned);
    text.ok_or_else(|| Failure::new(Class::Denied, "what was to be sent to log in is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_too_few_uses_is_refused_with_the_number_and_a_reason_that_holds_without_leases() {
        let stays = too_few_uses(Origin::Login, 1, ENDLESS);
        assert!(stays.starts_with("the token is good for 1 request only, and secrets are kept fresh"), "{stays}");
        assert!(too_few_uses(Origin::Foreign, 2, ENDLESS).contains("good for 2 more requests only"));
        assert!(too_few_uses(Origin::Foreign, 1, 2).contains("1 more request (num_uses, "));
        assert!(too_few_uses(Origin::Login, 1, 2).contains("good for 1 request, and 2 are needed"));
        assert!(too_few_uses(Origin::Login, 0, 1).contains("good for 0 requests, and 1 is needed"));
    }
}
