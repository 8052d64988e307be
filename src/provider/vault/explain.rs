//! Explains refusals: pure functions from the request and the response to a failure.
//!
//! The server's text may quote what it was sent (a JWT's claims, a ciphertext), so it is not repeated. It is searched
//! for known phrases, which are explained in words of our own.

use std::fmt;
use std::time::Duration;

use crate::identity::{JwtMethod, Proof};
use crate::provider::{Class, Failure, backoff};

use super::answer::Answer;
use super::reason;

/// The request that was sent.
#[derive(Debug)]
pub(super) enum RequestKind<'a> {
    /// GET of a logical path.
    Read(&'a str),
    /// PUT to a logical path.
    Write(&'a str),
    /// A login.
    Login(&'a Proof),
    /// An unwrap request for a secret ID.
    Unwrap,
    /// The renewal of a lease.
    RenewLease,
    /// The revocation of a lease.
    RevokeLease,
    /// The renewal of our own token.
    RenewToken,
    /// The revocation of our own token.
    RevokeToken,
}

impl RequestKind<'_> {
    /// Whether the request is part of a login.
    fn is_login(&self) -> bool {
        matches!(self, Self::Login(_) | Self::Unwrap)
    }
}

/// The policy that would allow the request.
impl fmt::Display for RequestKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path) => write!(f, "read on {path}"),
            Self::Write(path) => write!(f, "update on {path}"),
            Self::RenewLease => f.write_str("update on sys/leases/renew"),
            Self::RevokeLease => f.write_str("update on sys/leases/revoke"),
            Self::RenewToken => f.write_str("update on auth/token/renew-self"),
            Self::RevokeToken => f.write_str("update on auth/token/revoke-self"),
            Self::Login(_) | Self::Unwrap => f.write_str("nothing: a login needs no policy"),
        }
    }
}

/// Reasons of a failed login: the phrase of the server, and our explanation.
const LOGIN_REASONS: &[(&str, &str)] = &[
    ("no handler for route", "no auth method is mounted there"),
    (
        "wrapping token is not valid",
        "the wrapping token has expired or was used: if not by us, somebody else has the secret id; issue a new one",
    ),
    ("invalid role or secret ID", "the role id is wrong, or the secret id is wrong, spent or expired"),
    ("invalid secret id", "the secret id is wrong, spent or expired"),
    ("invalid role ID", "the role id is wrong"),
    ("invalid role_id", "the role id is wrong"),
    ("missing secret_id", "the role wants a secret id; set vault.auth.secretIdFile"),
    ("invalid audience", "the token's audience is not one the role is bound to"),
    ("audience claim does not match", "the token's audience is not one the role is bound to"),
    ("claim: token is expired", "the token has expired"),
    ("Token is expired", "the token has expired"),
    ("token not yet valid", "the token is not valid yet; are the clocks right?"),
    ("token issued in the future", "the token was issued in the future; are the clocks right?"),
    ("invalid issuer", "the token's issuer is not the one the method is configured for"),
    ("invalid subject", "the token's subject is not the one the role is bound to"),
    ("claim does not match", "a claim of the token is not what the role is bound to"),
    ("does not match any associated bound claim", "a claim of the token is not what the role is bound to"),
    ("compact JWS format", "the token file does not hold a JWT"),
    ("error verifying token signature", "the token's signature does not fit the keys of the method"),
    ("could not be found", "the role does not exist"),
    ("invalid role name", "the role does not exist"),
    ("missing role", "the method wants a role; set vault.auth.role"),
    ("service account name not authorized", "the role is bound to another service account"),
    ("namespace not authorized", "the role is bound to another Kubernetes namespace"),
    ("service account unauthorized", "the cluster no longer accepts the service account's token"),
    ("invalid certificate or no client certificate", "no role accepts our certificate"),
    ("failed to match all constraints", "no role accepts our certificate"),
    ("no client certificate", "the server saw no client certificate; does a proxy or load balancer end TLS?"),
    (
        "client certificate must be supplied",
        "the server saw no client certificate; does a proxy or load balancer end TLS?",
    ),
    ("certificate has expired", "our client certificate has expired"),
    ("entry for role", "the role does not exist"),
    ("does not belong to the role", "the AWS identity is not one the role is bound to"),
    ("missing header", "the method wants vault.auth.serverId"),
    ("source address", "the role does not allow logins from our address"),
    ("unauthorized by CIDR", "the role does not allow logins from our address"),
];

/// Reasons of other failed requests.
const REASONS: &[(&str, &str)] = &[
    ("HTTP request to an HTTPS server", "the server speaks TLS; use https:// in vault.address"),
    ("Vault is sealed", "the server is sealed"),
    ("OpenBao is sealed", "the server is sealed"),
    (
        "token had one use left",
        "the token had one use left, which no credential can be issued for; raise token_num_uses",
    ),
    ("lease is not renewable", "the lease cannot be renewed"),
    ("unknown role", "the role does not exist"),
    ("encryption key not found", "the key does not exist"),
    ("invalid ciphertext", "the ciphertext is damaged; was it percent-encoded twice?"),
    ("message authentication failed", "the ciphertext is of another key"),
    ("ciphertext or signature version is disallowed", "the ciphertext's key version is not allowed any more"),
    ("common name not allowed", "the role does not allow this common name"),
    ("not allowed by this role", "the role does not allow a parameter"),
    ("beyond the expiration of the CA", "the certificate would outlive its CA; ask for a shorter ttl"),
    ("missing client token", "no token was sent"),
];

/// The explanation for the first known phrase in the response.
fn known_reason(answer: &Answer, known: &[(&str, &'static str)]) -> Option<&'static str> {
    known.iter().find(|(phrase, _)| answer.contains(phrase)).map(|(_, said)| *said)
}

/// Explains a refusal. `namespace` is that of the request.
pub(super) fn refusal(request: &RequestKind<'_>, answer: &Answer, namespace: Option<&str>) -> Failure {
    // Go's TLS listener says this in plain text.
    let speaks_tls = String::from_utf8_lossy(answer.body.expose()).contains("HTTP request to an HTTPS server");
    if let Some(failure) = passing(answer.status) {
        failure
    } else if (answer.is_from_vault() && !is_others(answer)) || speaks_tls {
        refusal_of_vault(request, answer, namespace)
    } else {
        refusal_of_intermediary(answer).by_intermediary()
    }
}

/// Explains an answer to the health check that does not show that the server lives. A success without a word about
/// health is somebody else's.
pub(super) fn health(answer: &Answer) -> Failure {
    if answer.is_success() {
        refusal_of_intermediary(answer).by_intermediary()
    } else {
        refusal(&RequestKind::Read("sys/health"), answer, None)
    }
}

/// The failure for a status that passes and that Vault itself never sends, whatever the body says.
fn passing(status: u16) -> Option<Failure> {
    let why = match status {
        408 => "the server, or a proxy before it, did not wait for the whole request",
        // RFC 9110, 15.5.20.
        421 => "a proxy or load balancer sent the request to a server that is not meant for it",
        423 => "a proxy or gateway says that it is locked",
        // RFC 8470, 5.2.
        425 => "a proxy or load balancer does not pass requests on before the TLS handshake is complete",
        // Load balancers of AWS say 460, nginx says 499.
        460 | 499 => "a proxy or load balancer calls the connection closed before the answer came",
        _ => return None,
    };
    let failure = Failure::new(Class::Transient, format!("{why} ({status})"));
    Some(if matches!(status, 421 | 423 | 425) { failure.unclear() } else { failure.perhaps_done().unclear() })
}

/// Whether a refusal has a status that Vault itself never sends, and no word of explanation.
fn is_others(answer: &Answer) -> bool {
    matches!(answer.status, 402 | 406 | 409..=411 | 414..=428 | 430..=471 | 474..=499) && answer.has_no_reason()
}

/// The failure for a response that is not Vault's: a proxy's page, or that of another server.
fn refusal_of_intermediary(answer: &Answer) -> Failure {
    let status = answer.status;
    let page = "something else answers in the server's place: a proxy (vault.proxy, HTTP_PROXY), a load balancer or another \
                server; is vault.address right?";
    let (class, why) = match status {
        407 => (
            Class::Denied,
            "the proxy wants a user name and password; put them into its URL (http://USER:PASSWORD@HOST:PORT)",
        ),
        429 => (
            Class::Throttled { retry_after: answer.retry_after },
            "a proxy or load balancer asks for patience: too many requests",
        ),
        412 => (Class::Transient, page),
        502..=504 => (Class::Transient, "a proxy or load balancer found no server behind it"),
        500.. => (Class::Transient, page),
        401 | 403 => (Class::Denied, page),
        404 => (Class::NotFound, page),
        _ => (Class::Malformed, page),
    };
    let status_and_wait = if status == 429 { status_and_retry_after(answer) } else { status.to_string() };
    let failure = Failure::new(class, format!("{why} ({status_and_wait})"));
    if status >= 500 { failure.perhaps_done().unclear() } else { failure }
}

/// The reason of a redirect that was not followed.
const REDIRECT: &str = "the server redirects elsewhere; is vault.address right?";

/// The failure of a success that cannot be used: a credential may have been issued all the same. Vault never answers a read without
/// a word, so such an answer is somebody else's.
pub(super) fn unusable(failure: Failure, request: &RequestKind<'_>, answer: &Answer) -> Failure {
    let failure = failure.perhaps_done();
    let is_servers = answer.is_from_vault() && !answer.has_no_reason();
    if matches!(request, RequestKind::Read(_)) && !is_servers { failure.by_intermediary() } else { failure }
}

/// The failure for a response of Vault, by its status.
fn refusal_of_vault(request: &RequestKind<'_>, answer: &Answer, namespace: Option<&str>) -> Failure {
    let status = answer.status;
    let failure = |class, why: &str| Failure::new(class, format!("{why} ({status})"));
    match status {
        412 => failure(Class::Transient, "the server has not caught up with its own writes yet"),
        429 => {
            let class = Class::Throttled { retry_after: answer.retry_after };
            Failure::new(
                class,
                format!("the server asks for patience: too many requests ({})", status_and_retry_after(answer)),
            )
        }
        472 | 473 => failure(Class::Transient, "the server is a standby that does not forward requests").unclear(),
        500 => failure(Class::Transient, known_reason(answer, REASONS).unwrap_or(unavailable(status))).perhaps_done(),
        503 => failure(Class::Transient, known_reason(answer, REASONS).unwrap_or(unavailable(status))).unclear(),
        501.. => failure(Class::Transient, unavailable(status)).perhaps_done().unclear(),
        404 if answer.contains("namespace not found") => {
            let why = format!(
                "there is no namespace {:?}, which vault.namespace or VAULT_NAMESPACE says",
                namespace.unwrap_or_default()
            );
            failure(if request.is_login() { Class::Denied } else { Class::NotFound }, &why)
        }
        // Vault gives a reason for refusing a login; a load balancer without a route gives none.
        404 if request.is_login() && answer.has_no_reason() => refusal_of_intermediary(answer),
        400..500 if request.is_login() => refused_login(request, answer),
        403 => denied(request, answer, namespace),
        401 => failure(Class::Denied, "permission denied"),
        404 if answer.contains("no handler for route") => failure(Class::NotFound, "nothing is mounted at that path"),
        400 | 404 if answer.contains("lease not found") || answer.contains("lease expired") => {
            failure(Class::NotFound, "the lease has ended or was revoked")
        }
        404 => failure(Class::NotFound, "there is nothing at that path"),
        405 => failure(Class::Malformed, other_operation_hint(request)),
        413 => failure(Class::Malformed, "the request is too large for the server"),
        // A lost lease was recognised above; other errors (such as a database that is down: 400) are transient.
        400 if matches!(request, RequestKind::RenewLease) && !answer.contains("lease is not renewable") => failure(
            Class::Transient,
            "the secrets engine cannot renew the lease now; is what is behind it, such as a database, up?",
        ),
        400 => {
            let own = match request {
                RequestKind::Read(path) | RequestKind::Write(path) => reason::cleaned(answer, path),
                _ => None,
            };
            let said = own.map(|own| format!("the server refuses the request: {own}"));
            let known = known_reason(answer, REASONS).map(str::to_owned);
            let why = known.or(said).unwrap_or_else(|| "the server calls the request wrong".to_owned());
            failure(Class::Malformed, &why)
        }
        407 => failure(Class::Denied, "the proxy wants a user name and password"),
        300..400 => failure(Class::Malformed, REDIRECT).by_intermediary(),
        _ => failure(Class::Malformed, "the server gave an answer that Vault never gives; is vault.address right?"),
    }
}

/// The failure of a request that the policies deny. Vault always writes errors with it.
fn denied(request: &RequestKind<'_>, answer: &Answer, namespace: Option<&str>) -> Failure {
    let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    let other =
        if answer.has_no_reason() { "; or a proxy refuses it: the answer has no word of the server's" } else { "" };
    Failure::new(Class::Denied, format!("permission denied (403): the policy needs {request}{place}{other}"))
}

/// The hint for a path that does not support the operation.
fn other_operation_hint(request: &RequestKind<'_>) -> &'static str {
    match request {
        RequestKind::Read(_) => "this path is not read but written; put ? and the parameters behind it, or a bare ?",
        RequestKind::Write(_) => "this path is not written but read; leave out the ? and what is behind it",
        _ => "the server does not know this request; is it Vault or OpenBao?",
    }
}

/// The status, and `Retry-After` if the server sent one.
fn status_and_retry_after(answer: &Answer) -> String {
    let wait = answer.retry_after.filter(|wait| !wait.is_zero());
    match wait {
        Some(wait) => format!("{}, Retry-After {}", answer.status, backoff::as_sent(wait)),
        None => answer.status.to_string(),
    }
}

/// The explanation of a 5xx status.
fn unavailable(status: u16) -> &'static str {
    match status {
        500 => "the server failed; its log says why",
        501 => "the server is not initialised",
        502 | 504 => "a proxy or load balancer found no server behind it",
        503 => "the server is sealed or not available",
        _ => "the server failed",
    }
}

/// The failure of a refused login. It is permanent whatever the 4xx status: AppRole answers 400 to a used secret ID.
fn refused_login(request: &RequestKind<'_>, answer: &Answer) -> Failure {
    let known = known_reason(answer, LOGIN_REASONS);
    let known = known.or_else(|| known_reason(answer, REASONS));
    // The server answers 403 for an unknown mount too, when there is no token.
    let refused =
        "permission denied: nothing is mounted there, it does not accept this identity, or its entity is disabled";
    let known = known
        .map(str::to_owned)
        .or_else(|| (answer.status == 403).then(|| refused.to_owned() + &token_review_hint(request)));
    let known = known.map(|said| format!(": {said}")).unwrap_or_default();
    let said = format!(" was refused ({}){known}", answer.status);
    match request {
        RequestKind::Login(proof) => Failure::of_refused_login(proof.to_string(), &said),
        _ => Failure::new(Class::Denied, format!("the unwrapping of the secret id{said}")),
    }
}

/// Another possible cause of a 403 for a Kubernetes login: the server may not review tokens in the cluster.
fn token_review_hint(request: &RequestKind<'_>) -> String {
    match request {
        RequestKind::Login(Proof::Jwt { method: JwtMethod::Kubernetes, mount, .. }) => format!(
            ", or the server may not review tokens: with Vault outside the cluster, auth/{mount}/config needs the \
             token_reviewer_jwt of a service account with system:auth-delegator"
        ),
        _ => String::new(),
    }
}

/// Whether a refused `lookup-self` means that the token is dead, rather than that its policy does not allow the
/// look-up.
///
/// OpenBao answers only `permission denied` for a dead token and `1 error occurred` for a policy's refusal; Vault adds
/// `invalid token`.
pub(super) fn is_dead_token(look_up: &Answer) -> bool {
    let bare = r#"{"errors":["permission denied"]}"#;
    look_up.status == 403
        && look_up.is_from_vault()
        && (look_up.contains("invalid token") || look_up.body.expose().trim_ascii() == bare.as_bytes())
}

/// The server gives no further reason when it rejects a token.
const DEAD_TOKEN: &str = "permission denied (403): the server does not accept the token: it has expired, was revoked or is \
                          used up, its entity is disabled, or it is bound to other addresses (token_bound_cidrs)";

/// The failure of a request whose token turned out to be dead. `age`: how long ago the token was granted, if its TTL
/// has not passed yet.
pub(super) fn dead_token(age: Option<Duration>) -> Failure {
    let why = age.map(|age| {
        format!(
            "permission denied (403): the server does not accept the token it gave {} s ago: the role binds it to other \
             addresses than ours (token_bound_cidrs; a proxy or load balancer in between changes the address), its entity \
             is disabled, its uses are spent (token_num_uses), or somebody revoked it",
            age.as_secs()
        )
    });
    Failure::new(Class::Denied, why.unwrap_or_else(|| DEAD_TOKEN.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SecretBytes;
    use crate::provider::{Effect, Extent, Speaker};
    use std::time::Duration;

    fn answer(status: u16, errors: &str) -> Answer {
        let body = format!(r#"{{"errors":[{errors:?}]}}"#);
        Answer { status, retry_after: Some(Duration::from_secs(7)), body: SecretBytes::from(body) }
    }

    fn read(status: u16, errors: &str) -> Failure {
        refusal(&RequestKind::Read("secret/data/app"), &answer(status, errors), None)
    }

    fn login(status: u16, errors: &str) -> Failure {
        let proof = Proof::Jwt {
            method: JwtMethod::Jwt,
            mount: "jwt".into(),
            role: "web".into(),
            token: SecretBytes::copy_of(b"canary"),
        };
        refusal(&RequestKind::Login(&proof), &answer(status, errors), None)
    }

    #[test]
    fn a_login_that_nobody_says_a_word_to_was_answered_by_somebody_else() {
        let proof = Proof::Token(SecretBytes::copy_of(b"canary"));
        for (status, body, is_elsewhere) in [
            (404, "", true),
            (404, "{\"errors\": []}\n", true),
            (404, "{\"errors\":[\"no handler for route\"]}", false),
            (403, "", false),
            (400, "{\"errors\":[]}", false),
        ] {
            let answer = Answer { status, retry_after: None, body: SecretBytes::from(body.to_owned()) };
            let why = refusal(&RequestKind::Login(&proof), &answer, None).why;
            assert_eq!(
                why.contains("something else answers in the server's place"),
                is_elsewhere,
                "{status} {body}: {why}"
            );
            let why = refusal(&RequestKind::Read("secret/data/app"), &answer, None).why;
            assert!(!why.contains("something else"), "{why}");
        }
    }

    #[test]
    fn each_status_has_its_class() {
        let throttled = Class::Throttled { retry_after: Some(Duration::from_secs(7)) };
        for (status, class) in [
            (400, Class::Malformed),
            (401, Class::Denied),
            (403, Class::Denied),
            (404, Class::NotFound),
            (405, Class::Malformed),
            (408, Class::Transient),
            (412, Class::Transient),
            (418, Class::Malformed),
            (429, throttled.clone()),
            (472, Class::Transient),
            (473, Class::Transient),
            (500, Class::Transient),
            (502, Class::Transient),
            (503, Class::Transient),
            (599, Class::Transient),
        ] {
            assert_eq!(read(status, "").class, class, "{status}");
            let of_login = match status {
                408 | 412 | 429 | 472 | 473 | 500.. => class,
                _ => Class::Denied,
            };
            assert_eq!(login(status, "").class, of_login, "{status}");
        }
    }

    /// RFC 9110 15.5.20 (421), RFC 8470 (425), nginx (499), load balancers of AWS (460), Cloudflare (520 to 530).
    #[test]
    fn what_only_something_between_us_and_the_server_says_passes() {
        let said = |status, body: &str| Answer { body: SecretBytes::from(body.to_owned()), ..answer(status, "") };
        let proof = Proof::Token(SecretBytes::copy_of(b"canary"));
        for status in
            [408, 421, 423, 425, 460, 499, 502, 504, 509, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530, 598]
        {
            for body in ["", "{}", "<html>", "error code: 522", r#"{"errors":["canary"]}"#] {
                for request in [RequestKind::Read("x"), RequestKind::Login(&proof), RequestKind::RenewLease] {
                    let failure = refusal(&request, &said(status, body), None);
                    assert_eq!(failure.class, Class::Transient, "{status} {body} {request:?}");
                    // 421, 423 and 425 say that nothing was done.
                    let is_done = if matches!(status, 421 | 423 | 425) { Effect::None } else { Effect::Perhaps };
                    assert_eq!(failure.effect, is_done, "{status} {body}");
                }
            }
        }
        // What Vault never says, and without a word: nobody is refused for good by that while a server works.
        for status in [402, 406, 409, 410, 411, 414, 417, 418, 422, 424, 426, 431, 440, 444, 451, 463, 497] {
            for request in [RequestKind::Read("x"), RequestKind::Login(&proof), RequestKind::RenewLease] {
                for body in ["", "<html>"] {
                    let failure = refusal(&request, &said(status, body), None);
                    assert_eq!(failure.speaker, Speaker::Intermediary, "{status} {body} {request:?}");
                    assert!(!failure.class.is_retried(), "{status} {body} {request:?}");
                }
                let failure = refusal(&request, &said(status, r#"{"errors":["no"]}"#), None);
                assert_eq!((failure.speaker, failure.class.is_retried()), (Speaker::Backend, false), "{status}");
            }
        }
    }

    #[test]
    fn a_denial_without_a_word_may_be_a_proxys() {
        for (body, is_proxys) in [("", true), ("{}", true), ("{\"errors\":[\"1 error occurred\"]}", false)] {
            let answer = Answer { status: 403, retry_after: None, body: SecretBytes::from(body.to_owned()) };
            let why = refusal(&RequestKind::Read("secret/data/app"), &answer, None).why;
            assert_eq!(why.contains("or a proxy refuses it"), is_proxys, "{why}");
        }
    }

    #[test]
    fn a_denied_read_names_the_policy_line_and_the_namespace() {
        let why = refusal(&RequestKind::Read("secret/data/app"), &answer(403, ""), Some("team-a")).why;
        assert_eq!(why, "permission denied (403): the policy needs read on secret/data/app in namespace team-a");
        let why = refusal(&RequestKind::RevokeLease, &answer(403, ""), None).why;
        assert_eq!(why, "permission denied (403): the policy needs update on sys/leases/revoke");
    }

    #[test]
    fn a_refused_login_names_method_mount_and_role_and_only_reasons_we_know() {
        let why = login(400, "error validating token: invalid audience (aud) claim: canary").why;
        let expected = "jwt login (mount \"jwt\", role \"web\") was refused (400): ";
        assert_eq!(why, format!("{expected}the token's audience is not one the role is bound to"));
        let why = login(400, "something new about canary").why;
        assert_eq!(why, "jwt login (mount \"jwt\", role \"web\") was refused (400)");
    }

    #[test]
    fn nothing_the_server_writes_is_repeated() {
        for status in (300..600).chain([999]) {
            for failure in [read(status, "canary"), login(status, "canary")] {
                assert!(!failure.why.contains("canary"), "{failure}");
                assert!(failure.why.contains(&status.to_string()), "{failure}");
            }
        }
    }

    #[test]
    fn what_is_no_json_is_the_word_of_somebody_else() {
        let said = |body: &str| Answer { body: SecretBytes::from(body.to_owned()), ..answer(403, "") };
        let speaker = |body: &str| refusal(&RequestKind::RenewLease, &said(body), None).speaker;
        assert_eq!(speaker("<html>permission denied</html>"), Speaker::Intermediary);
        assert_eq!(speaker("{\"errors\":"), Speaker::Intermediary);
        assert_eq!((speaker(""), speaker("{\"errors\":[]}")), (Speaker::Backend, Speaker::Backend));
        assert!(!is_dead_token(&said("<html>invalid token</html>")));
    }

    #[test]
    fn a_dead_token_is_told_from_a_policy_that_does_not_let_it_look() {
        assert!(is_dead_token(&answer(403, "permission denied")));
        assert!(is_dead_token(&answer(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")));
        assert!(!is_dead_token(&answer(403, "1 error occurred:\n\t* permission denied\n\n")));
    }

    #[test]
    fn a_lease_that_has_ended_is_not_found() {
        let failure = refusal(&RequestKind::RenewLease, &answer(400, "lease not found"), None);
        assert_eq!(failure, Failure::new(Class::NotFound, "the lease has ended or was revoked (400)"));
    }

    /// OpenBao 2 and Vault 1 say 400 where the database does not answer.
    #[test]
    fn a_lease_whose_engine_fails_is_not_lost() {
        let away = "failed to renew entry: resp: (*logical.Response)(nil) err: 1 error occurred:\n\t* failed to connect to \
                    `user=postgres database=`: dial error: connect: connection refused\n\n";
        for text in
            [away, "failed to renew entry: resp: (*logical.Response)(nil) err: could not find role", "who knows"]
        {
            let failure = refusal(&RequestKind::RenewLease, &answer(400, text), None);
            assert_eq!((failure.class.clone(), failure.extent), (Class::Transient, Extent::Request), "{failure}");
            assert!(!failure.to_string().contains("postgres"), "{failure}");
        }
        let never = refusal(&RequestKind::RenewLease, &answer(400, "lease is not renewable"), None);
        assert_eq!(never, Failure::new(Class::Malformed, "the lease cannot be renewed (400)"));
    }
}
