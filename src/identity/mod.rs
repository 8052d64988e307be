//! Identity: the proof of who the workload is, made from the configuration and the files it names.
//!
//! Files are read when they are needed, because the kubelet and others replace them. Files that only root can read are
//! read once before privileges are dropped ([`preload`]) and kept in memory that is wiped. The login requests are sent
//! by `provider`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

pub mod aws;
mod error;
pub mod file;
pub(crate) mod lookup;
pub mod protected;
pub(crate) mod thread;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::{RoleId, VaultAuth};
use crate::domain::SecretBytes;

use aws::AwsIdentity;
pub use error::{IdentityError, IdentityFile, ProofError};

use file::FileError;
use protected::ProtectedFiles;

/// The proof of the workload's identity for one login.
#[derive(Debug)]
pub enum Proof {
    /// A token that another process created and keeps alive.
    Token(SecretBytes),
    /// A JWT, of a service account or of any issuer.
    Jwt {
        /// How the server verifies it.
        method: JwtMethod,
        /// The mount of the auth method, without `auth/`.
        mount: String,
        /// The Vault role.
        role: String,
        /// The JWT.
        token: SecretBytes,
    },
    /// AppRole's role ID and secret ID.
    AppRole {
        /// The mount of the auth method.
        mount: String,
        /// The role ID, which is not a secret.
        role_id: String,
        /// The secret ID; `None` for a role that needs none.
        secret_id: Option<SecretId>,
    },
    /// A TLS client certificate, presented in the handshake.
    Cert {
        /// The mount of the auth method.
        mount: String,
        /// The certificate role; `None` lets the server choose.
        role: Option<String>,
        /// Certificate and key.
        certificate: ClientCertificate,
    },
    /// A signed request to AWS, which Vault sends.
    Aws {
        /// The Vault role.
        role: String,
        /// The mount of the auth method.
        mount: String,
        /// The request.
        request: SignedRequest,
    },
}

/// How a JWT is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtMethod {
    /// By the cluster's TokenReview API.
    Kubernetes,
    /// By the issuer's keys.
    Jwt,
}

/// AppRole's secret ID.
#[derive(Debug)]
pub enum SecretId {
    /// The secret ID itself.
    Plain(SecretBytes),
    /// A response-wrapping token from which it is unwrapped, once.
    Wrapped(SecretBytes),
}

/// A certificate chain and its private key, both PEM.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The chain.
    pub chain: SecretBytes,
    /// The private key.
    pub key: SecretBytes,
}

impl ClientCertificate {
    /// Whether certificate and key are equal.
    pub fn is_same(&self, other: &Self) -> bool {
        self.chain.is_same(&other.chain) && self.key.is_same(&other.key)
    }

    /// An explicit copy.
    pub fn copy(&self) -> Self {
        Self { chain: SecretBytes::copy_of(self.chain.expose()), key: SecretBytes::copy_of(self.key.expose()) }
    }
}

/// A signed `GetCallerIdentity` request.
#[derive(Debug)]
pub struct SignedRequest {
    /// `POST`.
    pub method: String,
    /// The URL of the STS endpoint it was signed for.
    pub url: String,
    /// The form in the body.
    pub body: String,
    /// The signed headers, as a JSON object of names and lists of values.
    pub headers_json: SecretBytes,
}

impl fmt::Display for Proof {
    /// The login for messages: `jwt login (mount "jwt", role "web")`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, mount, role) = match self {
            Self::Token(_) => return f.write_str("the token of the token file"),
            Self::Jwt { method: JwtMethod::Kubernetes, mount, role, .. } => ("kubernetes", mount, Some(role)),
            Self::Jwt { method: JwtMethod::Jwt, mount, role, .. } => ("jwt", mount, Some(role)),
            Self::AppRole { mount, .. } => ("approle", mount, None),
            Self::Cert { mount, role, .. } => ("cert", mount, role.as_ref()),
            Self::Aws { mount, role, .. } => ("aws", mount, Some(role)),
        };
        write!(f, "{method} login (mount {mount:?}")?;
        role.map_or(Ok(()), |role| write!(f, ", role {role:?}"))?;
        f.write_str(")")
    }
}

/// Identity files as they were before privileges were dropped, in memory that is wiped.
///
/// A file is read again as long as that is possible; the preloaded content is used for files that cannot be read any
/// more: because only root may, or because a single-use secret ID was removed after it was written.
#[derive(Debug, Default)]
pub struct PreloadedFiles {
    files: Vec<(IdentityFile, PathBuf, SecretBytes)>,
    /// The files that none of the paths may lead to, now or at a later read.
    protected: ProtectedFiles,
}

impl PreloadedFiles {
    /// Drops each JWT and token whose file can be read with the current privileges: the next login reads it again, and
    /// the copy would be outdated. Secret IDs stay, because the file of a single-use one may be removed.
    pub fn forget_readable(&mut self) {
        self.files.retain(|(what, path, _)| {
            let is_read_again = matches!(what, IdentityFile::Jwt | IdentityFile::Token);
            !is_read_again || std::fs::File::open(path).is_err()
        });
    }
}

/// Reads every identity file of the auth method once. A file that does not exist yet is no error here, but it is in
/// [`proof`].
pub fn preload(auth: &VaultAuth, protected: ProtectedFiles) -> Result<PreloadedFiles, IdentityError> {
    let mut preloaded = PreloadedFiles { files: Vec::new(), protected };
    for (what, path) in files(auth) {
        match file::read_identity(path, &preloaded.protected) {
            Ok(bytes) => preloaded.files.push((what, path.to_owned(), bytes)),
            Err(error) if error.kind() == Some(io::ErrorKind::NotFound) => {}
            Err(error) => return Err(unreadable(what, path, &error)),
        }
    }
    Ok(preloaded)
}

/// The proof of identity for one login at `now`: from the files as they are now, or a request signed with AWS
/// credentials.
pub async fn proof(
    auth: &VaultAuth,
    preloaded: &PreloadedFiles,
    aws: &AwsIdentity,
    now: SystemTime,
) -> Result<Proof, ProofError> {
    if let VaultAuth::Aws { role, mount, server_id, region } = auth {
        let request = aws.signed_caller_identity(server_id.as_deref(), region.as_deref(), now).await?;
        return Ok(Proof::Aws { role: role.clone(), mount: mount.clone(), request });
    }
    Ok(from_files(auth, preloaded)?)
}

/// The current content of the token file; `None` for other methods, or when it cannot be read.
pub fn token_of_file(auth: &VaultAuth, preloaded: &PreloadedFiles) -> Option<SecretBytes> {
    let VaultAuth::TokenFile { path } = auth else { return None };
    graphic(IdentityFile::Token, path, preloaded).ok()
}

/// The proof of a method that reads files.
fn from_files(auth: &VaultAuth, preloaded: &PreloadedFiles) -> Result<Proof, IdentityError> {
    let jwt = |method, role: &String, mount: &String, path| {
        let token = graphic(IdentityFile::Jwt, path, preloaded)?;
        Ok(Proof::Jwt { method, mount: mount.clone(), role: role.clone(), token })
    };
    match auth {
        VaultAuth::Kubernetes { role, mount, token_file, audience: _ } => {
            jwt(JwtMethod::Kubernetes, role, mount, token_file)
        }
        VaultAuth::Jwt { role, mount, token_file, audience: _ } => jwt(JwtMethod::Jwt, role, mount, token_file),
        VaultAuth::AppRole { mount, role_id, secret_id_file, secret_id_wrapped } => Ok(Proof::AppRole {
            mount: mount.clone(),
            role_id: match role_id {
                RoleId::Text(text) => text.clone(),
                RoleId::File(path) => text(IdentityFile::RoleId, path, preloaded)?,
            },
            secret_id: match secret_id_file {
                None => None,
                Some(path) if *secret_id_wrapped => {
                    Some(SecretId::Wrapped(graphic(IdentityFile::WrappedSecretId, path, preloaded)?))
                }
                Some(path) => {
                    let id = text(IdentityFile::SecretId, path, preloaded)?;
                    Some(SecretId::Plain(SecretBytes::from(id)))
                }
            },
        }),
        VaultAuth::Cert { mount, role, cert_file, key_file } => Ok(Proof::Cert {
            mount: mount.clone(),
            role: role.clone(),
            certificate: ClientCertificate {
                chain: content(IdentityFile::Certificate, cert_file, preloaded)?,
                key: content(IdentityFile::Key, key_file, preloaded)?,
            },
        }),
        VaultAuth::TokenFile { path } => Ok(Proof::Token(graphic(IdentityFile::Token, path, preloaded)?)),
        VaultAuth::Aws { .. } => unreachable!("the aws method has no files: its request is signed"),
    }
}

/// The files of the auth method.
fn files(auth: &VaultAuth) -> Vec<(IdentityFile, &Path)> {
    match auth {
        VaultAuth::Kubernetes { token_file, .. } | VaultAuth::Jwt { token_file, .. } => {
            vec![(IdentityFile::Jwt, token_file)]
        }
        VaultAuth::AppRole { role_id, secret_id_file, .. } => {
            let role_id = match role_id {
                RoleId::Text(_) => None,
                RoleId::File(path) => Some((IdentityFile::RoleId, path.as_path())),
            };
            let secret_id = secret_id_file.as_deref().map(|path| (IdentityFile::SecretId, path));
            role_id.into_iter().chain(secret_id).collect()
        }
        VaultAuth::Cert { cert_file, key_file, .. } => {
            vec![(IdentityFile::Certificate, cert_file), (IdentityFile::Key, key_file)]
        }
        VaultAuth::TokenFile { path } => vec![(IdentityFile::Token, path)],
        VaultAuth::Aws { .. } => Vec::new(),
    }
}

/// The content of a file, or its preloaded content if it cannot be read any more.
fn content(what: IdentityFile, path: &Path, preloaded: &PreloadedFiles) -> Result<SecretBytes, IdentityError> {
    let bytes = match file::read_identity(path, &preloaded.protected) {
        Ok(bytes) => bytes,
        Err(error) => {
            let gone = matches!(error.kind(), Some(io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied));
            match preloaded.files.iter().find(|(_, known, _)| gone && known == path) {
                Some((.., bytes)) => SecretBytes::copy_of(bytes.expose()),
                None => return Err(unreadable(what, path, &error)),
            }
        }
    };
    if bytes.expose().trim_ascii().is_empty() {
        return Err(IdentityError::Empty { file: what, path: path.to_owned() });
    }
    Ok(bytes)
}

/// The content as one line of text, trimmed.
fn text(file: IdentityFile, path: &Path, preloaded: &PreloadedFiles) -> Result<String, IdentityError> {
    let bytes = content(file, path, preloaded)?;
    let malformed = |why| IdentityError::Malformed { file, path: path.to_owned(), why };
    let text = bytes.expose_text().ok_or_else(|| malformed("it is not text"))?.trim();
    if text.contains(char::is_control) {
        return Err(malformed("it has more than one line, or control characters"));
    }
    Ok(text.to_owned())
}

/// The content as a token, trimmed: visible ASCII, because it is sent in a header.
fn graphic(file: IdentityFile, path: &Path, preloaded: &PreloadedFiles) -> Result<SecretBytes, IdentityError> {
    let bytes = content(file, path, preloaded)?;
    let token = bytes.expose().trim_ascii();
    if !token.iter().all(u8::is_ascii_graphic) {
        let why = "a token has neither blanks nor control characters inside";
        return Err(IdentityError::Malformed { file, path: path.to_owned(), why });
    }
    Ok(SecretBytes::copy_of(token))
}

/// The error for a file that cannot be read.
fn unreadable(file: IdentityFile, path: &Path, error: &FileError) -> IdentityError {
    let path = path.to_owned();
    if error.kind() == Some(io::ErrorKind::NotFound) {
        return IdentityError::Missing { file, path };
    }
    IdentityError::Unreadable { file, path, why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config;
    use crate::domain::Exit;

    fn token_file(path: &Path) -> VaultAuth {
        VaultAuth::TokenFile { path: path.to_owned() }
    }

    fn token(auth: &VaultAuth, preloaded: &PreloadedFiles) -> Result<String, IdentityError> {
        match from_files(auth, preloaded)? {
            Proof::Token(token) => Ok(token.expose_text().unwrap().to_owned()),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_token_is_read_again_at_each_login_and_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let auth = token_file(&path);
        fs::write(&path, " s.one\n").unwrap();
        let preloaded = preload(&auth, ProtectedFiles::default()).unwrap();
        assert_eq!(token(&auth, &preloaded).unwrap(), "s.one");
        fs::write(&path, "s.two").unwrap();
        assert_eq!(token(&auth, &preloaded).unwrap(), "s.two");
    }

    #[test]
    fn a_login_file_that_is_led_into_the_state_after_the_start_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, state) = (folder.path().join("token"), folder.path().join("state"));
        fs::create_dir(&state).unwrap();
        for file in [&path, &state.join("state.json")] {
            fs::write(file, "s.one").unwrap();
        }
        let layers = config::Layers {
            environment: &[],
            annotations: None,
            file: None,
            flags: &[],
            wraps: config::Wraps::Nothing,
        };
        let mut config = config::resolve(&layers).unwrap();
        config.process.state = state.clone();
        let preloaded = preload(&token_file(&path), ProtectedFiles::of(&config, None, Vec::new())).unwrap();
        assert_eq!(token(&token_file(&path), &preloaded).unwrap(), "s.one");
        for target in [state.join("state.json"), "/proc/self/status".into(), "/sys/kernel/uevent_seqnum".into()] {
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(&target, &path).unwrap();
            let error = token(&token_file(&path), &preloaded).unwrap_err().to_string();
            assert!(error.contains("name another file"), "{target:?}: {error}");
        }
    }

    #[test]
    fn a_secret_id_that_was_removed_after_the_start_is_still_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret-id");
        fs::write(&path, "once\n").unwrap();
        let auth = VaultAuth::AppRole {
            mount: "approle".into(),
            role_id: RoleId::Text("r".into()),
            secret_id_file: Some(path.clone()),
            secret_id_wrapped: false,
        };
        let preloaded = preload(&auth, ProtectedFiles::default()).unwrap();
        fs::remove_file(&path).unwrap();
        let Proof::AppRole { secret_id: Some(SecretId::Plain(id)), .. } = from_files(&auth, &preloaded).unwrap() else {
            panic!("no plain secret id");
        };
        assert_eq!(id.expose(), b"once");
        let error = from_files(&auth, &PreloadedFiles::default()).unwrap_err();
        assert_eq!(error.exit(), Exit::Denied);
        assert!(error.to_string().ends_with("does not exist; put it there or set vault.auth.secretIdFile"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_no_failure_before_the_login() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let preloaded = preload(&token_file(&path), ProtectedFiles::default()).unwrap();
        let error = token(&token_file(&path), &preloaded).unwrap_err();
        assert_eq!(error, IdentityError::Missing { file: IdentityFile::Token, path });
    }

    #[test]
    fn what_is_no_token_is_said_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (content, expected) in [
            (&b" \n"[..], "is empty"),
            (b"canary canary", "neither blanks"),
            (b"canary\ncanary", "neither blanks"),
            (b"\xff\xfe", "neither blanks"),
        ] {
            fs::write(&path, content).unwrap();
            let error = token(&token_file(&path), &PreloadedFiles::default()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("canary"), "{error}");
        }
        fs::write(&path, vec![b'x'; 2 << 20]).unwrap();
        let error = token(&token_file(&path), &PreloadedFiles::default()).unwrap_err().to_string();
        assert!(error.ends_with("cannot be read: it is larger than 1 MiB"), "{error}");
        let error = token(&token_file(folder.path()), &PreloadedFiles::default()).unwrap_err().to_string();
        assert!(error.ends_with("cannot be read: it is a directory; name a file in it"), "{error}");
    }

    #[test]
    fn a_pair_stays_as_it_is_and_debug_shows_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (cert_file, key_file) = (folder.path().join("c"), folder.path().join("k"));
        fs::write(&cert_file, "chain-canary\n").unwrap();
        fs::write(&key_file, "key-canary\n").unwrap();
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o400)).unwrap();
        let auth = VaultAuth::Cert { mount: "cert".into(), role: Some("web".into()), cert_file, key_file };
        let (preloaded, proof) = (
            preload(&auth, ProtectedFiles::default()).unwrap(),
            from_files(&auth, &PreloadedFiles::default()).unwrap(),
        );
        assert_eq!(proof.to_string(), r#"cert login (mount "cert", role "web")"#);
        let shown = format!("{preloaded:?} {proof:?}");
        assert!(!shown.contains("canary"), "{shown}");
        let Proof::Cert { certificate, .. } = proof else { panic!("no certificate") };
        assert_eq!(certificate.key.expose(), b"key-canary\n");
    }
}
