//! Migration as a function of text; what comes is injected, and compared with the dialect's own injection.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{Dialect, Injector, Text};

use super::super::super::inject::inject;
use super::super::super::patch;
use super::super::read;
use super::*;

const CONFIG: &str = "image: i:1\nvault: { address: \"https://v:8200\" }\n";

fn injector(dialects: &[Dialect]) -> Injector {
    let mut injector = Injector::parse(Text { name: "injector.yaml", text: CONFIG }).unwrap();
    injector.dialects = dialects.to_vec();
    injector
}

fn run(text: &str) -> Migration {
    let made = migrate(&[Text { name: "in.yaml", text }], Some(&injector(&[])));
    made.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// A pod with these lines as annotations.
fn pod(annotations: &str) -> String {
    let annotations: String = annotations.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "# the web\nkind: Pod   # as it is\nmetadata:\n  name: web\n  annotations:\n    # who asks\n    first: \"1\"\n{annotations}    last: yes it is   # kept\n\
         spec:\n  # the app\n  containers:\n  - name: app\n    image: app:1\n    command: [/app]\n"
    )
}

fn json(text: &str) -> Value {
    read::read(text).unwrap().unwrap().0.to_json()
}

/// The arguments of the injected container, and the app's mounts.
fn injected(text: &str, dialects: &[Dialect]) -> (Vec<String>, Value) {
    let pod = json(text);
    let done = inject(&pod, &injector(dialects)).unwrap_or_else(|denial| panic!("{denial:#?}\n{text}"));
    let mut after = pod.clone();
    patch::apply(&mut after, &done.ops);
    let own = &after["spec"]["initContainers"][0];
    let arguments = own["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect();
    (arguments, after["spec"]["containers"][0]["volumeMounts"].clone())
}

/// The options among arguments, as pairs in their order.
fn options(arguments: &[String]) -> BTreeMap<String, String> {
    let pairs = arguments.windows(2).filter(|pair| ["--set", "--file", "--env"].contains(&pair[0].as_str()));
    pairs.map(|pair| pair[1].split_once('=').unwrap()).map(|(key, text)| (key.to_owned(), text.to_owned())).collect()
}

#[test]
fn the_annotations_change_and_nothing_else() {
    let text = pod("vault.hashicorp.com/agent-inject: \"true\"\nvault.hashicorp.com/role: web\n# the database\n\
         vault.hashicorp.com/agent-inject-secret-db: database/creds/web\nvault.hashicorp.com/agent-inject-template-db: |\n  \
         {{ with secret \"database/creds/web\" -}}\n  user={{ .Data.username }}\n  pw={{ .Data.password }}\n  {{- end }}");
    let made = run(&text);
    assert_eq!((made.left, made.warnings), (vec![], vec![]));
    assert_eq!(made.changed, ["in.yaml: document at line 1 (Pod web)"]);
    let expected = pod(
        "secret-exec.dev/volume: /vault/secrets\nsecret-exec.dev/vault-role: web\nsecret-exec.dev/template.db: |\n  \
         user={{ secret('vault:database/creds/web').username }}\n  pw={{ secret('vault:database/creds/web').password }}\n# the database",
    );
    assert_eq!(made.text, expected);
    let again = run(&expected);
    assert_eq!((again.text, again.changed), (expected, vec![]), "a second time there is nothing to do");
}

#[test]
fn a_migrated_pod_is_injected_as_the_dialect_is() {
    for annotations in [
        "agent-inject: \"true\"\nrole: web\nagent-inject-token: \"true\"",
        "agent-inject: \"true\"\nrole: web\nagent-inject-token: \"true\"\nagent-pre-populate-only: \"true\"",
        "agent-inject: \"true\"\nrole: web\nagent-inject-token: \"true\"\nsecret-volume-path: /etc/app",
        "agent-inject: \"true\"\nrole: web\nagent-inject-token: \"true\"\nagent-limits-mem: 64Mi\nagent-requests-cpu: 10m",
        "agent-inject: \"true\"\nrole: web\nagent-inject-token: \"true\"\nagent-inject-command-token: kill -HUP $(pidof app)\nagent-run-as-user: \"1001\"",
        "agent-inject: \"true\"\nauth-config-role: web\nauth-path: auth/k8s\nnamespace: team/\nagent-inject-token: \"true\"\n\
         agent-revoke-on-shutdown: \"true\"\nagent-revoke-grace: \"5\"\ntemplate-static-secret-render-interval: 2m\n\
         template-lease-renewal-threshold: \"0.5\"\nlog-level: WARN\nlog-format: json",
    ] {
        let prefixed: String = annotations.lines().map(|line| format!("vault.hashicorp.com/{line}\n")).collect();
        let text = pod(&prefixed);
        let made = run(&text);
        assert_eq!(made.left, Vec::<String>::new(), "{text}");
        let (theirs, their_mounts) = injected(&text, &[Dialect::Vault]);
        let (ours, our_mounts) = injected(&made.text, &[]);
        let but_owner = |arguments: &[String]| {
            let mut all = options(arguments);
            all.retain(|key, _| !["runAs", "volume.owner"].contains(&key.as_str()));
            all
        };
        assert_eq!(but_owner(&ours), but_owner(&theirs), "{}", made.text);
        let paths = |mounts: &Value| {
            let all = mounts.as_array().unwrap().iter().map(|mount| mount["mountPath"].clone());
            all.filter(|path| path != "/run/secret-exec").collect::<Vec<_>>()
        };
        assert_eq!(paths(&our_mounts), paths(&their_mounts), "{}", made.text);
    }
}

#[test]
fn bank_vaults_is_wrapped_as_before() {
    let text = pod("vault.security.banzaicloud.io/vault-role: web\nvault.security.banzaicloud.io/vault-env-from-path: secret/data/a#2,b/c")
        .replace("command: [/app]", "command: [/app]\n    env:\n    - { name: DB, value: \"pg://${vault:a/b#u}@db\" }");
    let made = run(&text);
    assert_eq!(made.left, Vec::<String>::new());
    for expected in [
        "secret-exec.dev/mode: exec\n",
        "secret-exec.dev/vault-role: web\n",
        "secret-exec.dev/inherit: bank-vaults\n",
        "- from: vault:secret/data/a?version=2\n",
        "    - { name: DB, value: \"pg://${vault:a/b#u}@db\" }\n",
    ] {
        assert!(made.text.contains(expected), "{expected}: {}", made.text);
    }
    let command = |text: &str, dialects: &[Dialect]| {
        let pod = json(text);
        let mut after = pod.clone();
        patch::apply(&mut after, &inject(&pod, &injector(dialects)).unwrap().ops);
        let words = after["spec"]["containers"][0]["command"].as_array().unwrap().clone();
        options(&words.iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(command(&made.text, &[]), command(&text, &[Dialect::BankVaults]));
}

#[test]
fn what_cannot_be_migrated_stays_and_is_named() {
    for (annotations, said) in [
        ("agent-inject: \"true\"\nrole: web\nagent-configmap: x", "agent-configmap: an agent's own configuration"),
        ("agent-inject: tRuE", "agent-inject: expected"),
        (
            "agent-inject: \"true\"\nrole: web\nagent-inject-token: \"true\"\ntls-secret: s\nca-cert: /vault/tls/ca.crt",
            "vault.ca",
        ),
        (
            "agent-inject: \"true\"\nrole: web\nagent-inject-token: \"true\"\nagent-inject-secret-a: x/y\nsecret-volume-path-a: /b",
            "files in several directories (/b, /vault/secrets)",
        ),
        ("agent-inject: \"true\"\nagent-inject-token: \"true\"", "role"),
        (
            "agent-inject: \"true\"\nrole: web\nagent-inject-secret-a: x/y\nagent-inject-perms-a: \"0400\"\n\
             OURS/config: \"passEnv: [X]\"",
            "has secret-exec.dev/config already, and this would have to stand there too: files: a:",
        ),
        (
            "agent-inject: \"true\"\nrole: web\nagent-inject-secret-a: x/y\nOURS/template-language: jinja",
            "has secret-exec.dev/template-language already",
        ),
    ] {
        let prefixed: String = annotations.lines().map(|line| format!("vault.hashicorp.com/{line}\n")).collect();
        let text = pod(&prefixed.replace("vault.hashicorp.com/OURS", "secret-exec.dev"));
        let made = run(&text);
        assert_eq!(made.text, text);
        assert!(
            made.left
                .iter()
                .any(|text| text.starts_with("in.yaml: document at line 1 (Pod web)") && text.contains(said)),
            "{said}: {:?}",
            made.left
        );
    }
    let deployment = "kind: Deployment\nmetadata:\n  name: d\n  annotations: { vault.hashicorp.com/agent-inject: \"true\" }\nspec:\n  template:\n    spec: { containers: [{ name: a }] }\n";
    let made = run(deployment);
    assert!(made.text == deployment && made.left[0].contains("move them to its pod template"), "{:?}", made.left);
}

const CLASS: &str = "\
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: db
spec:
  provider: vault
  parameters:
    roleName: web
    vaultAddress: https://v:8200
    objects: |
      - objectName: password
        secretPath: secret/data/db
        secretKey: password
      - objectName: cert.pem
        secretPath: pki/issue/web
        secretKey: certificate
        method: PUT
        secretArgs: { common_name: web.example.com, ttl: 24h }
      - objectName: ks
        secretPath: secret/data/ks
        secretKey: p12
        encoding: base64
        filePermission: 0600
";

const WITH_VOLUME: &str = "\
kind: Pod
metadata:
  name: web   # the pod
spec:
  containers:
  - name: app
    image: app:1
    volumeMounts:
    # secrets
    - name: secrets
      mountPath: /mnt/secrets
      readOnly: true
    - name: tmp
      mountPath: /tmp
  - name: other
    image: other
  volumes:
  - name: secrets
    csi:
      driver: secrets-store.csi.k8s.io
      readOnly: true
      volumeAttributes:
        secretProviderClass: db
  - name: tmp
    emptyDir: {}
";

#[test]
fn a_volume_of_the_csi_driver_becomes_annotations() {
    let made = run(&format!("{CLASS}---\n{WITH_VOLUME}"));
    assert_eq!(made.left, Vec::<String>::new());
    let expected = "\
kind: Pod
metadata:
  name: web   # the pod
  annotations:
    secret-exec.dev/vault-role: web
    secret-exec.dev/vault-address: https://v:8200
    secret-exec.dev/volume: /mnt/secrets
    secret-exec.dev/containers: app
    secret-exec.dev/file.password: vault:secret/data/db#password
    secret-exec.dev/file.cert.pem: vault:pki/issue/web?common_name=web.example.com&ttl=24h#certificate
    secret-exec.dev/config: |
      files:
        ks:
          from: vault:secret/data/ks#p12
          mode: \"0400\"
          decode: base64
spec:
  containers:
  - name: app
    image: app:1
    volumeMounts:
    # secrets
    - name: tmp
      mountPath: /tmp
  - name: other
    image: other
  volumes:
  - name: tmp
    emptyDir: {}
";
    assert_eq!(made.text, format!("{CLASS}---\n{expected}"));
    let (arguments, mounts) = injected(expected, &[]);
    assert_eq!(options(&arguments)["password"], "vault:secret/data/db#password");
    assert!(mounts.to_string().contains("/mnt/secrets"), "{mounts}");
}

#[test]
fn a_class_is_of_the_pods_namespace_or_the_only_one() {
    let class = |namespace: &str, role: &str| {
        let named = CLASS.replacen("roleName: web", &format!("roleName: {role}"), 1);
        let meta = if namespace.is_empty() { String::new() } else { format!("  namespace: {namespace}\n") };
        format!("{}---\n", named.replacen("metadata:\n", &format!("metadata:\n{meta}"), 1))
    };
    let pod = |namespace: &str| match namespace {
        "" => WITH_VOLUME.to_owned(),
        _ => WITH_VOLUME.replacen("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"), 1),
    };
    let (prod, dev, none) = (class("prod", "prod-role"), class("dev", "dev-role"), class("", "some-role"));
    assert!(prod.contains("namespace: prod") && prod.contains("prod-role"), "{prod}");
    for (classes, namespace, role) in [
        (format!("{prod}{dev}"), "dev", Some("dev-role")),
        (format!("{none}{dev}"), "dev", Some("dev-role")),
        (format!("{none}{prod}"), "dev", Some("some-role")),
        (prod.clone(), "", Some("prod-role")),
        (format!("{prod}{dev}"), "", None),
        (format!("{none}{dev}"), "", None),
        (prod.clone(), "dev", None),
    ] {
        let made = run(&format!("{classes}{}", pod(namespace)));
        match role {
            Some(role) => {
                assert!(made.text.contains(&format!("secret-exec.dev/vault-role: {role}")), "{:?}", made.left)
            }
            None => assert!(made.left.iter().any(|text| text.contains("SecretProviderClass")), "{}", made.text),
        }
    }
}

#[test]
fn objects_of_secrets_manager_become_references() {
    let class = "\
kind: SecretProviderClass
metadata: { name: db }
spec:
  provider: aws
  parameters:
    region: eu-west-1
    objects: |
      - { objectName: prod/stripe, objectType: secretsmanager, objectVersionLabel: AWSPREVIOUS,
          jmesPath: [{ path: key, objectAlias: stripe-key }, { path: '\"a.b\"', objectAlias: quoted },
                     { path: 'db.pw[0]', objectAlias: db/pw }, { path: own, objectAlias: own, filePermission: '0400' }] }
      - objectName: \"arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf\"
        objectAlias: app
";
    let made = run(&format!("{class}---\n{WITH_VOLUME}"));
    assert_eq!(made.left, Vec::<String>::new());
    for line in [
        "secret-exec.dev/aws-region: eu-west-1",
        "secret-exec.dev/file.prod_stripe: aws-sm:prod/stripe?stage=AWSPREVIOUS",
        "secret-exec.dev/file.stripe-key: aws-sm:prod/stripe?stage=AWSPREVIOUS#key",
        "secret-exec.dev/file.quoted: aws-sm:prod/stripe?stage=AWSPREVIOUS#a.b",
        "secret-exec.dev/template.db_pw: \"{{ secret('aws-sm:prod/stripe?stage=AWSPREVIOUS')['db']['pw'][0] }}\"",
        "  own:",
        "    mode: \"0400\"",
        "secret-exec.dev/file.app: aws-sm:arn:aws:secretsmanager:eu-west-1:123456789012:secret:app-AbCdEf",
    ] {
        assert!(made.text.contains(&format!("    {line}\n")), "{line}: {}", made.text);
    }
    for (from, to, said) in [
        ("path: key,", "path: 'a.b[*]',", "more than fields and places"),
        ("region:", "pathTranslation: ab\n    region:", "neither False nor a single character"),
        ("objectType: secretsmanager", "objectType: ssmparameter", "parameters of SSM"),
        ("provider: aws", "provider: azure", "\"azure\" is not supported"),
        ("name: db", "name: other", "SecretProviderClass db is not in these files"),
        ("  provider: aws", "  secretObjects: [{ secretName: s }]\n  provider: aws", "secretObjects"),
    ] {
        let text = format!("{}---\n{WITH_VOLUME}", class.replacen(from, to, 1));
        let made = run(&text);
        assert!(made.text == text && made.left.iter().any(|text| text.contains(said)), "{said}: {:?}", made.left);
    }
}

#[test]
fn what_jinja_cannot_say_to_the_byte_stays_gos() {
    let made = run(&pod(
        "openbao.org/agent-inject: \"true\"\nopenbao.org/role: web\nopenbao.org/agent-inject-secret-map: secret/data/a\n\
         openbao.org/agent-inject-template-pw: '{{ with secret \"a/creds/b\" }}{{ .Data.password }}{{ end }}'\n\
         openbao.org/agent-inject-template-j: '<< with secret \"a/creds/b\" >><< .Data | toJSON >><< end >>'\n\
         openbao.org/agent-template-left-delim-j: \"<<\"\nopenbao.org/agent-template-right-delim-j: \">>\"\n\
         openbao.org/agent-inject-perms-pw: \"0400\"",
    ));
    assert_eq!(made.left, Vec::<String>::new());
    for expected in [
        "    secret-exec.dev/template-language: go\n",
        "    secret-exec.dev/template.map: |-\n      {{ with secret \"secret/data/a\" }}{{ range $k, $v := .Data }}{{ $k }}: {{ $v }}\n",
        "        pw:\n          from: vault:a/creds/b#password\n          mode: \"0400\"\n",
        "        j:\n          template: ",
        "          leftDelimiter: \"<<\"\n",
    ] {
        assert!(made.text.contains(expected), "{expected}\n{}", made.text);
    }
    assert!(!made.text.contains("openbao.org"), "{}", made.text);
}

#[test]
fn a_directive_in_front_of_a_document_stays() {
    let text = "%YAML 1.1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n";
    let made = migrate(&[Text { name: "m.yaml", text }], None).unwrap();
    assert_eq!(made.text, text);
}

#[test]
fn what_cannot_stay_is_named_with_its_line() {
    let theirs = "vault.hashicorp.com/agent-inject: \"true\"   # ticket\nvault.hashicorp.com/role: web\nvault.hashicorp.com/agent-inject-token: \"true\"";
    let made = run(&pod(theirs));
    assert_eq!(made.left, Vec::<String>::new());
    assert!(made.text.contains("    first: \"1\"\n    # ticket\n"), "{}", made.text);
    assert!(
        made.text.contains("secret-exec.dev/vault-role: web") && made.text.contains("last: yes it is   # kept"),
        "{}",
        made.text
    );
    // A list keeps what it has.
    let indented: String = pod(&theirs.replace("   # ticket", "")).lines().map(|line| format!("  {line}\n")).collect();
    let list = format!("kind: List\nitems:\n# one\n-{}- kind: X # x\n  metadata: {{name: 'x'}}\n", &indented[1..]);
    let made = run(&list);
    assert_eq!(made.left, Vec::<String>::new(), "{}", made.text);
    for kept in [
        "# one\n- # the web\n  kind: Pod   # as it is",
        "    # the app\n    containers:",
        "- kind: X # x\n  metadata: {name: 'x'}\n",
    ] {
        assert!(made.text.contains(kept), "{kept}: {}", made.text);
    }
    // Aliases are followed, and the document is written anew.
    let shared = pod(&theirs.replace("   # ticket", ""))
        .replace("annotations:\n", "annotations: &l\n")
        .replace("metadata:\n", "metadata:\n  labels: {a: b} # lab\n");
    let made = run(&shared);
    assert!(
        made.left.iter().any(|text| text.ends_with("anew (because of the anchor in line 6): # lab"))
            && made.left.len() >= 5,
        "{:#?}",
        made.left
    );
}

#[test]
fn a_pod_of_a_list_has_the_namespace_of_its_own_object() {
    let of = |namespace: &str| CLASS.replacen("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"), 1);
    let of = |namespace: &str| of(namespace).replacen("roleName: web", &format!("roleName: {namespace}-role"), 1);
    let pod: String = WITH_VOLUME.lines().map(|line| format!("  {line}\n")).collect();
    let pod = pod.replacen("metadata:\n", "metadata:\n    namespace: dev\n", 1);
    let made = run(&format!("{}---\n{}---\nkind: List\nitems:\n-{}", of("prod"), of("dev"), &pod[1..]));
    assert!(made.text.contains("secret-exec.dev/vault-role: dev-role"), "{:?}\n{}", made.left, made.text);
}

#[test]
fn a_class_means_what_it_says_or_is_named() {
    let class = |object: &str| {
        let at = CLASS.find("      - objectName").unwrap();
        let mut class = CLASS[..at].to_owned();
        class.push_str(&format!("      - {{ objectName: a, {object} }}\n"));
        run(&format!("{class}---\n{WITH_VOLUME}"))
    };
    let made = class("secretPath: \"secret/data/x y#z?%\", secretKey: pw, filePermission: 0644");
    assert!(
        made.text.contains("secret-exec.dev/file.a: vault:secret/data/x y%23z%3F%25#pw"),
        "{:?} {}",
        made.left,
        made.text
    );
    assert!(
        made.warnings.iter().any(|text| text.contains("a: filePermission 0644 becomes 0440")),
        "{:?}",
        made.warnings
    );
    let made = class("secretPath: secret/data/x, secretKey: pw, filePermission: rw");
    assert!(made.left.iter().any(|text| text.contains("filePermission is no mode")), "{:?}", made.left);
    let made = class("secretPath: secret/../x, secretKey: pw");
    assert!(made.left.iter().any(|text| text.contains("no reference has the path secret/../x")), "{:?}", made.left);
}

#[test]
fn what_bank_vaults_would_write_into_the_api_is_named() {
    let named = |text: &str| run(text).left.join("\n");
    let secret = "kind: Secret\nmetadata: {name: s}\ndata: {a: dmF1bHQ6c2VjcmV0L2RhdGEvYSN4, b: eA==}\n";
    assert!(named(secret).contains("(Secret s): a is for bank-vaults"), "{}", named(secret));
    let list = "kind: List\nitems:\n- kind: ConfigMap\n  metadata: {name: a}\n  data: {u: \"http://vault:8200/#x\"}\n- kind: ConfigMap\n  \
                metadata: {name: b, annotations: {vault.security.banzaicloud.io/vault-role: x}}\n";
    assert!(
        named(list).contains("items[1]: its annotations are for bank-vaults") && !named(list).contains("items[0]"),
        "{}",
        named(list)
    );
}

#[test]
fn what_is_wrong_is_said_of_the_annotations_that_are_there() {
    let made = run(&pod("vault.hashicorp.com/agent-inject: \"true\"\nvault.hashicorp.com/role: web\n\
                         vault.hashicorp.com/agent-inject-secret-a: a/b\nvault.hashicorp.com/agent-inject-template-a: \"{{ if }}\""));
    assert!(
        made.left[0].contains("annotation vault.hashicorp.com/agent-inject-template-a: template a:1:7"),
        "{:?}",
        made.left
    );
}

/// Without an injector's config nobody knows the operator's region.
#[test]
fn without_a_config_any_region_is_taken() {
    for region in ["eu-west-1", "us-east-1", "eu-central-2", "cn-north-1", "us-gov-west-1"] {
        let class = format!(
            "kind: SecretProviderClass\nmetadata: {{ name: db }}\nspec:\n  provider: aws\n  parameters:\n    region: {region}\n    \
             objects: |\n      - {{ objectName: prod/stripe, objectType: secretsmanager }}\n"
        );
        let text = format!("{class}---\n{WITH_VOLUME}");
        let made = migrate(&[Text { name: "in.yaml", text: &text }], None).unwrap();
        assert_eq!(made.left, Vec::<String>::new(), "{region}");
        assert!(made.text.contains(&format!("    secret-exec.dev/aws-region: {region}\n")), "{region}: {}", made.text);
    }
    let class = "kind: SecretProviderClass\nmetadata: { name: db }\nspec:\n  provider: aws\n  parameters:\n    region: no region\n    \
                 objects: |\n      - { objectName: prod/stripe, objectType: secretsmanager }\n";
    let text = format!("{class}---\n{WITH_VOLUME}");
    let made = migrate(&[Text { name: "in.yaml", text: &text }], None).unwrap();
    assert!(made.left.iter().any(|text| text.contains("region")), "{:?}", made.left);
}

#[test]
fn a_document_that_is_written_anew_for_an_anchor_says_so() {
    let before = pod(
        "vault.hashicorp.com/agent-inject: \"true\"\nvault.hashicorp.com/role: web\nvault.hashicorp.com/agent-inject-secret-db: secret/data/db   # db",
    );
    let made = run(&before);
    assert!(made.warnings.iter().all(|text| !text.contains("anchor")), "{:?}", made.warnings);
    let made = run(&before.replace("name: app\n", "name: &name app\n"));
    assert!(
        made.warnings.iter().all(|text| !text.contains("anchor")),
        "an anchor elsewhere stays: {:?}",
        made.warnings
    );
    assert!(made.text.contains("  - name: &name app\n") && made.left.is_empty(), "{} {:?}", made.text, made.left);
    let made = run(&before.replace("annotations:\n", "annotations: &name\n"));
    let said = made.warnings.iter().find(|text| text.contains("anchor")).expect("a warning");
    assert!(said.contains("in.yaml: document at line 1 (Pod web): the document is written anew as a whole"), "{said}");
    assert!(said.contains("because of the anchor in line 5"), "{said} {before}");
    assert!(
        made.left.iter().any(|text| text.ends_with("is written anew (because of the anchor in line 5): # the app")),
        "{:?}",
        made.left
    );
}

#[test]
fn a_comment_behind_an_annotation_stands_above_what_replaces_it() {
    let before = "kind: Pod   # as it is\nmetadata:\n  annotations:\n    vault.hashicorp.com/agent-inject: \"true\"\n    \
                  vault.hashicorp.com/role: web\n    vault.hashicorp.com/agent-inject-secret-db: secret/data/db   # db\nspec:\n  \
                  containers:\n  - name: app   # the app\n    image: app:1\n";
    let made = run(before);
    assert_eq!(made.left, Vec::<String>::new(), "{}", made.text);
    assert!(made.text.contains("  annotations:\n    # db\n    secret-exec.dev/"), "{}", made.text);
    assert!(
        made.text.starts_with("kind: Pod   # as it is\n") && made.text.contains("- name: app   # the app\n"),
        "{}",
        made.text
    );
}
