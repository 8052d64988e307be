//! Says who was denied what, and by which kind of policy. Of the service's message only an ARN and known phrases are used.

/// The kinds of policies that a denial names: one that allows nothing, or that denies explicitly.
const KINDS: [&str; 7] = [
    "identity-based policy",
    "resource-based policy",
    "VPC endpoint policy",
    "session policy",
    "permissions boundary",
    "service control policy",
    "resource control policy",
];

/// Completes "permission denied": the principal, and what to do.
pub(super) fn explain(message: &str, action: &str, id: &str) -> String {
    let who = principal(message).map(|who| format!(" to {who}")).unwrap_or_default();
    let is_of_key = message.contains("kms:") || message.contains("KMS");
    let (action, on) = if is_of_key { ("kms:Decrypt", "the secret's key") } else { (action, id) };
    let has = |start: &str, kind: &&&str| message.contains(&format!("{start}{kind}"));
    let denies = KINDS.iter().find(|kind| has("explicit deny in a ", kind) || has("explicit deny in an ", kind));
    let lacks = KINDS.iter().skip(1).find(|kind| has("no ", kind));
    let rest = match (denies, lacks) {
        (Some(kind), _) => format!("a statement of the {kind} denies {action} on {on}, whatever others allow"),
        (None, Some(kind)) => format!("the {kind} has to allow {action} on {on}"),
        (None, None) if is_of_key => format!("the policy needs {action} on {on}, or the key's policy has to allow it"),
        (None, None) => format!(
            "the policy needs {action} on {on}, and kms:Decrypt on its key where that is not aws/secretsmanager"
        ),
    };
    format!("{who}: {rest}")
}

/// The principal that was refused, from `User: ARN is not authorized to perform: …`.
fn principal(message: &str) -> Option<&str> {
    let (arn, _) = message.strip_prefix("User: ")?.split_once(' ')?;
    let is_arn = arn.starts_with("arn:aws") && arn.len() <= 2048;
    (is_arn && arn.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/+=,.@_-".contains(&byte))).then_some(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_that_denies_is_named_and_the_key_where_it_is_about_that() {
        let user = "User: arn:aws:iam::1:user/x is not authorized to perform:";
        for (message, says) in [
            ("", "the policy needs secretsmanager:GetSecretValue on prod/db, and kms:Decrypt on its key"),
            ("Access to KMS is not allowed", ": the policy needs kms:Decrypt on the secret's key, or the key's"),
            (
                &format!(
                    "{user} kms:Decrypt on resource: arn:aws:kms:r:1:key/k because no resource-based policy allows it"
                ),
                "to arn:aws:iam::1:user/x: the resource-based policy has to allow kms:Decrypt on the secret's key",
            ),
            (
                &format!("{user} x because no identity-based policy allows the x action"),
                ": the policy needs secretsmanager",
            ),
            (
                &format!("{user} x because no VPC endpoint policy allows the x action"),
                ": the VPC endpoint policy has to allow",
            ),
            (
                &format!("{user} x with an explicit deny in a service control policy: arn:aws:canary"),
                ": a statement of the service control policy denies secretsmanager:GetSecretValue on prod/db",
            ),
            (
                &format!("{user} x with an explicit deny in an identity-based policy"),
                ": a statement of the identity-based",
            ),
        ] {
            let said = explain(message, "secretsmanager:GetSecretValue", "prod/db");
            assert!(said.contains(says) && !said.contains("canary"), "{said}");
        }
    }
}
