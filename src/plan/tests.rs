use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::config::{Flag, Layers, Wraps, resolve};
use crate::domain::{Fetched, Payload};

/// The plan of a configuration that these flags say.
pub(crate) fn plan_of(flags: &[(&str, &str)]) -> Plan {
    let login = [("--set", "vault.address=https://v"), ("--set", "vault.auth.method=kubernetes")];
    let role = [("--set", "vault.auth.role=web")];
    let flags: Vec<Flag> =
        login.iter().chain(&role).chain(flags).map(|(name, value)| Flag::new(*name, *value)).collect();
    let layers = Layers { environment: &[], annotations: None, file: None, flags: &flags, wraps: Wraps::Command };
    let config = resolve(&layers).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    Plan::make(&config, &ProtectedFiles::of(&config, None, Vec::new()))
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The source that a reference names.
pub(crate) fn source_of(text: &str) -> Source {
    SecretRef::parse(text, &BTreeMap::new()).unwrap().source
}

/// A value without a lease: a map.
pub(crate) fn value_of(json: &str) -> Fetched {
    let payload = Payload::Map(crate::domain::SecretMap::from_json(json.as_bytes()).unwrap());
    Fetched { payload, version: None, lease: None, ends: None, metadata: None }
}

#[test]
fn a_source_is_fetched_once_and_named_as_it_was_written() {
    let plan = plan_of(&[
        ("--file", "a=vault:secret/data/x#k"),
        ("--file", "b=vault:secret/data/x#k"),
        ("--env", "C=vault:secret/data/y#one"),
        ("--file", "d=vault:secret/data/y#two"),
    ]);
    let shown: Vec<_> = plan.sources.iter().map(|planned| planned.shown.as_str()).collect();
    assert_eq!(shown, ["vault:secret/data/x#k", "vault:secret/data/y"]);
    assert_eq!(plan.sources[0].uses, ["file a", "file b"]);
    assert_eq!(plan.sources[1].uses, ["file d", "env C"], "files come before variables");
    let environment = plan.environment_sources();
    assert_eq!(environment, [&source_of("vault:secret/data/y")]);
    let used = plan.used_of(&plan.sources[1].source);
    assert_eq!(used, [[Step::Key("two".to_owned())], [Step::Key("one".to_owned())]]);
}

#[test]
fn a_value_that_lacks_a_key_is_named_and_one_that_is_missing_is_not() {
    let plan = plan_of(&[("--file", "a=vault:secret/data/x#k"), ("--file", "b=vault:secret/data/y#k")]);
    let fetches = Fetches::from([(source_of("vault:secret/data/x"), value_of(r#"{"other":"canary"}"#))]);
    let problems = plan.unusable(&fetches, RenderLimit::after(Duration::ZERO));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].text.starts_with("cannot write file a: ") && !problems[0].text.contains("canary"));
}
