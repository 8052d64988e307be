//! Generates the least privileges that a plan needs: a Vault policy and an IAM policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::config::{Config, VaultAuth};
use crate::domain::{AwsSource, Source, VaultOperation};

use super::Plan;

/// Both policies as text. Comments in it say what else a backend may need.
pub(crate) fn least(config: &Config, plan: &Plan) -> String {
    let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
    let mut secrets: Vec<&AwsSource> = Vec::new();
    for planned in &plan.sources {
        match &planned.source {
            Source::Vault(source) => {
                let capability = match source.operation {
                    VaultOperation::Read { .. } => "read",
                    VaultOperation::Write(_) => "update",
                };
                paths
                    .entry(&source.path)
                    .and_modify(|known| {
                        if *known != capability {
                            *known = "read\", \"update";
                        }
                    })
                    .or_insert(capability);
            }
            Source::Aws(source) => secrets.push(source),
            Source::File(_) => {}
        }
    }
    let mut out = String::new();
    if !paths.is_empty() {
        vault(&mut out, config, &paths);
    }
    if let Some(planned) = plan.sources.iter().find(|planned| plan.may_lack_data(planned)) {
        let _ = writeln!(
            out,
            "# Where a mount is KV version 2, a Go template's path without data/ is read with it, and the policy needs that path\n\
             # (MOUNT/data/...) instead: {} may be one.",
            planned.shown
        );
    }
    if !secrets.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        iam(&mut out, config, &secrets);
    }
    if plan.computes() {
        out.push_str(
            "# A template computes further paths from values: check --online names them, and they need read, too.\n",
        );
    }
    if out.is_empty() {
        out.push_str("# nothing is read from a backend\n");
    }
    out
}

/// Appends the Vault policy.
fn vault(out: &mut String, config: &Config, paths: &BTreeMap<&str, &str>) {
    out.push_str("# Vault/OpenBao policy (HCL). The default policy lets a token renew and revoke itself.\n");
    for (path, capability) in paths {
        let path = path.replace('\\', "\\\\").replace('"', "\\\"");
        // Writing to a String cannot fail.
        let _ = writeln!(out, "path \"{path}\" {{ capabilities = [\"{capability}\"] }}");
    }
    let foreign_token =
        config.backends.vault.as_ref().is_some_and(|v| matches!(v.auth, Some(VaultAuth::TokenFile { .. })));
    if foreign_token {
        out.push_str("# Under a token that is not ours each lease is revoked by itself:\n");
        out.push_str("path \"sys/leases/revoke\" { capabilities = [\"update\"] }\n");
    }
}

/// Appends the IAM policy.
fn iam(out: &mut String, config: &Config, secrets: &[&AwsSource]) {
    let resources: BTreeSet<String> =
        secrets.iter().flat_map(|source| resources(source, config.backends.aws.region.as_deref())).collect();
    let mut statements = vec![serde_json::json!({
        "Effect": "Allow",
        "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
        "Resource": resources,
    })];
    if secrets.len() > 1 {
        // BatchGetSecretValue has no resource level; it reads only what GetSecretValue allows
        // (docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html).
        statements.push(serde_json::json!({
            "Effect": "Allow", "Action": ["secretsmanager:BatchGetSecretValue"], "Resource": "*",
        }));
    }
    let own = secrets.iter().filter_map(|source| source.role.clone());
    let roles: BTreeSet<String> =
        own.chain(config.backends.aws.assume_role.iter().map(|role| role.arn.clone())).collect();
    if !roles.is_empty() {
        out.push_str(
            "# The statements on secrets belong to the assumed roles, sts:AssumeRole to the workload's own identity.\n",
        );
        statements.push(serde_json::json!({ "Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": roles }));
    }
    let document = serde_json::json!({ "Version": "2012-10-17", "Statement": statements });
    out.push_str("# IAM policy. A secret under a key of your own needs kms:Decrypt on that key too.\n");
    out.push_str(&serde_json::to_string_pretty(&document).expect("a JSON value prints"));
    out.push('\n');
}

/// The ARNs of a secret in the policy. IAM compares them with the full one, so that one without the six characters that
/// Secrets Manager appends, and a name, have a pattern for these. An end that may be either is there in both forms.
fn resources(source: &AwsSource, configured_region: Option<&str>) -> Vec<String> {
    if source.id.starts_with("arn:") {
        let end = source.id.rsplit_once('-').map(|(_, end)| end).filter(|end| end.len() == 6).unwrap_or_default();
        let is_end = !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_word = end.bytes().all(|byte| byte.is_ascii_lowercase());
        let own = is_end.then(|| source.id.clone());
        let longer = (!is_end || is_word).then(|| format!("{}-??????", source.id));
        return own.into_iter().chain(longer).collect();
    }
    let region = source.region.as_deref().or(configured_region).unwrap_or("REGION");
    let partition = partition(region);
    vec![format!("arn:{partition}:secretsmanager:{region}:ACCOUNT:secret:{}-??????", source.id)]
}

/// The partition of a region.
fn partition(region: &str) -> &'static str {
    const BY_START: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
    ];
    BY_START.iter().find(|(start, _)| region.starts_with(start)).map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arns_of_the_policy_match_the_full_arn_of_the_secret() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db";
        let of = |id: &str, region: Option<&str>| {
            let region = region.map(str::to_owned);
            let source = AwsSource { id: id.to_owned(), region, stage: None, version: None, role: None };
            resources(&source, None)
        };
        assert_eq!(of(&format!("{arn}-AbCdE1"), None), [format!("{arn}-AbCdE1")]);
        assert_eq!(of(arn, None), [format!("{arn}-??????")]);
        assert_eq!(of(&format!("{arn}-master"), None), [format!("{arn}-master"), format!("{arn}-master-??????")]);
        for (region, partition) in [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")] {
            let wanted = format!("arn:{partition}:secretsmanager:{region}:ACCOUNT:secret:db-??????");
            assert_eq!(of("db", Some(region)), [wanted]);
        }
    }
}
