//! Secrets Manager against moto, and against a scripted server for what moto never answers.
//!
//! The SDK reads its environment as a whole, so every test runs in a process of its own whose environment is exactly what
//! the test says: a test starts this same program again with its own name. Contents:
//! values and versions · spellings and regions · batches · roles · failures · how requests leave the machine · TLS.

#![allow(clippy::disallowed_methods, reason = "a test starts processes, reads its environment and the clock")]
#![allow(clippy::print_stderr, reason = "what was skipped is said")]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing there")]

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use secret_exec::config;
use secret_exec::domain::{Fetched, Payload, SecretRef, Source};
use secret_exec::identity::aws::AwsIdentity;
use secret_exec::provider::aws::{Aws, DescribeError};
use secret_exec::provider::{Class, Failure, Fetch};

// ---------------------------------------------------------------------------------------------- the test's own process

const CHILD: &str = "AWS_PROVIDER_TEST";
const REGION: &str = "eu-west-1";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs one test of this program in a process with this environment only; an empty value takes a default away.
fn run_alone(name: &str, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", "canary-key"), ("AWS_REGION", REGION)])
        .envs([("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nonexistent"), (CHILD, name)]);
    for (name, value) in environment {
        if value.is_empty() {
            command.env_remove(name);
        } else {
            command.env(name, value);
        }
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

// --------------------------------------------------------------------------------------------------------------- moto

/// A Python program that prints its port. It ends when its standard input does, which is when this value or process does.
struct Server {
    port: u16,
    _child: Child,
    _stdin: ChildStdin,
}

const MOTO: &str = "
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
";

/// Starts one; `None` (said loudly) when moto is not installed.
fn python(program: &str, arguments: &[&str]) -> Option<Server> {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    if !python.with_file_name("moto_server").exists() {
        eprintln!("SKIPPED: .venv/bin/moto_server is missing, so this was not tried against Secrets Manager");
        return None;
    }
    let mut command = Command::new(python);
    command.args(["-c", program]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Some(Server { port: line.trim().parse().unwrap(), _child: child, _stdin: stdin })
}

/// The address of the one moto for all tests.
fn moto() -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| python(MOTO, &[]));
    server.as_ref().map(|server| format!("http://127.0.0.1:{}", server.port))
}

/// Runs a test in its own process against moto.
fn with_moto<F: Future<Output = ()>>(name: &str, environment: &[(&str, &str)], test: impl FnOnce() -> F) {
    if is_child() {
        return block_on(test());
    }
    let Some(url) = moto() else { return };
    let mut all = vec![("AWS_ENDPOINT_URL", url.as_str())];
    all.extend_from_slice(environment);
    run_alone(name, &all);
}

/// The plain SDK, to put things there.
async fn admin(region: &str) -> aws_sdk_secretsmanager::Client {
    let identity = AwsIdentity::new(config::Aws::default(), None);
    aws_sdk_secretsmanager::Client::new(&identity.sdk(region, None).await.unwrap())
}

async fn create(region: &str, name: &str, text: &str) -> (String, String) {
    let made = admin(region).await.create_secret().name(name).secret_string(text).send().await.unwrap();
    (made.arn.unwrap(), made.version_id.unwrap())
}

// ------------------------------------------------------------------------------------------------------ a scripted server

/// What came in: the operation and the body.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// At the end of an answer: the connection ends before it, and after fewer bytes than were promised.
const CUT: &str = "✂";

/// Answers every request by `script`: operation and body → status and body.
fn scripted(script: impl Fn(&str, &str) -> (u16, String) + Send + Clone + 'static) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let log = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (log, script) = (log.clone(), script.clone());
            std::thread::spawn(move || while answer(stream.as_ref().unwrap(), &log, &script).is_some() {});
        }
    });
    (url, seen)
}

fn answer(mut stream: &TcpStream, seen: &Seen, script: &impl Fn(&str, &str) -> (u16, String)) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut operation, mut length, mut line) = (String::new(), 0, String::new());
    reader.read_line(&mut line).ok()?;
    operation.push_str(line.rsplit_once(' ')?.0);
    line.clear();
    while reader.read_line(&mut line).ok()? > 2 {
        let (name, value) = line.trim().split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => operation = value.trim_start_matches("secretsmanager.").to_owned(),
            "content-length" => length = value.parse().ok()?,
            "authorization" if operation.starts_with("GET ") => operation = format!("{operation} as {value}"),
            _ => {}
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    seen.lock().unwrap().push((operation.clone(), body.clone()));
    let (status, text) = script(&operation, &body);
    let head = format!("HTTP/1.1 {status} x\r\nContent-Type: application/x-amz-json-1.1\r\nRetry-After: 7\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{}", text.len(), text.trim_end_matches(CUT)).ok()?;
    (!text.ends_with(CUT)).then_some(())
}

fn error(code: &str) -> (u16, String) {
    (400, format!(r#"{{"__type":"{code}","Message":"canary"}}"#))
}

fn value(id: &str) -> String {
    let arn = format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{id}-AbCdEf");
    format!(
        r#"{{"ARN":"{arn}","Name":"{id}","VersionId":"v-{id}","SecretString":"value of {id}","VersionStages":["AWSCURRENT"]}}"#
    )
}

fn id_in(body: &str) -> String {
    let body: BTreeMap<String, serde_json::Value> = serde_json::from_str(body).unwrap();
    body["SecretId"].as_str().unwrap().to_owned()
}

/// Runs a test in its own process against a scripted server of ours, and answers what that saw. `URL` in a value of the
/// environment is its address. In the test's own process: `None`.
fn with_script<F: Future<Output = ()>>(
    name: &str,
    environment: &[(&str, &str)],
    script: impl Fn(&str, &str) -> (u16, String) + Send + Clone + 'static,
    test: impl FnOnce() -> F,
) -> Option<Vec<(String, String)>> {
    if is_child() {
        block_on(test());
        return None;
    }
    let (url, seen) = scripted(script);
    let all: Vec<_> = environment.iter().map(|(name, value)| (*name, value.replace("URL", &url))).collect();
    run_alone(name, &all.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>());
    let seen = seen.lock().unwrap().clone();
    Some(seen)
}

const HERE: &[(&str, &str)] = &[("AWS_ENDPOINT_URL", "URL")];

fn operations(seen: &[(String, String)]) -> Vec<&str> {
    seen.iter().map(|(operation, _)| operation.as_str()).collect()
}

// ---------------------------------------------------------------------------------------------------------- asking us

fn provider(mut settings: config::Aws) -> Aws {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    settings.proxies = config::Proxies::read(|name| {
        environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    });
    Aws::new(Arc::new(AwsIdentity::new(settings, None)))
}

fn source(text: &str) -> Source {
    SecretRef::parse(text, &BTreeMap::new()).unwrap().source
}

async fn fetch(aws: &Aws, references: &[&str]) -> Vec<Result<Fetched, Failure>> {
    let sources: Vec<_> = references.iter().map(|text| source(text)).collect();
    let answers = aws.fetch(&sources.iter().collect::<Vec<_>>()).await;
    for answer in &answers {
        let text = format!("{answer:?}");
        assert!(!text.contains("canary"), "{text}");
    }
    answers
}

async fn one(reference: &str) -> Result<Fetched, Failure> {
    fetch(&provider(config::Aws::default()), &[reference]).await.remove(0)
}

fn bytes(fetched: &Fetched) -> &[u8] {
    match &fetched.payload {
        Payload::Whole(value) => value.expose(),
        Payload::Map(_) => panic!("a map"),
    }
}

fn text(answer: &Result<Fetched, Failure>) -> &str {
    std::str::from_utf8(bytes(answer.as_ref().unwrap())).unwrap()
}

fn class(answer: &Result<Fetched, Failure>) -> &Class {
    &answer.as_ref().unwrap_err().class
}

// -------------------------------------------------------------------------------------------------- values and versions

#[test]
fn strings_binaries_and_json_fields_are_read_as_they_are() {
    with_moto("strings_binaries_and_json_fields_are_read_as_they_are", &[], || async {
        create(REGION, "text", "a<b\n").await;
        create(REGION, "json", r#"{"port": 5432, "on": true, "o": {"a" : [1.50]}, "s": "a<b"}"#).await;
        let blob = aws_sdk_secretsmanager::primitives::Blob::new([0, 255, 10]);
        admin(REGION).await.create_secret().name("binary").secret_binary(blob).send().await.unwrap();
        let aws = provider(config::Aws::default());
        let answers = fetch(&aws, &["aws-sm:text", "aws-sm:json", "aws-sm:binary"]).await;
        assert_eq!(text(&answers[0]), "a<b\n");
        for (key, raw) in [("port", "5432"), ("on", "true"), ("o", r#"{"a":[1.50]}"#), ("s", "a<b")] {
            let payload = &answers[1].as_ref().unwrap().payload;
            assert_eq!(payload.value(key).unwrap().raw().expose_text(), Some(raw));
        }
        assert_eq!(bytes(answers[2].as_ref().unwrap()), [0, 255, 10]);
        assert_eq!(bytes(one("aws-sm:binary").await.as_ref().unwrap()), [0, 255, 10]);
    });
}

#[test]
fn stages_and_versions_are_what_was_asked_for() {
    with_moto("stages_and_versions_are_what_was_asked_for", &[], || async {
        let (_, first) = create(REGION, "versions", "first").await;
        let put = admin(REGION).await.put_secret_value().secret_id("versions").secret_string("second");
        let second = put.send().await.unwrap().version_id.unwrap();
        let pending = admin(REGION).await.put_secret_value().secret_id("versions").secret_string("third");
        let third = pending.version_stages("AWSPENDING").send().await.unwrap().version_id.unwrap();

        let aws = provider(config::Aws::default());
        let by_version = format!("aws-sm:versions?version={first}");
        let unfinished = format!("aws-sm:versions?version={third}");
        let references = [
            "aws-sm:versions",
            "aws-sm:versions?stage=AWSPREVIOUS",
            by_version.as_str(),
            "aws-sm:versions?stage=AWSCURRENT",
            "aws-sm:versions?stage=AWSPENDING",
            unfinished.as_str(),
            "aws-sm:versions?stage=nothing",
        ];
        let answers = fetch(&aws, &references).await;
        let texts: Vec<_> = answers[..4].iter().map(text).collect();
        assert_eq!(texts, ["second", "first", "first", "second"]);
        assert_eq!(answers[0].as_ref().unwrap().version.as_ref().unwrap().0, second);
        assert_eq!(class(&answers[4]), &Class::Malformed);
        assert_eq!(class(&answers[5]), &Class::Malformed);
        assert_eq!(class(&answers[6]), &Class::NotFound);

        let describe = async |text: &str| match source(text) {
            Source::Aws(source) => aws.describe(&source).await,
            _ => panic!("not aws"),
        };
        assert_eq!(describe("aws-sm:versions").await.unwrap().version.unwrap().0, second);
        assert_eq!(describe("aws-sm:versions?stage=AWSPREVIOUS").await.unwrap().version.unwrap().0, first);
        assert_eq!(describe(&by_version).await.unwrap().version.unwrap().0, first);
        assert_eq!(describe("aws-sm:versions?version=nothing").await.unwrap().version, None);
        let failed = async |text| match describe(text).await {
            Err(DescribeError::Failed(failure)) => failure.class,
            answer => panic!("{answer:?}"),
        };
        assert_eq!(failed("aws-sm:missing").await, Class::NotFound);
        assert_eq!(failed("aws-sm:versions?stage=AWSPENDING").await, Class::Malformed);
    });
}

// ------------------------------------------------------------------------------------------------ spellings and regions

#[test]
fn a_secret_is_found_by_every_spelling_and_in_the_arns_region() {
    with_moto("a_secret_is_found_by_every_spelling_and_in_the_arns_region", &[], || async {
        let (arn, version) = create(REGION, "spelled", "here").await;
        let (there, _) = create("us-east-2", "elsewhere", r#"{"k":"there"}"#).await;
        let partial = arn.rsplit_once('-').unwrap().0;
        let ecs = format!("{arn}::AWSCURRENT:{version}");
        let prefixed = format!("aws-sm:{arn}");
        let field = format!("{there}:k::");
        let references = ["aws-sm:spelled", &arn, &prefixed, partial, &ecs, &field];
        let answers = fetch(&provider(config::Aws::default()), &references).await;
        assert_eq!(answers[..5].iter().map(text).collect::<Vec<_>>(), ["here"; 5]);
        assert_eq!(text(&answers[5]), r#"{"k":"there"}"#);
        assert_eq!(class(&one("aws-sm:elsewhere").await), &Class::NotFound);

        let configured = config::Aws { region: Some("us-east-2".into()), assume_role: None, ..config::Aws::default() };
        assert_eq!(text(&fetch(&provider(configured), &["aws-sm:elsewhere"]).await[0]), r#"{"k":"there"}"#);
    });
}

#[test]
fn without_a_region_only_arns_can_be_read() {
    with_moto("without_a_region_only_arns_can_be_read", &[("AWS_REGION", "")], || async {
        let (arn, _) = create("us-east-2", "regionless", "x").await;
        let answers = fetch(&provider(config::Aws::default()), &["aws-sm:regionless", &arn]).await;
        let failure = answers[0].as_ref().unwrap_err();
        assert_eq!(failure.why, "no region: set aws.region or AWS_REGION, or use the secret's ARN");
        assert_eq!(text(&answers[1]), "x");
    });
}

// -------------------------------------------------------------------------------------------------------------- batches

#[test]
fn one_failure_of_a_batch_touches_no_other_secret() {
    with_moto("one_failure_of_a_batch_touches_no_other_secret", &[], || async {
        create(REGION, "good-1", "1").await;
        create(REGION, "good-2", "2").await;
        create(REGION, "deleted", "x").await;
        admin(REGION).await.delete_secret().secret_id("deleted").send().await.unwrap();
        let references = ["aws-sm:good-1", "aws-sm:missing", "aws-sm:good-2", "aws-sm:deleted"];
        let answers = fetch(&provider(config::Aws::default()), &references).await;
        assert_eq!((text(&answers[0]), text(&answers[2])), ("1", "2"));
        assert_eq!(class(&answers[1]), &Class::NotFound);
        let deleted = answers[3].as_ref().unwrap_err();
        assert_eq!((&deleted.class, deleted.why.contains("deletion")), (&Class::NotFound, true));
        assert_eq!(class(&one("aws-sm:deleted").await), &Class::NotFound);
        assert!(one("aws-sm:missing").await.unwrap_err().why.starts_with("no such secret in eu-west-1"));
    });
}

#[test]
fn forty_one_secrets_are_three_requests_and_answers_keep_their_order() {
    let name = "forty_one_secrets_are_three_requests_and_answers_keep_their_order";
    let script = |operation: &str, body: &str| match operation {
        "BatchGetSecretValue" => {
            let asked: BTreeMap<String, Vec<String>> = serde_json::from_str(body).unwrap();
            let values: Vec<_> = asked["SecretIdList"].iter().rev().map(|id| value(id)).collect();
            (200, format!(r#"{{"SecretValues":[{}],"Errors":[]}}"#, values.join(",")))
        }
        _ => (200, value(&id_in(body))),
    };
    let seen = with_script(name, HERE, script, || async {
        let references: Vec<_> = (0..41).map(|n| format!("aws-sm:s{n}")).collect();
        let references: Vec<_> = references.iter().map(String::as_str).collect();
        let answers = fetch(&provider(config::Aws::default()), &references).await;
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(text(answer), format!("value of s{n}"));
            assert_eq!(answer.as_ref().unwrap().version.as_ref().unwrap().0, format!("v-s{n}"));
        }
    });
    let Some(seen) = seen else { return };
    let mut operations = operations(&seen);
    operations.sort_unstable();
    assert_eq!(operations, ["BatchGetSecretValue", "BatchGetSecretValue", "GetSecretValue"]);
}

#[test]
fn where_batches_are_denied_secrets_are_read_one_by_one() {
    let name = "where_batches_are_denied_secrets_are_read_one_by_one";
    let script = |operation: &str, body: &str| match operation {
        "BatchGetSecretValue" => error("AccessDeniedException"),
        _ if id_in(body) == "kms" => error("DecryptionFailure"),
        _ => (200, value(&id_in(body))),
    };
    let seen = with_script(name, HERE, script, || async {
        let answers = fetch(&provider(config::Aws::default()), &["aws-sm:a", "aws-sm:kms", "aws-sm:b"]).await;
        assert_eq!((text(&answers[0]), text(&answers[2])), ("value of a", "value of b"));
        let kms = answers[1].as_ref().unwrap_err();
        assert_eq!((&kms.class, kms.why.contains("kms:Decrypt")), (&Class::Denied, true));
    });
    let Some(seen) = seen else { return };
    assert_eq!(operations(&seen)[..1], ["BatchGetSecretValue"]);
    assert_eq!(seen.len(), 4);
}

#[test]
fn errors_inside_a_batch_have_their_classes_and_what_it_left_out_is_asked_again() {
    let name = "errors_inside_a_batch_have_their_classes_and_what_it_left_out_is_asked_again";
    let script = |operation: &str, body: &str| match operation {
        "BatchGetSecretValue" => {
            let error = |id, code| format!(r#"{{"SecretId":"{id}","ErrorCode":"{code}","Message":"canary"}}"#);
            let errors = [error("denied", "AccessDeniedException"), error("busy", "ThrottlingException")].join(",");
            (200, format!(r#"{{"SecretValues":[{}],"Errors":[{errors}],"NextToken":"more"}}"#, value("a")))
        }
        _ => (200, value(&id_in(body))),
    };
    let seen = with_script(name, HERE, script, || async {
        let references = ["aws-sm:a", "aws-sm:denied", "aws-sm:busy", "aws-sm:paged"];
        let answers = fetch(&provider(config::Aws::default()), &references).await;
        assert_eq!((text(&answers[0]), text(&answers[3])), ("value of a", "value of paged"));
        assert_eq!(class(&answers[1]), &Class::Denied);
        assert_eq!(class(&answers[2]), &Class::Throttled { retry_after: None });
    });
    let Some(seen) = seen else { return };
    assert_eq!(operations(&seen), ["BatchGetSecretValue", "GetSecretValue"]);
}

// ---------------------------------------------------------------------------------------------------------------- roles

#[test]
fn an_assumed_role_reads_the_other_accounts_secret() {
    with_moto("an_assumed_role_reads_the_other_accounts_secret", &[], || async {
        let role = "arn:aws:iam::111122223333:role/reader";
        let identity = AwsIdentity::new(config::Aws::default(), None);
        let there = aws_sdk_secretsmanager::Client::new(&identity.sdk(REGION, Some(role)).await.unwrap());
        there.create_secret().name("theirs").secret_string("of 1111").send().await.unwrap();
        create(REGION, "ours", "of ours").await;

        let assume_role = config::AssumeRole { arn: role.into(), external_id: Some("x-1".into()) };
        let configured =
            provider(config::Aws { region: None, assume_role: Some(assume_role), ..config::Aws::default() });
        assert_eq!(text(&fetch(&configured, &["aws-sm:theirs"]).await[0]), "of 1111");

        let by_reference = format!("aws-sm:theirs?role={role}");
        let answers = fetch(&provider(config::Aws::default()), &["aws-sm:ours", &by_reference, "aws-sm:theirs"]).await;
        assert_eq!((text(&answers[0]), text(&answers[1])), ("of ours", "of 1111"));
        assert_eq!(class(&answers[2]), &Class::NotFound);
    });
}

#[test]
fn one_role_is_assumed_once_with_its_external_id() {
    let name = "one_role_is_assumed_once_with_its_external_id";
    let script = |operation: &str, body: &str| {
        match operation {
        "POST /" => (
            200,
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>".to_owned(),
        ),
        _ => (200, value(&id_in(body))),
    }
    };
    let seen = with_script(name, HERE, script, || async {
        let assume_role = config::AssumeRole { arn: "arn:aws:iam::1:role/r".into(), external_id: Some("x-1".into()) };
        let aws = provider(config::Aws { region: None, assume_role: Some(assume_role), ..config::Aws::default() });
        let there = "arn:aws:secretsmanager:us-east-2:123456789012:secret:b-AbCdEf";
        for answer in fetch(&aws, &["aws-sm:a?version=1", "aws-sm:a?version=2", there]).await {
            assert!(answer.is_ok());
        }
    });
    let Some(seen) = seen else { return };
    let assumed: Vec<_> = seen.iter().filter(|(operation, _)| operation == "POST /").collect();
    assert_eq!((assumed.len(), seen.len()), (1, 4));
    assert!(assumed[0].1.contains("ExternalId=x-1") && assumed[0].1.contains("RoleSessionName=secret-exec"));
}

#[test]
fn a_role_we_may_not_assume_is_denied_and_not_retried() {
    let name = "a_role_we_may_not_assume_is_denied_and_not_retried";
    let script = |_: &str, _: &str| {
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>canary</Message></Error></ErrorResponse>";
        (403, xml.to_owned())
    };
    let seen = with_script(name, HERE, script, || async {
        let answer = one("aws-sm:a?role=arn:aws:iam::1:role/r").await;
        assert_eq!(class(&answer), &Class::Denied);
        let why = answer.unwrap_err().why;
        assert!(why.starts_with("assuming the role was refused (AccessDenied): its trust policy"), "{why}");
    });
    assert_eq!(seen.map_or(1, |seen| seen.len()), 1);
}

#[test]
fn a_web_identity_token_becomes_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a.b.c").unwrap();
    let environment = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
    ];
    with_moto("a_web_identity_token_becomes_credentials", &environment, || async {
        create(REGION, "irsa", "x").await;
        assert_eq!(text(&one("aws-sm:irsa").await), "x");
    });
}

#[test]
fn a_web_identity_token_that_is_not_there_is_said() {
    let environment = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token"),
    ];
    with_moto("a_web_identity_token_that_is_not_there_is_said", &environment, || async {
        let failure = one("aws-sm:irsa").await.unwrap_err();
        assert_eq!(failure.class, Class::Denied);
        let named = ["AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token"];
        assert!(named.iter().all(|name| failure.why.contains(name)), "{}", failure.why);
    });
}

#[test]
fn pod_identity_credentials_are_asked_with_the_token_from_its_file_and_without_a_proxy() {
    let name = "pod_identity_credentials_are_asked_with_the_token_from_its_file_and_without_a_proxy";
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "pod-token").unwrap();
    let environment = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_ENDPOINT_URL", "URL"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "URL/v1/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
    ];
    let script = |operation: &str, body: &str| {
        if operation.starts_with("GET ") {
            let credentials =
                r#"{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2999-01-01T00:00:00Z"}"#;
            return (200, credentials.to_owned());
        }
        (200, value(&id_in(body)))
    };
    let seen = with_script(name, &environment, script, || async {
        assert_eq!(text(&one("aws-sm:a").await), "value of a");
    });
    let Some(seen) = seen else { return };
    assert_eq!(operations(&seen), ["GET /v1/credentials as pod-token", "GetSecretValue"]);
}

#[test]
fn credentials_that_expire_before_their_end_are_dropped_and_asked_for_again() {
    let name = "credentials_that_expire_before_their_end_are_dropped_and_asked_for_again";
    let environment = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_ENDPOINT_URL", "URL"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "URL/v1/credentials"),
    ];
    let (reads, descriptions) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let script = move |operation: &str, body: &str| {
        let is_second = |count: &AtomicUsize| count.fetch_add(1, Ordering::Relaxed) == 1;
        if operation.starts_with("GET ") {
            let credentials =
                r#"{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2999-01-01T00:00:00Z"}"#;
            return (200, credentials.to_owned());
        }
        if operation == "DescribeSecret" {
            let answer = r#"{"Name":"a","VersionIdsToStages":{"v-a":["AWSCURRENT"]}}"#;
            return if is_second(&descriptions) { error("ExpiredTokenException") } else { (200, answer.to_owned()) };
        }
        if is_second(&reads) { error("ExpiredTokenException") } else { (200, value(&id_in(body))) }
    };
    let seen = with_script(name, &environment, script, || async {
        let aws = provider(config::Aws::default());
        for _ in 0..3 {
            assert_eq!(text(&fetch(&aws, &["aws-sm:a"]).await[0]), "value of a");
        }
        let Source::Aws(wanted) = source("aws-sm:a") else { panic!() };
        for _ in 0..2 {
            assert_eq!(aws.describe(&wanted).await.unwrap().version.unwrap().0, "v-a");
        }
    });
    let Some(seen) = seen else { return };
    let (get, read, describe) = ("GET /v1/credentials", "GetSecretValue", "DescribeSecret");
    assert_eq!(operations(&seen), [get, read, read, get, read, read, describe, describe, get, describe]);
}

#[test]
fn no_credentials_at_all_are_said_in_one_line() {
    let environment = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    with_moto("no_credentials_at_all_are_said_in_one_line", &environment, || async {
        for reference in ["aws-sm:a", "aws-sm:a?role=arn:aws:iam::1:role/r"] {
            let failure = one(reference).await.unwrap_err();
            assert_eq!(failure.class, Class::Denied);
            assert!(failure.why.starts_with("no AWS credentials: none in the environment,"), "{}", failure.why);
            assert!(failure.why.ends_with("instance metadata is off (AWS_EC2_METADATA_DISABLED)"), "{}", failure.why);
        }
    });
}

#[test]
fn instance_metadata_that_stays_silent_is_given_up_within_seconds() {
    let name = "instance_metadata_that_stays_silent_is_given_up_within_seconds";
    // Connections are taken by the kernel and never answered, as with a hop limit of 1.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let environment = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_EC2_METADATA_DISABLED", ""),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()),
    ];
    if !is_child() {
        return run_alone(name, &environment);
    }
    let start = Instant::now();
    // Five requests of their own, which wait for one walk through the chain.
    let references: Vec<_> = (0..5).map(|n| format!("aws-sm:a?version={n}")).collect();
    let references: Vec<_> = references.iter().map(String::as_str).collect();
    for answer in block_on(async { fetch(&provider(config::Aws::default()), &references).await }) {
        let failure = answer.unwrap_err();
        assert_eq!(failure.class, Class::Denied);
        assert!(failure.why.contains("hop limit"), "{}", failure.why);
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn the_vault_login_is_signed_by_ourselves() {
    let name = "the_vault_login_is_signed_by_ourselves";
    if !is_child() {
        return run_alone(name, &[]);
    }
    let assume_role = config::AssumeRole { arn: "arn:aws:iam::1:role/r".into(), external_id: None };
    let identity =
        AwsIdentity::new(config::Aws { region: None, assume_role: Some(assume_role), ..config::Aws::default() }, None);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    let request = block_on(identity.signed_caller_identity(Some("vault.example.com"), None, now)).unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://sts.amazonaws.com/"));
    let headers = request.headers_json.expose_text().unwrap().to_owned();
    assert!(headers.contains("Credential=AKIDTEST/20260102/us-east-1/sts/aws4_request"), "{headers}");
}

// ------------------------------------------------------------------------------------------------------------- failures

#[test]
fn a_throttled_call_says_how_long_to_wait_and_a_failing_service_is_transient() {
    let name = "a_throttled_call_says_how_long_to_wait_and_a_failing_service_is_transient";
    let script = |operation: &str, body: &str| match operation {
        "BatchGetSecretValue" => error("ThrottlingException"),
        _ if id_in(body) == "fails" => (500, r#"{"__type":"InternalServiceError","Message":"canary"}"#.to_owned()),
        _ if id_in(body) == "html" => (503, "<html>canary</html>".to_owned()),
        _ if id_in(body) == "expired" => error("ExpiredTokenException"),
        _ if id_in(body) == "empty" => (200, r#"{"Name":"empty","VersionId":"v"}"#.to_owned()),
        _ => error("ThrottlingException"),
    };
    let seen = with_script(name, HERE, script, || async {
        let throttled = Class::Throttled { retry_after: Some(Duration::from_secs(7)) };
        assert_eq!(class(&one("aws-sm:busy").await), &throttled);
        assert_eq!(class(&one("aws-sm:fails").await), &Class::Transient);
        assert_eq!(class(&one("aws-sm:html").await), &Class::Transient);
        assert_eq!(class(&one("aws-sm:expired").await), &Class::Denied);
        assert_eq!(class(&one("aws-sm:empty").await), &Class::Malformed);
        for answer in fetch(&provider(config::Aws::default()), &["aws-sm:a", "aws-sm:b"]).await {
            assert_eq!(class(&answer), &throttled);
        }
    });
    // One request each, and one more with new credentials: trying again is the caller's business.
    assert_eq!(seen.map_or(7, |seen| seen.len()), 7);
}

#[test]
fn nobody_listening_is_transient_and_named() {
    let name = "nobody_listening_is_transient_and_named";
    if !is_child() {
        return run_alone(name, &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
    }
    let failure = block_on(one("aws-sm:a")).unwrap_err();
    let why =
        "cannot reach Secrets Manager in eu-west-1: connection refused (http://127.0.0.1:1, from AWS_ENDPOINT_URL)";
    assert_eq!(failure, Failure::new(Class::Transient, why).of_backend());
}

#[test]
fn an_answer_cut_short_is_transient_and_one_that_is_no_json_is_malformed() {
    let name = "an_answer_cut_short_is_transient_and_one_that_is_no_json_is_malformed";
    let script = |_: &str, body: &str| match id_in(body).as_str() {
        "short" => (200, value("short") + CUT),
        _ => (200, r#"{"SecretString":"canary"#.to_owned()),
    };
    with_script(name, HERE, script, || async {
        let short = one("aws-sm:short").await;
        assert_eq!(class(&short), &Class::Transient);
        let broken = one("aws-sm:broken").await.unwrap_err();
        assert_eq!((&broken.class, broken.why.contains("cannot be read")), (&Class::Malformed, true), "{}", broken.why);
    });
}

// --------------------------------------------------------------------------------------- how requests leave the machine

#[test]
fn the_services_own_endpoint_goes_before_the_general_one() {
    let name = "the_services_own_endpoint_goes_before_the_general_one";
    let environment = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "URL")];
    let script = |_: &str, body: &str| (200, value(&id_in(body)));
    with_script(name, &environment, script, || async {
        assert_eq!(text(&one("aws-sm:a").await), "value of a");
    });
}

fn connects(name: &str, switch: (&str, &str), reference: &str, host: &str) {
    let environment = [switch, ("HTTPS_PROXY", "URL"), ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")];
    let seen = with_script(
        name,
        &environment,
        |_, _| (502, String::new()),
        || async {
            assert_eq!(class(&one(reference).await), &Class::Transient);
        },
    );
    let Some(seen) = seen else { return };
    assert_eq!(operations(&seen), [format!("CONNECT {host}:443")]);
}

#[test]
fn a_proxy_is_asked_for_the_public_endpoint() {
    let name = "a_proxy_is_asked_for_the_public_endpoint";
    connects(name, ("AWS_REGION", REGION), "aws-sm:a", "secretsmanager.eu-west-1.amazonaws.com");
}

#[test]
fn the_fips_switch_is_honoured() {
    let name = "the_fips_switch_is_honoured";
    let arn = "arn:aws:secretsmanager:us-east-1:1:secret:a-AbCdEf";
    connects(name, ("AWS_USE_FIPS_ENDPOINT", "true"), arn, "secretsmanager-fips.us-east-1.amazonaws.com");
}

/// In the commercial partition the ordinary endpoint is the dual-stack one, so this asks in another.
#[test]
fn the_dual_stack_switch_is_honoured() {
    let name = "the_dual_stack_switch_is_honoured";
    let arn = "arn:aws-eusc:secretsmanager:eusc-de-east-1:1:secret:a-AbCdEf";
    let host = "secretsmanager.eusc-de-east-1.api.amazonwebservices.eu";
    connects(name, ("AWS_USE_DUALSTACK_ENDPOINT", "true"), arn, host);
}

#[test]
fn another_partition_has_its_own_endpoint() {
    let arn = "arn:aws-cn:secretsmanager:cn-north-1:1:secret:a-AbCdEf";
    let host = "secretsmanager.cn-north-1.amazonaws.com.cn";
    connects("another_partition_has_its_own_endpoint", ("AWS_REGION", REGION), arn, host);
}

#[test]
fn no_proxy_is_honoured() {
    let name = "no_proxy_is_honoured";
    let environment =
        [("HTTPS_PROXY", "URL"), ("NO_PROXY", "localhost,127.0.0.1"), ("AWS_ENDPOINT_URL", "https://127.0.0.1:1")];
    let seen = with_script(
        name,
        &environment,
        |_, _| (502, String::new()),
        || async {
            assert!(
                one("aws-sm:a")
                    .await
                    .unwrap_err()
                    .why
                    .contains(": connection refused (https://127.0.0.1:1, from AWS_ENDPOINT_URL)")
            );
        },
    );
    assert_eq!(seen.map_or(0, |seen| seen.len()), 0);
}

// ------------------------------------------------------------------------------------------------------------------ TLS

/// Makes a CA and a server of its own, prints the port, ends with its standard input.
const TLS: &str = r#"
import datetime, http.server, ipaddress, ssl, sys, threading
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
def name(text): return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
def certificate(subject, key, issuer, signer, extension):
    now = datetime.datetime.now(datetime.timezone.utc)
    b = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
    b = b.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    return b.add_extension(extension, True).sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
folder = sys.argv[1]
ca, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
open(folder + '/ca.pem', 'wb').write(certificate('ca', ca, 'ca', ca, x509.BasicConstraints(True, 0)))
here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address('127.0.0.1'))])
pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
open(folder + '/server.pem', 'wb').write(certificate('server', key, 'ca', ca, here) + pem)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers['content-length']))
        body = b'{"SecretString":"over TLS","VersionId":"v"}'
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(folder + '/server.pem')
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
"#;

#[test]
fn a_ca_bundle_is_trusted_and_without_it_the_certificate_is_refused() {
    let name = "a_ca_bundle_is_trusted_and_without_it_the_certificate_is_refused";
    if is_child() {
        let bundle = std::env::var_os("AWS_CA_BUNDLE").map(PathBuf::from);
        let identity = |bundle| Aws::new(Arc::new(AwsIdentity::new(config::Aws::default(), bundle)));
        block_on(async {
            assert_eq!(text(&fetch(&identity(bundle), &["aws-sm:a"]).await[0]), "over TLS");
            let failure = fetch(&identity(None), &["aws-sm:a"]).await.remove(0).unwrap_err();
            assert_eq!(failure.class, Class::Transient);
            assert!(failure.why.contains("not trusted (unknown issuer)"), "{}", failure.why);
            let failure = fetch(&identity(Some("/nonexistent".into())), &["aws-sm:a"]).await.remove(0).unwrap_err();
            assert_eq!(failure.class, Class::Malformed);
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = python(TLS, &[folder.path().to_str().unwrap()]) else { return };
    let url = format!("https://127.0.0.1:{}", server.port);
    let bundle = folder.path().join("ca.pem");
    // A system without any roots of its own: the bundled ones are used, and do not know this CA either.
    for roots in [("SSL_CERT_FILE", ""), ("SSL_CERT_FILE", "/nonexistent")] {
        run_alone(name, &[("AWS_ENDPOINT_URL", &url), ("AWS_CA_BUNDLE", bundle.to_str().unwrap()), roots]);
    }
}
