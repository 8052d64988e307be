//! Parses single values such as durations and sizes. Errors state what was expected, and quote no value.

use std::path::PathBuf;
use std::time::Duration;

use super::model::Inherit;

/// The error message: what was expected.
pub(super) type Expected = String;

/// The longest duration.
const LONGEST: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// The largest size.
const LARGEST: u64 = 1 << 40;

/// Parses a duration such as `500ms`, `60s`, `5m`, `1h30m`, `1d`: units in descending order, each at most once.
pub fn duration(text: &str) -> Result<Duration, Expected> {
    const EXPECTED: &str = "expected a duration with its unit, such as 500ms, 60s, 5m, 1h30m or 1d";
    const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("a number without a unit; {}", EXPECTED));
    }
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let place = units.iter().position(|(name, _)| *name == unit).ok_or(EXPECTED)?;
        let number: u64 = number.parse().map_err(|_| EXPECTED)?;
        total = number.checked_mul(units[place].1).and_then(|part| total.checked_add(part)).ok_or(EXPECTED)?;
        units = &units[place + 1..];
        rest = tail;
    }
    match Duration::from_millis(total) {
        _ if text.is_empty() => Err(EXPECTED.to_owned()),
        Duration::ZERO => Err("must be longer than 0".to_owned()),
        total if total > LONGEST => Err("is longer than 10 years".to_owned()),
        total => Ok(total),
    }
}

/// Parses the percentage of a TTL after which it is renewed, such as `66%`.
pub(super) fn renewal_at(text: &str) -> Result<u8, Expected> {
    percent(text, 30, 80)
}

/// Parses the largest percentage that jitter takes off, such as `10%`.
pub(super) fn renewal_jitter(text: &str) -> Result<u8, Expected> {
    percent(text, 5, 20)
}

/// Parses the longest hand-over window.
pub(super) fn hand_over(text: &str) -> Result<Duration, Expected> {
    let fits = |time: &Duration| (Duration::from_secs(10)..=Duration::from_secs(3600)).contains(time);
    Some(duration(text)?).filter(fits).ok_or_else(|| "expected a duration from 10s to 1h".to_owned())
}

/// Parses a percentage within bounds.
fn percent(text: &str, least: u8, most: u8) -> Result<u8, Expected> {
    let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("expected a share of its life from {least}% to {most}%"))
}

/// Parses a size in bytes: `8Mi`, `512Ki`, `1Gi`, or a plain number.
pub(super) fn size(text: &str) -> Result<u64, Expected> {
    const EXPECTED: &str = "expected a size, such as 8Mi, 512Ki, 1Gi or a number of bytes";
    let (number, unit) = ["Ki", "Mi", "Gi"]
        .into_iter()
        .zip([1 << 10, 1 << 20, 1 << 30])
        .find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number, unit)))
        .unwrap_or((text, 1_u64));
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(EXPECTED.to_owned());
    }
    let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or(EXPECTED)?;
    match size {
        0 => Err("must be more than 0".to_owned()),
        _ if size > LARGEST => Err("is more than 1024Gi".to_owned()),
        _ => Ok(size),
    }
}

/// Parses `true` or `false` (`yes` is a string, as in YAML 1.2).
pub(super) fn boolean(text: &str) -> Result<bool, Expected> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Validates a string for use in a header: no control characters, no white space at its ends.
pub(super) fn plain(text: &str) -> Result<String, Expected> {
    if text.is_empty() {
        return Err("is empty; expected a text, or leave the key out".to_owned());
    }
    if text.contains(char::is_control) || text.trim() != text {
        return Err("has a control character or white space at an end".to_owned());
    }
    Ok(text.to_owned())
}

/// Validates a string for an HTTP header that is signed: ASCII only, no control characters, no white space at its ends.
pub(super) fn header(text: &str) -> Result<String, Expected> {
    let text = plain(text)?;
    if text.is_ascii() { Ok(text) } else { Err("has a character that no header can carry; expected ASCII".to_owned()) }
}

/// Parses a gid other than 0.
pub(super) fn gid(text: &str) -> Result<u32, Expected> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    let gid = text.parse().ok().filter(|gid| is_number && (1..u32::MAX).contains(gid));
    gid.ok_or_else(|| "expected a gid that is not 0, such as 64123".to_owned())
}

/// Validates a path. Relative paths start at the working directory.
pub(super) fn path(text: &str) -> Result<PathBuf, Expected> {
    match text {
        "" => Err("is empty; expected a path".to_owned()),
        _ if text.contains(char::is_control) => Err("a path with a control character".to_owned()),
        _ if text.starts_with('$') => Err("begins with $, and variables are not expanded here (only ~/ is)".to_owned()),
        _ => Ok(PathBuf::from(text)),
    }
}

/// Validates a directory: absolute, not the root, without `..`.
pub(super) fn directory(text: &str) -> Result<PathBuf, Expected> {
    let path = path(text)?;
    let Some(inside) = text.strip_prefix('/') else {
        return Err("expected an absolute path".to_owned());
    };
    if inside.split('/').any(|part| matches!(part, "." | "..")) {
        return Err("expected a path without \".\" and \"..\"".to_owned());
    }
    if inside.chars().all(|c| c == '/') {
        return Err("must not be the root directory".to_owned());
    }
    Ok(path)
}

/// Validates the mount of an auth method, as shown by `vault auth list` without the final slash.
pub(super) fn mount(text: &str) -> Result<String, Expected> {
    if text == "auth" || text.starts_with("auth/") || text.starts_with("/auth/") {
        return Err("give the mount without \"auth/\", such as kubernetes".to_owned());
    }
    let is_plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.contains(|c: char| c.is_control() || "?#%\\".contains(c))
            && part.trim() == part
    };
    if !text.split('/').all(is_plain) {
        return Err("expected the path of an auth mount without a slash at its ends, such as kubernetes".to_owned());
    }
    Ok(text.to_owned())
}

/// Validates a Vault namespace and removes slashes at its ends; empty for the root namespace `/`.
pub(super) fn namespace(text: &str) -> Result<String, Expected> {
    let text = plain(text)?;
    let name = text.trim_matches('/');
    if !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("expected a namespace, such as team-a".to_owned());
    }
    Ok(name.to_owned())
}

/// Validates an AWS region, which becomes part of a host name.
pub(super) fn region(text: &str) -> Result<String, Expected> {
    let is_region = |text: &str| {
        text.len() <= 32
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.contains('-')
            && !text.ends_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    match text {
        _ if is_region(text) => Ok(text.to_owned()),
        _ if is_region(text.trim()) => Err("has white space around it; expected an AWS region alone".to_owned()),
        _ => Err("expected an AWS region, such as eu-west-1".to_owned()),
    }
}

/// Validates the ARN of a role.
pub(super) fn role_arn(text: &str) -> Result<String, Expected> {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    match fields.as_slice() {
        ["arn", partition, "iam", "", account, role]
            if partition.starts_with("aws")
                && !account.is_empty()
                && account.bytes().all(|b| b.is_ascii_digit())
                && role.strip_prefix("role/").is_some_and(|name| !name.is_empty())
                && text.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("expected the ARN of a role, such as arn:aws:iam::123456789012:role/reader".to_owned()),
    }
}

/// Validates PEM text with at least one certificate.
pub(super) fn certificates(text: &str) -> Result<String, Expected> {
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(text.to_owned())
    } else {
        Err("expected PEM text (-----BEGIN CERTIFICATE-----); a path goes to caFile".to_owned())
    }
}

/// Validates a pattern of variable names: `NAME` or `PREFIX*`.
pub(super) fn pattern(text: &str) -> Result<String, Expected> {
    let name = text.strip_suffix('*').unwrap_or(text);
    if text.is_empty() || name.contains(|c: char| c == '*' || c == '=' || c.is_control() || c.is_whitespace()) {
        return Err("expected the name of a variable, or its start and one * at the end, such as VAULT_*".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether a variable's name matches `NAME` or `PREFIX*`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Validates a prefix of variable names, which may be empty.
pub(super) fn prefix(text: &str) -> Result<String, Expected> {
    if text.contains(|c: char| c == '=' || c.is_control() || c.is_whitespace()) {
        return Err("expected the start of an environment name, such as APP_".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses `none`, or a comma-separated list of `vault`, `aws-sm`, `arn`, `bank-vaults`.
pub(super) fn inherit(text: &str) -> Result<Inherit, Expected> {
    let mut found = Inherit { vault: false, aws_sm: false, arn: false, bank_vaults: false };
    if text == "none" {
        return Ok(found);
    }
    for kind in text.split(',') {
        match kind.trim() {
            "vault" => found.vault = true,
            "aws-sm" => found.aws_sm = true,
            "arn" => found.arn = true,
            // bank-vaults' references include those of Vault.
            "bank-vaults" => (found.vault, found.bank_vaults) = (true, true),
            _ => {
                return Err(
                    "expected none, or some of vault,aws-sm,arn,bank-vaults with commas between them".to_owned()
                );
            }
        }
    }
    Ok(found)
}

/// Validates a name under `secrets`, which is used in references, templates, annotations and metrics.
pub(super) fn secret_name(text: &str) -> Result<String, Expected> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err("the name of a secret has letters, digits, \".\", \"_\" and \"-\" only".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_from_the_largest_down() {
        for (text, millis) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("1s500ms", 1500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "s",
            "5",
            "-5s",
            "+5s",
            "1.5h",
            "5 m",
            "30m1h",
            "1m1m",
            "5M",
            "5sec",
            "5m5",
            "0s",
            "0h0m",
            "4000d",
            "99999999999999999999s",
            "213503982334d",
            "1e3s",
            "٣s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("60").unwrap_err().starts_with("a number without a unit"));
        assert_eq!(duration("0s").unwrap_err(), "must be longer than 0");
    }

    #[test]
    fn sizes_are_bytes() {
        for (text, bytes) in [("8Mi", 8 << 20), ("512Ki", 512 << 10), ("1Gi", 1 << 30), ("4096", 4096)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "Mi", "8M", "8MB", "-8Mi", "+8", "1.5Gi", "0", "0Mi", "8 Mi", "99999999999Gi", "2048Gi"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_are_without_auth() {
        assert_eq!(mount("kubernetes"), Ok("kubernetes".into()));
        assert_eq!(mount("team/k8s"), Ok("team/k8s".into()));
        assert_eq!(mount("küche/my k8s"), Ok("küche/my k8s".into()));
        for bad in ["auth/kubernetes", "auth", "/auth/k8s"] {
            assert!(mount(bad).unwrap_err().contains("without \"auth/\""), "{bad}");
        }
        for bad in ["", "/k8s", "k8s/", "a//b", "a/../b", "a ", " a", "a/ b", "a\nb", "a?b", "a#b", "a%2fb"] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn directories_are_absolute_and_not_the_root() {
        assert!(directory("/run/secret-exec/files").is_ok());
        for bad in ["", "run", "/", "//", "/..", "/run/../etc", "/run/.", "/a\0"] {
            assert!(directory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_of_aws() {
        assert!(region("us-gov-west-1").is_ok());
        for bad in ["", "eu", "EU-west-1", "eu-west-1.evil.com", "eu-", "-eu", "eu west"] {
            assert!(region(bad).is_err(), "{bad}");
        }
        assert!(role_arn("arn:aws-cn:iam::123456789012:role/path/reader").is_ok());
        for bad in ["", "reader", "arn:aws:iam::1:user/x", "arn:aws:iam::1:role/", "arn:aws:s3:::role/x"] {
            assert!(role_arn(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_have_one_star_at_the_end() {
        assert!(matches("VAULT_*", "VAULT_ADDR") && !matches("VAULT_*", "VAULT") && matches("A", "A"));
        assert!(!matches("A", "AB"));
        for bad in ["", "A*B", "**", "A=B", "A B"] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds_to_inherit_are_listed() {
        assert_eq!(inherit("none"), Ok(Inherit { vault: false, aws_sm: false, arn: false, bank_vaults: false }));
        assert_eq!(inherit("arn,vault"), Ok(Inherit { vault: true, aws_sm: false, arn: true, bank_vaults: false }));
        for bad in ["", "none,vault", "vault,", "all", "aws"] {
            assert!(inherit(bad).is_err(), "{bad}");
        }
    }
}
