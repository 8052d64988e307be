//! The configuration as a whole: what a file, variables, annotations and flags make together.

mod annotations;
mod files;
mod inherited;
mod layers;
mod never_panics;

use super::*;

/// The example of the README, key for key.
const EXAMPLE: &str = r#"vault:
  address: https://vault.example.com:8200
  namespace: team-a
  ca: |                                     # PEM text, or caFile
    -----BEGIN CERTIFICATE-----
  auth: { method: kubernetes, role: web }
aws:
  region: eu-west-1                         # default: the ARN's region, then the environment
  assumeRole: arn:aws:iam::123456789012:role/reader      # or { arn: …, externalId: … }
volume: { path: /run/secret-exec/files, owner: "1000:1000", size: 8Mi }   # path and size: the defaults
secrets:                                    # optional names: one fetch, used by name, shown in status and metrics
  db: vault:database/creds/web
files:
  api-token: vault:secret/data/api#token                       # short form
  db.env:   { from: db, format: dotenv, mode: "0440" }
  keystore: { from: "vault:secret/data/ks#p12", decode: base64 }
  app.conf: { template: "user={{ secret('db').username }}" }   # or templateFile
env:
  STRIPE_KEY: aws-sm:prod/stripe#key
  DATABASE_URL: { template: "postgres://{{ secret('db').username }}:{{ secret('db').password | urlencode }}@db/app" }
envFrom: [ { from: "vault:secret/data/app", prefix: APP_ } ]   # every key; a clash is an error
passEnv: [ "VAULT_*" ]                      # neither scrubbed nor resolved
runAs: "1000:1000"
onChange: [ { signal: HUP } ]
refresh: 5m                                 # secrets without a lease (aws-sm: 1h); also per secret, under `secrets` or `files`
onExpired: keep                             # or remove, stop (exit 75; only --supervise)
"#;

/// What every test of a Vault reference needs.
const VAULT: &str = "vault: { address: \"https://vault:8200\", auth: { method: kubernetes, role: web } }\n";

/// Layers to fill in.
#[derive(Default)]
struct Given<'a> {
    environment: &'a [(&'a str, &'a str)],
    annotations: Option<&'a [(&'a str, &'a str)]>,
    file: Option<&'a str>,
    flags: &'a [(&'a str, &'a str)],
    wraps: Option<Wraps>,
}

impl Given<'_> {
    fn resolve(&self) -> Result<Config, Vec<String>> {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let environment = owned(self.environment);
        let annotations = self.annotations.map(owned);
        let flags: Vec<Flag> = self.flags.iter().map(|(name, value)| Flag::new(*name, *value)).collect();
        let layers = Layers {
            environment: &environment,
            annotations: annotations.as_deref().map(Annotations::Pairs),
            file: self.file.map(|text| Text { name: "c.yaml", text }),
            flags: &flags,
            wraps: self.wraps.unwrap_or(Wraps::Nothing),
        };
        resolve(&layers).map_err(|mistakes| {
            let mut sorted = mistakes.clone();
            sorted.sort();
            assert_eq!(mistakes, sorted, "mistakes are sorted by place");
            mistakes.iter().map(|mistake| format!("{}: {}", mistake.place, mistake.text)).collect()
        })
    }

    fn config(&self) -> Config {
        self.resolve().unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
    }

    fn mistakes(&self) -> Vec<String> {
        self.resolve().expect_err("a mistake")
    }

    fn mistake(&self) -> String {
        let mistakes = self.mistakes();
        assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
        mistakes.into_iter().next().unwrap()
    }
}

fn file(text: &str) -> Given<'_> {
    Given { file: Some(text), ..Given::default() }
}

fn flags<'a>(flags: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given { flags, ..Given::default() }
}

fn environment<'a>(environment: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given { environment, ..Given::default() }
}
