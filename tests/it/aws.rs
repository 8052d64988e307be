//! Secrets Manager: every spelling of a reference, batches, fields, versions, regions, and what is missing.

use serde_json::json;

use support::*;

/// A name nobody else uses.
fn name(of: &str) -> String {
    format!("it-{}/{of}", unique())
}

#[track_caller]
fn printed(run: Run, variables: &str) -> String {
    Moto::shared().env(run).sh(&format!("printf %s \"{variables}\"")).output().ok()
}

#[test]
fn strings_fields_and_numbers_arrive_as_they_are() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("db"));
    moto.create(
        &name,
        "{\"user\":\"app\",\"port\":5432,\"big\":1e3,\"on\":true,\"deep\":{\"a\": \"a<b\"},\"we.ird#key\":\"w\"}",
    );
    let config = format!(
        "env: {{ U: \"aws-sm:{name}#user\", P: \"aws-sm:{name}#port\", B: \"aws-sm:{name}#big\", O: \"aws-sm:{name}#on\", D: \"aws-sm:{name}#deep\", W: \"aws-sm:{name}#we.ird#key\" }}"
    );
    assert_eq!(printed(case.with_config(&config), "$U $P $B $O $D $W"), "app 5432 1e3 true {\"a\":\"a<b\"} w");
}

#[test]
fn a_plain_string_and_a_binary_secret_are_whole() {
    let (case, moto, text, blob) = (Case::new(), Moto::shared(), name("text"), name("blob"));
    moto.create(&text, "plain text");
    moto.call("eu-west-1", "CreateSecret", json!({ "Name": blob, "SecretBinary": base64(&[0, 1, 2, 255]) }));
    let config = format!("files: {{ t: \"aws-sm:{text}\", b: \"aws-sm:{blob}\" }}");
    moto.env(case.with_files(&config)).app(&["true"]).output().ok();
    assert_eq!(std::fs::read(case.volume().join("t")).unwrap(), b"plain text");
    assert_eq!(std::fs::read(case.volume().join("b")).unwrap(), [0, 1, 2, 255]);
    case.refused(
        moto.env(case.with_config(&format!("env: {{ X: \"aws-sm:{text}#key\" }}"))),
        65,
        &[&format!("aws-sm:{text}#key")],
    );
}

#[test]
fn stages_and_versions_can_be_asked_for() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("versions"));
    let first = moto.call("eu-west-1", "CreateSecret", json!({ "Name": name, "SecretString": "one" }));
    moto.call("eu-west-1", "PutSecretValue", json!({ "SecretId": name, "SecretString": "two" }));
    let version = first["VersionId"].as_str().unwrap();
    let config = format!(
        "env: {{ C: \"aws-sm:{name}\", P: \"aws-sm:{name}?stage=AWSPREVIOUS\", V: \"aws-sm:{name}?version={version}\" }}"
    );
    assert_eq!(printed(case.with_config(&config), "$C $P $V"), "two one one");
}

#[test]
fn a_pending_version_is_never_delivered() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("pending"));
    moto.create(&name, "one");
    let put = json!({ "SecretId": name, "SecretString": "canary", "VersionStages": ["AWSPENDING"] });
    moto.call("eu-west-1", "PutSecretValue", put);
    let run = moto.env(case.with_config(&format!("env: {{ X: \"aws-sm:{name}?stage=AWSPENDING\" }}")));
    case.refused(run, 65, &["AWSPENDING"]);
}

#[test]
fn arns_are_taken_in_both_spellings_and_bring_their_region() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("arn"));
    let made = moto.call("us-east-2", "CreateSecret", json!({ "Name": name, "SecretString": "{\"k\":\"ohio\"}" }));
    let arn = made["ARN"].as_str().unwrap();
    let config =
        format!("env: {{ A: \"aws-sm:{arn}#k\", B: \"{arn}#k\", C: \"{arn}:k::\", D: \"{arn}:k:AWSCURRENT:\" }}");
    assert_eq!(printed(case.with_config(&config), "$A $B $C $D"), "ohio ohio ohio ohio");
}

#[test]
fn a_region_comes_from_the_config_before_the_environment() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("region"));
    moto.call("ap-south-1", "CreateSecret", json!({ "Name": name, "SecretString": "mumbai" }));
    let config = format!("aws: {{ region: ap-south-1 }}\nenv: {{ X: \"aws-sm:{name}\" }}");
    assert_eq!(printed(case.with_config(&config), "$X"), "mumbai");
}

#[test]
fn many_secrets_are_one_request() {
    let (case, moto) = (Case::new(), Moto::shared());
    let prefix = name("many");
    let entries: Vec<_> = (0..18)
        .map(|n| {
            moto.create(&format!("{prefix}-{n}"), &format!("{{\"a\":\"{n}\",\"b\":\"b\"}}"));
            format!("A{n}: \"aws-sm:{prefix}-{n}#a\", B{n}: \"aws-sm:{prefix}-{n}#b\"")
        })
        .collect();
    let proxy = Proxy::before(moto.port);
    let run = moto.env_at(proxy.port, case.with_config(&format!("env: {{ {} }}", entries.join(", "))));
    assert_eq!(run.sh("printf %s $A0$A17$B9").output().ok(), "017b");
    assert_eq!((proxy.count("secretsmanager.BatchGetSecretValue"), proxy.requests().len()), (1, 1));
}

#[test]
fn one_secret_alone_is_one_plain_read() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("one"));
    moto.create(&name, "value");
    let proxy = Proxy::before(moto.port);
    let run = moto.env_at(proxy.port, case.with_config(&format!("env: {{ X: \"aws-sm:{name}\" }}")));
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
    assert_eq!((proxy.count("secretsmanager.GetSecretValue"), proxy.requests().len()), (1, 1));
}

#[test]
fn what_is_missing_in_a_batch_is_named_and_the_rest_is_not() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("batch"));
    moto.create(&format!("{name}-there"), "canary");
    let config =
        format!("env: {{ A: \"aws-sm:{name}-there\", B: \"aws-sm:{name}-gone\", C: \"aws-sm:{name}-gone-too\" }}");
    let outcome = case.refused(
        moto.env(case.with_config(&config)),
        65,
        &[&format!("aws-sm:{name}-gone"), &format!("aws-sm:{name}-gone-too")],
    );
    assert!(!outcome.err().contains("canary"), "{outcome}");
    assert!(!outcome.err().contains(&format!("{name}-there")), "{outcome}");
}

#[test]
fn where_the_batch_is_denied_each_is_read_by_itself() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("denied"));
    moto.create(&format!("{name}-a"), "a");
    moto.create(&format!("{name}-b"), "b");
    let proxy = Proxy::before(moto.port);
    let denied = "{\"__type\":\"AccessDeniedException\",\"Message\":\"not authorized to perform: secretsmanager:BatchGetSecretValue\"}";
    proxy.next([Plan::Answer(400, "x-amzn-errortype: AccessDeniedException\r\n".into(), denied.into())]);
    let config = format!("env: {{ A: \"aws-sm:{name}-a\", B: \"aws-sm:{name}-b\" }}");
    assert_eq!(moto.env_at(proxy.port, case.with_config(&config)).sh("printf %s $A$B").output().ok(), "ab");
    assert_eq!(proxy.count("secretsmanager.GetSecretValue"), 2);
}

#[test]
fn a_denied_secret_ends_with_77_and_names_the_permission() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("forbidden"));
    let proxy = Proxy::before(moto.port);
    let denied = "{\"__type\":\"AccessDeniedException\",\"Message\":\"canary says no\"}";
    proxy.always(Plan::Answer(400, "x-amzn-errortype: AccessDeniedException\r\n".into(), denied.into()));
    let run = moto.env_at(proxy.port, case.with_config(&format!("env: {{ X: \"aws-sm:{name}\" }}")));
    case.refused(run, 77, &[&format!("aws-sm:{name}"), "secretsmanager:GetSecretValue"]);
}

#[test]
fn throttling_and_server_errors_are_tried_again() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("throttled"));
    moto.create(&name, "value");
    let proxy = Proxy::before(moto.port);
    let throttled = "{\"__type\":\"ThrottlingException\",\"Message\":\"Rate exceeded\"}";
    proxy.next([
        Plan::Answer(400, "x-amzn-errortype: ThrottlingException\r\n".into(), throttled.into()),
        Plan::Answer(500, String::new(), "{\"__type\":\"InternalServiceError\"}".into()),
        Plan::Close,
    ]);
    let run = moto.env_at(proxy.port, case.with_config(&format!("env: {{ X: \"aws-sm:{name}\" }}")));
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
}

#[test]
fn a_deleted_secret_is_missing() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("deleted"));
    moto.create(&name, "canary");
    moto.call("eu-west-1", "DeleteSecret", json!({ "SecretId": name }));
    case.refused(
        moto.env(case.with_config(&format!("env: {{ X: \"aws-sm:{name}\" }}"))),
        65,
        &[&format!("aws-sm:{name}"), "delet"],
    );
}

#[test]
fn a_role_can_be_assumed_for_all_or_for_one() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("role"));
    moto.create(&name, "value");
    let role = "arn:aws:iam::123456789012:role/reader";
    for config in [
        format!("aws: {{ assumeRole: {{ arn: \"{role}\", externalId: ext-1 }} }}\nenv: {{ X: \"aws-sm:{name}\" }}"),
        format!("env: {{ X: \"aws-sm:{name}?role={role}\" }}"),
    ] {
        let proxy = Proxy::before(moto.port);
        let run = moto.env_at(proxy.port, case.with_config(&config));
        assert_eq!(run.sh("printf %s $X").output().ok(), "value");
        assert_eq!(proxy.count("Action=AssumeRole"), 1);
        assert_eq!(proxy.count("ext-1"), usize::from(config.contains("externalId")));
    }
}

#[test]
fn a_web_identity_token_is_read_from_its_file() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("irsa"));
    moto.create(&name, "value");
    let token = case.write("irsa-token", "canary-web-identity");
    let proxy = Proxy::before(moto.port);
    let run = case
        .with_config(&format!("env: {{ X: \"aws-sm:{name}\" }}"))
        .env("AWS_ENDPOINT_URL", proxy.address())
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
    assert_eq!(proxy.count("Action=AssumeRoleWithWebIdentity"), 1);
}

#[test]
fn credentials_come_from_a_container_endpoint() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("pod-identity"));
    moto.create(&name, "value");
    let agent = Proxy::before(1);
    let credentials =
        json!({ "AccessKeyId": "ASIA1", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z" });
    agent.always(Plan::Answer(200, String::new(), credentials.to_string()));
    let token = case.write("eks-token", "eks-authorization");
    let run = case
        .with_config(&format!("env: {{ X: \"aws-sm:{name}\" }}"))
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", moto.port))
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/v1/credentials", agent.address()))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
    assert_eq!((agent.count("GET /v1/credentials"), agent.count("eks-authorization")), (1, 1));
}

#[test]
fn a_role_is_assumed_with_what_a_web_identity_gave() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("irsa-role"));
    moto.create(&name, "value");
    let token = case.write("irsa-token", "canary-web-identity");
    let proxy = Proxy::before(moto.port);
    let config = "aws: { assumeRole: \"arn:aws:iam::123456789012:role/reader\" }\n";
    let run = case
        .with_config(&format!("{config}env: {{ X: \"aws-sm:{name}\" }}"))
        .env("AWS_ENDPOINT_URL", proxy.address())
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
    let asked = ["Action=AssumeRoleWithWebIdentity&", "Action=AssumeRole&", "secretsmanager.GetSecretValue"];
    assert_eq!(asked.map(|action| proxy.count(action)), [1, 1, 1], "{:?}", proxy.requests());
}

#[test]
fn a_web_identity_token_that_may_not_be_read_is_named_with_its_variable() {
    let (case, moto) = (Case::new(), Moto::shared());
    let token = case.write("irsa-token", "canary-web-identity");
    let missing = token.with_file_name("none");
    if is_root() {
        std::os::unix::fs::chown(&token, Some(0), Some(0)).unwrap();
    }
    for file in [&missing, &token].into_iter().take(if is_root() { 2 } else { 1 }) {
        let run = case
            .with_config("env: { X: \"aws-sm:some/name\" }")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", moto.port))
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", file)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        case.refused(run, 77, &["AWS_WEB_IDENTITY_TOKEN_FILE", &file.display().to_string()]);
    }
}

#[test]
fn an_ecs_task_has_its_credentials_at_the_relative_uri() {
    needs_root!();
    let case = Case::new();
    let [python, part] = [python(), parts().join("container_credentials.py")].map(|path| path.display().to_string());
    let run = |token: &str| {
        case.with_config("env: { X: \"aws-sm:a\" }")
            .args(&["--run-as", &format!("{APP}:{APP}"), "--timeout", "20s"])
            .env("AWS_ENDPOINT_URL", "http://169.254.170.2")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/task")
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", token)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .within(&["unshare", "-n", &python, &part])
            .root()
    };
    assert_eq!(run("Basic task-token").sh("printf %s \"$X\"").output().ok(), "read by the task");
    let outcome = run("Basic another").app(&case.marking_app()).output();
    assert!(outcome.code() != Some(0) && !case.ran(), "{outcome}");
}

#[test]
fn an_instance_has_its_credentials_from_imds_version_2() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("imds"));
    moto.create(&name, "value");
    let metadata = Proxy::before(1);
    let lives = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\n".to_owned();
    metadata.on("PUT /latest/api/token", Plan::Answer(200, lives, "session-token".into()));
    let credentials = json!({
        "Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": "ASIAINSTANCE",
        "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z", "AccountId": "123456789012",
    });
    metadata.on("/web-role", Plan::Answer(200, String::new(), credentials.to_string()));
    metadata.on("/security-credentials", Plan::Answer(200, String::new(), "web-role".into()));
    metadata.always(Plan::Answer(404, String::new(), String::new()));
    let proxy = Proxy::before(moto.port);
    let run = case
        .with_config(&format!("env: {{ X: \"aws-sm:{name}\" }}"))
        .env("AWS_ENDPOINT_URL", proxy.address())
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.address());
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
    let asked = metadata.requests();
    assert!(asked[0].starts_with("PUT /latest/api/token"), "{asked:?}");
    let others = || asked.iter().skip(1);
    assert!(others().count() >= 1 && others().all(|head| head.contains("session-token")), "never version 1: {asked:?}");
    assert_eq!(proxy.count("Credential=ASIAINSTANCE/"), 1);
}

#[test]
fn nothing_to_log_in_with_and_no_region_are_said_so() {
    let case = Case::new();
    let config = "env: { X: \"aws-sm:some/name\" }";
    let bare =
        |config: &str| case.with_config(config).env("AWS_EC2_METADATA_DISABLED", "true").args(&["--timeout", "5s"]);
    case.refused(bare(config).env("AWS_REGION", "eu-west-1"), 77, &["credentials"]);
    let run = bare(config).env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b");
    case.refused(run, 64, &["aws.region"]);
}

#[test]
fn what_is_wrong_with_a_profile_is_said_with_its_file_and_line() {
    let case = Case::new();
    let run = |profile: &str| {
        let run = case.with_config("env: { X: \"aws-sm:some/name\" }").env("AWS_EC2_METADATA_DISABLED", "true");
        let run = run.env("HOME", &case.dir).env("AWS_REGION", "eu-west-1").args(&["--timeout", "5s"]);
        if profile.is_empty() { run } else { run.env("AWS_PROFILE", profile) }
    };
    // Without any file, and with one that has others.
    case.refused(run("nobody"), 77, &["AWS_PROFILE is \"nobody\"", "~/.aws/config"]);
    case.write(".aws/config", "[profile other]\nregion = eu-west-1\n");
    case.refused(run("nobody"), 77, &["AWS_PROFILE is \"nobody\""]);
    // On a laptop, where the last of the chain is asked and does not answer.
    let laptop = run("nobody").env("AWS_EC2_METADATA_DISABLED", "false");
    let nobody = format!("http://127.0.0.1:{}", free_port());
    case.refused(laptop.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", nobody), 77, &["AWS_PROFILE is \"nobody\""]);
    for (text, line) in [("[default\nregion = canary\n", "on line 1"), ("[default]\nregion = x\ncanary\n", "on line 3")]
    {
        case.write(".aws/config", text);
        let outcome = case.refused(run(""), 77, &[".aws/config", line]);
        assert!(!outcome.err().contains("canary"), "{outcome}");
    }
}

#[test]
fn an_endpoint_of_a_services_section_is_used() {
    let (case, moto, name) = (Case::new(), Moto::shared(), name("services"));
    moto.create(&name, "value");
    let config = format!(
        "[default]\nregion = eu-west-1\nservices = here\naws_access_key_id = AKIASUITE\naws_secret_access_key = b\n\n\
         [services here]\nsecrets_manager =\n  endpoint_url = http://127.0.0.1:{}\n",
        moto.port
    );
    case.write(".aws/config", config);
    let run = case.with_config(&format!("env: {{ X: \"aws-sm:{name}\" }}")).env("HOME", &case.dir);
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
}

#[test]
fn secrets_of_both_backends_arrive_together() {
    let (case, moto, space) = (Case::new(), Moto::shared(), Space::new(OpenBao::shared()));
    let name = name("both");
    moto.create(&name, "from aws");
    let kv = space.kv2(&[("a", json!({ "k": "from vault" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!("{}env: {{ A: \"aws-sm:{name}\", V: \"vault:{kv}/data/a#k\" }}\n", space.vault(&login));
    assert_eq!(printed(case.with_config(&config), "$A, $V"), "from aws, from vault");
}

#[test]
fn a_profiles_region_that_is_no_name_is_refused_and_names_no_host() {
    let case = Case::new();
    let profile = "[default]\nregion = evil.example.com/x\naws_access_key_id = AKIASUITE\naws_secret_access_key = b\n";
    case.write(".aws/config", profile);
    // The secret has a region of its own, so only the role's STS takes the profile's.
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:abc-AbCdEf";
    let role = "aws: { assumeRole: \"arn:aws:iam::123456789012:role/reader\" }";
    let run = case.with_config(&format!("{role}\nenv: {{ X: \"aws-sm:{arn}\" }}"));
    let run = run.env("HOME", &case.dir).env("AWS_EC2_METADATA_DISABLED", "true");
    case.refused(run, 64, &["region", "evil.example.com/x"]);
}

/// As compose's `${X:-}` and an empty key of a ConfigMap make them.
#[test]
fn an_empty_endpoint_is_none() {
    let case = Case::new();
    let profile = case.write(
        "config",
        "[default]\nendpoint_url =\nservices = s\n[services s]\nsecrets_manager =\n  endpoint_url =\n",
    );
    let run = || {
        let run = case.run().args(&[
            "--timeout",
            "1s",
            "--env",
            "X=aws-sm:a",
            "--set",
            "aws.assumeRole=arn:aws:iam::1:role/x",
        ]);
        let identity = [("AWS_REGION", "xx-nowhere-1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        identity.into_iter().fold(run, |run, (name, value)| run.env(name, value)).sh("true")
    };
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_STS"] {
        run().env(name, "").output().refused(69, &["the name does not resolve"]);
    }
    run().env("AWS_CONFIG_FILE", profile.to_str().unwrap()).output().refused(69, &["the name does not resolve"]);
}
