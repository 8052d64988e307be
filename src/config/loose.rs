//! Values that may be references or secrets: characters that may surround them, and errors that do not quote them.

use crate::domain::ReferenceError;

/// Whether a character may surround a reference by accident: white space, quotes that docker's `--env-file` keeps, a
/// byte order mark, zero-width characters, and the replacement character for bytes that are not UTF-8.
pub(super) fn is_around(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "\"'`“”‘’\u{feff}\u{200b}\u{2060}\u{fffd}".contains(c)
}

/// The error's text without the parts of the value that some errors quote.
pub(super) fn without_quotes(error: &ReferenceError) -> String {
    use ReferenceError as E;
    match error {
        E::UnknownParameter(_) => "it has an unknown parameter; expected stage, version or role".to_owned(),
        E::RepeatedParameter(_) => "duplicate parameter".to_owned(),
        E::NearVersion(_) => "it has a parameter that is near version (did you mean version?)".to_owned(),
        E::UnknownScheme { .. } | E::UnknownName { .. } | E::KeyOfKey(_) => "it is none we know".to_owned(),
        E::Empty
        | E::BankVaults(_)
        | E::EmptyKey
        | E::EmptyPath
        | E::Slash(_)
        | E::Url
        | E::Component
        | E::ApiVersion
        | E::Percent(_)
        | E::WhiteSpace(_)
        | E::Control
        | E::Version
        | E::NamelessParameter
        | E::VersionAndWrite
        | E::Arn
        | E::TwoKeys
        | E::RelativeFile => error.to_string(),
    }
}
