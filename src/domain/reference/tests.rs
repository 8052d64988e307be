use super::*;

fn parse(text: &str) -> Result<SecretRef, ReferenceError> {
    SecretRef::parse(text, &BTreeMap::new())
}

#[test]
fn a_vault_path_and_its_key() {
    let reference = parse("vault:secret/data/api#a.b#c").unwrap();
    assert_eq!(reference.key.as_deref(), Some("a.b#c"));
    assert_eq!(
        reference.source,
        Source::Vault(VaultSource {
            path: "secret/data/api".into(),
            operation: VaultOperation::Read { version: None }
        })
    );
    assert_eq!(parse("vault:kv/a%3Fb%23c%25d").unwrap().to_string(), "vault:kv/a%3Fb%23c%25d");
}

#[test]
fn parameters_make_a_write_but_version_a_read() {
    let operation = |text| match parse(text).unwrap().source {
        Source::Vault(source) => source.operation,
        _ => panic!("not vault"),
    };
    assert_eq!(operation("vault:secret/data/x?version=3"), VaultOperation::Read { version: Some(3) });
    assert_eq!(operation("vault:pki/issue/web?"), VaultOperation::Write(BTreeMap::new()));
    assert_eq!(
        operation("vault:transit/decrypt/k?ciphertext=vault:v1:a+b/c%3D="),
        VaultOperation::Write(BTreeMap::from([("ciphertext".into(), "vault:v1:a+b/c==".into())]))
    );
    // Transit's own parameter.
    assert!(matches!(operation("vault:transit/decrypt/k?key_version=1"), VaultOperation::Write(_)));
    assert_eq!(operation("vault:p?b=1&a=2"), operation("vault:p?a=2&b=1"));
}

#[test]
fn the_display_of_a_write_hides_its_parameters() {
    let text = parse("vault:transit/decrypt/k?ciphertext=vault:v1:canary#plaintext").unwrap().to_string();
    assert_eq!(text, "vault:transit/decrypt/k?ciphertext=…#plaintext");
}

#[test]
fn a_written_source_parses_back() {
    for text in [
        "vault:transit/decrypt/k?ciphertext=vault:v1:a+b/c%3D%26%25",
        "vault:pki/issue/web?",
        "vault:a%3Fb?version=2",
        "aws-sm:x?stage=a%26version%3Db",
        "aws-sm:x?role=arn:aws:iam::1:role/%25%0a",
    ] {
        let source = parse(text).unwrap().source;
        assert_eq!(parse(&source.written()).unwrap().source, source, "{text}");
    }
}

#[test]
fn a_parameter_cannot_break_the_line_it_is_shown_in() {
    let shown = |text: &str| parse(text).unwrap().to_string();
    assert_eq!(shown("vault:p?a%0Aerror:%20b%25=1#k"), "vault:p?a%0Aerror:%20b%25=…#k");
    assert_eq!(shown("aws-sm:x?stage=a%0A%26b"), "aws-sm:x?stage=a%0A%26b");
    let role = "aws-sm:x?role=arn:aws:iam::123456789012:role/reader";
    assert_eq!(shown(role), role);
}

#[test]
fn every_spelling_of_a_secrets_manager_secret() {
    let aws = |text: &str| match parse(text).unwrap() {
        SecretRef { source: Source::Aws(source), key } => (source, key),
        _ => panic!("not aws"),
    };
    let (source, key) = aws("aws-sm:prod/stripe?stage=AWSPREVIOUS#key");
    assert_eq!(
        (source.id.as_str(), source.stage.as_deref(), key.as_deref()),
        ("prod/stripe", Some("AWSPREVIOUS"), Some("key"))
    );
    let arn = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:app-AbCdEf";
    let (source, key) = aws(&format!("{arn}:user::v1"));
    assert_eq!((source.id.as_str(), source.region.as_deref()), (arn, Some("cn-north-1")));
    assert_eq!((source.version.as_deref(), source.stage, key.as_deref()), (Some("v1"), None, Some("user")));
    assert_eq!(aws(arn), aws(&format!("{arn}:::")));
    assert_eq!(aws(arn), aws(&format!("aws-sm:{arn}")));
}

#[test]
fn names_are_looked_up_under_secrets() {
    let named = BTreeMap::from([
        ("db".to_owned(), parse("vault:database/creds/web").unwrap()),
        ("pw".to_owned(), parse("vault:secret/data/x#password").unwrap()),
    ]);
    let by_name = |text| SecretRef::parse(text, &named);
    assert_eq!(by_name("db#username").unwrap().to_string(), "vault:database/creds/web#username");
    assert_eq!(by_name("pw").unwrap().to_string(), "vault:secret/data/x#password");
    assert_eq!(by_name("pw#x").unwrap_err(), ReferenceError::KeyOfKey("pw".into()));
    assert_eq!(by_name("dbx").unwrap_err().to_string(), "no entry \"dbx\" under `secrets`; it has db, pw");
}

#[test]
fn what_is_wrong_is_said() {
    use ReferenceError as E;
    for (text, error) in [
        ("", E::Empty),
        ("vault:", E::EmptyPath),
        ("vault:/secret", E::Slash("start")),
        ("vault:secret/", E::Slash("end")),
        ("vault:v1/secret/data/x", E::ApiVersion),
        ("vault:a/../b", E::Component),
        ("aws-sm://a#b", E::Url),
        ("vault:a#", E::EmptyKey),
        ("vault:a%20b", E::Percent("path")),
        ("vault:a?b=%zz", E::Percent("parameters")),
        ("vault:a?version=0", E::Version),
        ("vault:a?version=+1", E::Version),
        ("vault:a?version=1&x=2", E::VersionAndWrite),
        ("vault:a?Version=1", E::NearVersion("Version".into())),
        ("vault:a?versions=1#k", E::NearVersion("versions".into())),
        ("vault:a?v=1#k", E::NearVersion("v".into())),
        ("vault:a?x=2&ver=1", E::NearVersion("ver".into())),
        ("vault:a?version_id=1", E::NearVersion("version_id".into())),
        ("vault:a?x=1&x=2", E::RepeatedParameter("x".into())),
        ("vault:a?=1", E::NamelessParameter),
        ("aws-sm:x?region=y", E::UnknownParameter("region".into())),
        ("arn:aws:s3:::bucket", E::Arn),
        ("arn:aws:secretsmanager:eu-west-1:1:secret:x:k#k", E::TwoKeys),
        ("arn:aws:secretsmanager:eu-west-1:1:secret:x?stage=AWSPREVIOUS", E::Arn),
        ("arn:aws:secretsmanager:eu-west-1:1:secret:x :k", E::Arn),
        ("file:relative", E::RelativeFile),
        (" vault:a", E::WhiteSpace("at its start")),
        ("vault:a\n", E::Control),
        ("vault:a #b", E::WhiteSpace("before its \"#\"")),
        ("vault:a ", E::WhiteSpace("at its end")),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    let text = parse("openbao:secret/data/x").unwrap_err().to_string();
    assert!(text.ends_with("(did you mean vault:?)"), "{text}");
}

#[test]
fn what_is_written_for_bank_vaults_is_named() {
    let error = |text: &str| SecretRef::parse(text, &BTreeMap::new()).unwrap_err().to_string();
    for (text, instead) in [
        (">>vault:pki/issue/web#certificate", "vault:PATH?name=value"),
        (">>bao:pki/issue/web", "vault:PATH?name=value"),
        ("${vault:secret/data/a#k}", "{{ secret("),
        ("postgres://${vault:a#user}:${bao:a#pw}@db", "{{ secret("),
        ("vault:secret/data/a#${.password}", "{{ secret("),
        ("vault:secret/data/a#x-${.user}-${.password | b64enc}", "{{ secret("),
        ("vault:login", "vault.auth"),
        ("bao:login", "vault.auth"),
    ] {
        let said = error(text);
        assert!(said.starts_with("this is bank-vaults' language") && said.contains(instead), "{text}: {said}");
    }
    assert!(SecretRef::parse("vault:login/x#k", &BTreeMap::new()).is_ok());
}

#[test]
fn a_key_that_ends_as_a_version_does_is_doubted() {
    for (text, meant) in [
        ("vault:a/b#k#1", Some("vault:a/b?version=1#k")),
        ("vault:a/b#k.x#12", Some("vault:a/b?version=12#k.x")),
        ("vault:a/b#k?version=3", Some("vault:a/b?version=3#k")),
        ("vault:a/b#k", None),
        ("vault:a/b#k#", None),
        ("vault:a/b#k#x", None),
        ("vault:a/b#k#0", None),
        ("vault:a/b#1", None),
        ("vault:a/b?version=1#k#2", None),
        ("vault:a/b?x=1#k#2", None),
        ("vault:a/b#k#v1", Some("vault:a/b?version=1#k")),
        ("aws-sm:a#k#2", None),
        ("aws-sm:a#k#AWSPREVIOUS", Some("aws-sm:a?stage=AWSPREVIOUS#k")),
        ("aws-sm:a?version=awsprevious#k", Some("such as AWSPREVIOUS")),
        ("aws-sm:a?version=EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE#k", None),
        ("aws-sm:a?stage=x#k#AWSPREVIOUS", None),
    ] {
        let doubt = parse(text).unwrap().doubt();
        assert_eq!(doubt.is_some(), meant.is_some(), "{text}: {doubt:?}");
        assert!(doubt.unwrap_or_default().ends_with(meant.unwrap_or_default()), "{text}");
    }
}

#[test]
fn a_stage_given_as_a_version_is_a_stage() {
    for (text, stage, version) in [
        ("aws-sm:a?version=AWSPREVIOUS", Some("AWSPREVIOUS"), None),
        ("aws-sm:a?version=AWSPREVIOUS&stage=x", Some("x"), Some("AWSPREVIOUS")),
        ("aws-sm:a?version=0e1f", None, Some("0e1f")),
    ] {
        let Source::Aws(source) = SecretRef::parse(text, &BTreeMap::new()).unwrap().source else { panic!("{text}") };
        assert_eq!((source.stage.as_deref(), source.version.as_deref()), (stage, version), "{text}");
    }
}
