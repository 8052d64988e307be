//! Where Secrets Manager is, if the environment names a place other than AWS's own.

/// The variable that sets an address of Secrets Manager other than AWS's, and the address, if there is one. `variable` returns
/// the value of an environment variable.
pub fn secrets_manager_endpoint<V: AsRef<str>>(variable: impl Fn(&str) -> Option<V>) -> Option<(&'static str, V)> {
    let value = |name| variable(name).filter(|value| !value.as_ref().trim().is_empty());
    if value("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|word| word.as_ref().eq_ignore_ascii_case("true")) {
        return None;
    }
    let names = ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"];
    names.into_iter().find_map(|name| Some((name, value(name)?)))
}
