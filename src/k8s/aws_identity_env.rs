//! Finds the AWS identity that a pod's app containers have, for the injected container.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pod::{Container, Pod};
use super::request::InjectionRequest;

/// The last entry of each name, in order: kubelet uses the last one.
fn last_of_each(named: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<_> = named.into_iter().rev().filter(|(name, _)| seen.insert(name.clone())).collect();
    kept.reverse();
    kept
}

/// Variables (by name) and mounts (by path) of an AWS identity, copied from an app container.
#[derive(Debug, Default)]
pub(super) struct AwsIdentityEnv {
    pub(super) env: Vec<(String, Value)>,
    pub(super) mounts: Vec<(String, Value)>,
}

/// The most mounts of AWS identity tokens that are copied; platforms have one.
const MAX_TOKEN_MOUNTS: usize = 8;

/// The AWS identity that another webhook or the author gave an app container (IRSA or EKS Pod Identity), for
/// the injected container.
pub(super) fn find(value: &Value, pod: &Pod, request: &InjectionRequest) -> AwsIdentityEnv {
    const VARIABLES: [&str; 10] = [
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ];
    const TOKENS: [&str; 2] = ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"];
    if !request.identity.needs_aws || request.mode.wraps() {
        return AwsIdentityEnv::default();
    }
    let identified = |c: &&(usize, &Container)| TOKENS.iter().any(|name| c.1.has_variable(name));
    let apps: Vec<(usize, &Container)> = pod.containers.iter().enumerate().collect();
    let named = apps.iter().find(|c| identified(c) && request.targets.contains(&c.1.name));
    let Some((index, _)) = named.or_else(|| apps.iter().find(identified)) else {
        return AwsIdentityEnv::default();
    };
    let list = |key: &str| {
        let found = value.pointer(&format!("/spec/containers/{index}/{key}"));
        found.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let env = list("env").into_iter().map(|variable| (text(&variable, "name"), variable));
    let env = last_of_each(env.filter(|(name, _)| VARIABLES.contains(&name.as_str())).collect());
    let files: Vec<&str> = env
        .iter()
        .filter(|(name, _)| TOKENS.contains(&name.as_str()))
        .filter_map(|(_, variable)| variable.get("value").and_then(Value::as_str))
        .collect();
    // A mount without a name is invalid, and would be copied again each time.
    let mounts = list("volumeMounts").into_iter().filter(|mount| !text(mount, "name").is_empty());
    let mounts = mounts.map(|mount| (text(&mount, "mountPath"), mount));
    let holds = |path: &str| {
        let below =
            |file: &&str| file.strip_prefix(path.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'));
        path.len() > 1 && files.iter().any(below)
    };
    let mut mounts = last_of_each(mounts.filter(|(path, _)| holds(path)).collect());
    mounts.truncate(MAX_TOKEN_MOUNTS);
    AwsIdentityEnv { env, mounts }
}
