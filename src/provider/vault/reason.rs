//! The server's own reason for a refusal, sanitised: it keeps common words of error messages and words of the requested
//! path; everything else, which may quote a value, becomes an ellipsis.

use serde::Deserialize;

use super::answer::Answer;

/// The longest reason that is shown.
const MOST_CHARS: usize = 240;

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<String>,
}

/// The first reason in a response to a request for `path`, sanitised; `None` when too little of it can be shown.
pub(super) fn cleaned(answer: &Answer, path: &str) -> Option<String> {
    let Errors { errors } = serde_json::from_slice(answer.body.expose()).ok()?;
    let lines = errors.iter().flat_map(|error| error.lines()).map(|line| line.trim_start_matches(['\t', ' ', '*']));
    let text = { lines }.find(|line| !line.is_empty() && !line.ends_with("occurred:"))?;
    let own: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut shown: Vec<&str> = Vec::new();
    let (mut known, mut unknown) = (0_usize, 0_usize);
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| "'\"`.,;:()[]?!".contains(c));
        if own.contains(&bare) || is_common(bare) {
            known = known.saturating_add(1);
            shown.push(word);
        } else {
            unknown = unknown.saturating_add(1);
            if shown.last() != Some(&"…") {
                shown.push("…");
            }
        }
    }
    let is_enough = known >= 2 && known > unknown;
    let whole = shown.join(" ");
    let mut shown: String = whole.chars().take(MOST_CHARS).collect();
    if shown.len() < whole.len() {
        // Cut at a word boundary.
        shown.truncate(shown.rfind(' ').unwrap_or(shown.len()));
        shown.push_str(" …");
    }
    is_enough.then(|| shown.trim_end_matches(['.', ' ', ';', ',']).to_owned())
}

/// Whether all parts of a word are in [`COMMON`].
fn is_common(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    // `per-request`, `public_key`, `x509/ca`
    word.split(['-', '_', '/']).all(|part| COMMON.binary_search(&part).is_ok())
}

/// The common words of servers' error messages, sorted.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "", "a", "above", "absent", "accepted", "access", "account", "accounts", "active", "add", "additional", "address",
    "after", "algorithm", "alias", "all", "allow", "allowed", "already", "alternative", "an", "and", "any", "api", "are",
    "argument", "as", "associated", "at", "attribute", "attributes", "audience", "auth", "authority", "authorized",
    "available", "backend", "bad", "base", "base64", "batch", "be", "because", "been", "before", "below", "between", "bits",
    "block", "body", "both", "bound", "but", "by", "bytes", "ca", "can't", "cannot", "certificate", "chain", "characters",
    "cidr", "cipher", "ciphertext", "claim", "cluster", "code", "common", "config", "configuration", "configured",
    "connection", "constraint", "constraints", "contain", "contains", "context", "convergent", "convert", "converted",
    "converting", "could", "create", "created", "creation", "credential", "credentials", "critical", "csr", "current",
    "data", "database", "decode", "decoding", "decrypt", "decryption", "default", "defined", "deleted", "deletion", "denied",
    "deprecated", "derivation", "derived", "destroyed", "did", "digest", "disabled", "disallowed", "dns", "do", "does",
    "doesn't", "domain", "domains", "duration", "during", "either", "email", "empty", "enabled", "encoded", "encountered",
    "encrypt", "encryption", "enforced", "engine", "entity", "entry", "error", "evaluate", "exceed", "exceeds", "exist",
    "existing", "exists", "expected", "expects", "expiration", "expired", "expiry", "exportable", "exported", "extension",
    "extensions", "failed", "failure", "false", "field", "fields", "file", "find", "for", "format", "found", "from",
    "generate", "generating", "get", "given", "greater", "group", "groups", "handler", "has", "hash", "have", "header",
    "hmac", "host", "hostname", "id", "identifier", "identifiers", "identity", "if", "illegal", "in", "include", "included",
    "incorrect", "index", "information", "initialized", "input", "instead", "integer", "invalid", "ip", "is", "isn't",
    "issue", "issuer", "issuers", "issuing", "it", "its", "json", "key", "keys", "larger", "lease", "least", "length",
    "less", "limit", "list", "listed", "longer", "marshal", "match", "matches", "matching", "max", "maximum", "means",
    "metadata", "method", "min", "minimum", "mismatch", "missing", "mode", "more", "mount", "mounted", "must", "name",
    "names", "namespace", "need", "needs", "negative", "neither", "no", "non", "nonce", "nor", "not", "number", "numeric",
    "of", "on", "one", "only", "operation", "operations", "option", "options", "or", "order", "other", "out", "output",
    "parameter", "parameters", "parse", "parsed", "parsing", "password", "path", "pem", "per", "perform", "performed",
    "permission", "permitted", "plaintext", "plugin", "policies", "policy", "positive", "prefix", "principal", "principals",
    "private", "processing", "provide", "provided", "public", "query", "quota", "range", "rate", "read", "received",
    "recognized", "registered", "renewable", "request", "requested", "requests", "require", "required", "requires",
    "restricted", "retrieve", "retrieving", "returned", "role", "roles", "root", "rotation", "route", "same", "san", "sans",
    "satisfied", "schema", "secret", "secrets", "serial", "server", "service", "set", "sha1", "sha2", "should", "sign",
    "signature", "signed", "signing", "single", "size", "specified", "specify", "ssh", "state", "static", "storage",
    "string", "subject", "support", "supported", "syntax", "table", "template", "than", "that", "the", "there", "this",
    "time", "timestamp", "to", "token", "too", "true", "ttl", "type", "types", "unable", "unavailable", "undefined",
    "unexpected", "unknown", "unmarshal", "unrecognized", "unsupported", "until", "update", "upper", "uri", "use", "used",
    "user", "username", "usernames", "users", "using", "valid", "validate", "validating", "validation", "validity", "value",
    "values", "verification", "verify", "verifying", "version", "versions", "was", "were", "when", "where", "which", "will",
    "with", "within", "without", "write", "wrong", "you", "your", "zero",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SecretBytes;

    fn of(error: &str, path: &str) -> Option<String> {
        let body = serde_json::json!({ "errors": [error] }).to_string();
        cleaned(&Answer { status: 400, retry_after: None, body: SecretBytes::from(body) }, path)
    }

    #[test]
    fn the_words_are_sorted() {
        assert!(COMMON.is_sorted());
    }

    #[test]
    fn a_sentence_of_known_words_and_of_the_path_is_shown() {
        for (error, path, shown) in [
            ("Unknown role: nope", "ssh/sign/nope", "Unknown role: nope"),
            ("unknown key: nope", "totp/code/nope", "unknown key: nope"),
            ("missing public_key", "ssh/sign/web", "missing public_key"),
            ("key type aes256-gcm96 does not support signing", "transit/sign/k", "key type … does not support signing"),
            (
                "Field validation failed: error converting input hunter2 for field \"ttl\": time: invalid duration \"zz\"",
                "pki/issue/web",
                "Field validation failed: error converting input … for field \"ttl\": time: invalid duration …",
            ),
            (
                "1 error occurred:\n\t* missing 'context' for key derivation\n\n",
                "x",
                "missing 'context' for key derivation",
            ),
        ] {
            assert_eq!(of(error, path).as_deref(), Some(shown), "{error}");
        }
    }

    #[test]
    fn what_may_be_a_value_is_not_shown() {
        for error in ["canary", "canary hunter", "invalid canary", "hunter2 is the password", "", "://canary:pw@host"] {
            assert!(!of(error, "kv/data/a").unwrap_or_default().contains("canary"), "{error}");
            assert!(!of(error, "kv/data/a").unwrap_or_default().contains("hunter"), "{error}");
        }
        let cut = of(&"missing key ".repeat(100), "x").unwrap();
        assert!(cut.chars().count() <= MOST_CHARS + 2 && cut.ends_with("key …") | cut.ends_with("missing …"), "{cut}");
    }
}
