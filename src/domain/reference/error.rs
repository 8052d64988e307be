//! Why a reference is refused.

/// Why a reference is refused: what is wrong and what was expected. Quotes only text of the config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text is empty.
    #[error("is empty; expected vault:PATH, aws-sm:NAME, arn:aws…, file:PATH or a name from `secrets`")]
    Empty,
    /// `>>vault:PATH#…`, `${vault:PATH#KEY}`.
    #[error("this is bank-vaults' language: {0}")]
    BankVaults(&'static str),
    /// An unknown scheme, `xyz:…`.
    #[error("unknown scheme {scheme:?}; expected vault:, aws-sm:, arn:aws… or file:{}", did_you_mean(.nearest))]
    UnknownScheme {
        /// The text before the first colon.
        scheme: String,
        /// The scheme that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A bare name that `secrets` does not have.
    #[error("no entry {name:?} under `secrets`{}", known_names(.known))]
    UnknownName {
        /// The name.
        name: String,
        /// The existing names.
        known: Vec<String>,
    },
    /// A named secret that already has a key, referred to with another key.
    #[error("{0:?} under `secrets` already names a key, so it has no key of its own")]
    KeyOfKey(String),
    /// `#` with nothing after it.
    #[error("nothing after \"#\"; expected a key, or leave the \"#\" out for the whole secret")]
    EmptyKey,
    /// `vault:` with nothing after it.
    #[error("the path is empty")]
    EmptyPath,
    /// `/` at an end of the path.
    #[error("the path has a \"/\" at its {0}; leave it out")]
    Slash(&'static str),
    /// `aws-sm://NAME`.
    #[error("the name starts with \"//\", as in a URL; write aws-sm:NAME#KEY, without the slashes")]
    Url,
    /// `//`, `.` or `..` inside the path.
    #[error("the path has a component that is empty, \".\" or \"..\"")]
    Component,
    /// A path that starts with `v1/`.
    #[error("the path starts with \"v1/\"; give the logical path, as in `vault read`")]
    ApiVersion,
    /// A percent sign that is not an allowed escape.
    #[error(
        "a \"%\" in the {0} that is no percent-encoding; in a path only %3F, %23 and %25 are, anything else is written as it is"
    )]
    Percent(&'static str),
    /// White space at the start or end.
    #[error("has white space {0}; leave it out")]
    WhiteSpace(&'static str),
    /// A control character.
    #[error("has a control character (a line end, perhaps); leave it out")]
    Control,
    /// `version=` with something other than a number from 1 up.
    #[error("version must be a number from 1 up")]
    Version,
    /// A parameter given twice.
    #[error("duplicate parameter {0:?}")]
    RepeatedParameter(String),
    /// A parameter without a name.
    #[error("a parameter without a name; expected name=value")]
    NamelessParameter,
    /// `version` next to write parameters.
    #[error("version reads an old version and cannot stand with other parameters, which would make it a write")]
    VersionAndWrite,
    /// A parameter that is probably a misspelled `version`: sent as it is, it would make the request a write.
    #[error("parameter {0:?}: did you mean version? Any other parameter makes it a write")]
    NearVersion(String),
    /// A parameter that Secrets Manager references do not have.
    #[error("unknown parameter {0:?}; expected stage, version or role")]
    UnknownParameter(String),
    /// The ARN of something else, or an incomplete one.
    #[error(
        "not the ARN of a secret; expected arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME[:json-key:stage:version]"
    )]
    Arn,
    /// A key in the ARN and one after `#`.
    #[error("names a key twice: in the ARN and after \"#\"")]
    TwoKeys,
    /// `file:` with a relative path.
    #[error("a file: reference needs an absolute path")]
    RelativeFile,
}

/// A suffix for an unknown scheme: ` (did you mean SCHEME?)`, or nothing.
pub(super) fn did_you_mean(scheme: &Option<&'static str>) -> String {
    scheme.map(|scheme| format!(" (did you mean {scheme}?)")).unwrap_or_default()
}

/// A suffix for an unknown name: the names under `secrets`.
pub(super) fn known_names(known: &[String]) -> String {
    if known.is_empty() { ", which is empty".to_owned() } else { format!("; it has {}", known.join(", ")) }
}
