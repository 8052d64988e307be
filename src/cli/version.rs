//! The text of `--version`: the version and, where the build knew them, the commit and the date.

use std::time::Duration;

use der::DateTime;

/// Characters of a commit that are printed.
const SHORT: usize = 12;

/// The version of this build. `deploy/image/build` and the release set both variables; a plain `cargo build` has
/// neither.
pub(super) fn version() -> String {
    describe(env!("CARGO_PKG_VERSION"), option_env!("SECRET_EXEC_REVISION"), option_env!("SOURCE_DATE_EPOCH"))
}

/// Formats the version, with the shortened commit and the date of `epoch` (seconds since 1970) where they are given.
fn describe(version: &str, revision: Option<&str>, epoch: Option<&str>) -> String {
    let commit = revision.map(|revision| match revision.split_once('-') {
        Some((commit, note)) => format!("{}-{note}", shortened(commit)),
        None => shortened(revision).to_owned(),
    });
    let known: Vec<String> = commit.into_iter().chain(epoch.and_then(date)).filter(|part| !part.is_empty()).collect();
    if known.is_empty() { version.to_owned() } else { format!("{version} ({})", known.join(" ")) }
}

/// The first [`SHORT`] characters of a commit.
fn shortened(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

/// The UTC date of a time written as seconds since 1970.
fn date(epoch: &str) -> Option<String> {
    let moment = DateTime::from_unix_duration(Duration::from_secs(epoch.parse().ok()?)).ok()?;
    Some(format!("{:04}-{:02}-{:02}", moment.year(), moment.month(), moment.day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_names_what_the_build_knew() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (revision, epoch, expected) in [
            (None, None, "0.1.0"),
            (Some(commit), None, "0.1.0 (0123456789ab)"),
            (Some(commit), Some("1795873892"), "0.1.0 (0123456789ab 2026-11-28)"),
            (Some("0123456789abcdef-modified"), Some("0"), "0.1.0 (0123456789ab-modified 1970-01-01)"),
            (Some(""), Some("soon"), "0.1.0"),
            (Some("unknown"), Some("99999999999999999999"), "0.1.0 (unknown)"),
        ] {
            assert_eq!(describe("0.1.0", revision, epoch), expected);
        }
    }
}
