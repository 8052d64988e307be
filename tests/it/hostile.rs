//! Backends that turn hostile: answers without end, in bytes, in elements, in headers, in time. The program gives up in
//! words, and never uses more memory than its pod has.

use std::io::Result;
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::*;

/// What no answer may add to the program's memory: the default limit of 32Mi less a volume of 8Mi, less what the release
/// uses at rest.
const MOST_KIB: usize = 14 << 10;

/// Reports the most memory that the program used, on its standard error.
const MEASURE: &str = "import resource, subprocess, sys
user = int(sys.argv[1])
who = {'user': user, 'group': user, 'extra_groups': []} if user else {}
code = subprocess.run(sys.argv[2:], **who).returncode
print('most memory:', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
print('secret-exec: (measured)', file=sys.stderr)
sys.exit(code)";

/// Runs it; the code, what it said, and how much memory it used at most (in KiB).
fn measured(run: Run) -> (Option<i32>, String, usize) {
    let python = python().into_os_string();
    let user = if is_root() { APP } else { 0 };
    let outcome = run.root().within(&[python, "-c".into(), MEASURE.into(), user.to_string().into()]).output();
    let said = outcome.err();
    let most = said.lines().find_map(|line| line.strip_prefix("most memory: ")).unwrap_or_else(|| panic!("{outcome}"));
    (outcome.code(), said.clone(), most.parse().unwrap())
}

/// What an ordinary start uses, most of it the program's own pages: those of a test build are many.
fn at_rest() -> usize {
    static AT_REST: OnceLock<usize> = OnceLock::new();
    *AT_REST.get_or_init(|| {
        let case = Case::new();
        let script = vault(|stream| say(stream, "200 OK", "", r#"{"data":{"a":"b"}}"#));
        let (code, said, most) = measured(reads_vault(&case, &script, ONE).app(&["/bin/true"]));
        assert_eq!(code, Some(0), "{said}");
        most
    })
}

/// It fails with that code and those words, soon, and within its memory.
#[track_caller]
fn fails_within_bounds(run: Run, code: i32, says: &str) {
    let start = Instant::now();
    let (got, said, most) = measured(run.app(&["/bin/false"]));
    let most = most.saturating_sub(at_rest());
    assert!(got == Some(code) && said.contains(says), "{got:?}, expected {code} and {says:?}:\n{said}");
    eprintln!("{most} KiB more than {} KiB", at_rest());
    assert!(most < MOST_KIB, "{most} KiB:\n{said}");
    assert!(start.elapsed() < Duration::from_secs(45), "{:?}", start.elapsed());
}

const LOOKED_UP: &str = r#"{"data":{"ttl":3600,"expire_time":"2099-01-01T00:00:00Z","type":"service"}}"#;

/// A Vault that is well behaved until a secret is read.
fn vault(read: impl Fn(&mut TcpStream) -> Result<()> + Send + Sync + 'static) -> Script {
    Script::start(
        move |head, _, stream| {
            if head.contains("lookup-self") { say(stream, "200 OK", "", LOOKED_UP) } else { read(stream) }
        },
    )
}

fn reads_vault(case: &Case, script: &Script, more: &str) -> Run {
    let token = case.write("token", "s.token");
    let (address, token) = (script.address(), token.display().to_string());
    case.with_files(&format!(
        "timeout: 10s\nvault: {{ address: \"{address}\", auth: {{ method: token-file, path: {token} }} }}\n{more}"
    ))
}

const ONE: &str = "files: { a: \"vault:secret/a\" }";

#[test]
fn an_answer_of_vault_without_end_is_given_up() {
    let case = Case::new();
    let script = vault(|stream| say_without_end(stream, r#"{"data":{"a":""#));
    fails_within_bounds(reads_vault(&case, &script, ONE), 65, "the answer is larger than 2 MiB");
    let script = Script::start(|_, _, stream| say_without_end(stream, "{"));
    fails_within_bounds(reads_vault(&case, &script, ONE), 65, "the answer is larger than 2 MiB");
}

#[test]
fn headers_without_end_are_given_up() {
    let case = Case::new();
    let script = vault(say_headers_without_end);
    fails_within_bounds(reads_vault(&case, &script, ONE), 69, "vault:secret/a");
}

#[test]
fn a_slow_drip_ends_with_the_deadline() {
    let case = Case::new();
    let script = vault(|stream| say_slowly(stream, r#"{"data":{"a":""#));
    fails_within_bounds(reads_vault(&case, &script, ONE), 69, "no answer before the deadline");
}

#[test]
fn an_answer_that_is_compressed_is_not_unpacked() {
    let case = Case::new();
    // 16 MiB of zeros, packed by gzip(1) 300 times over is not needed: nothing is ever unpacked.
    let script = vault(|stream| say(stream, "200 OK", "Content-Encoding: gzip\r\n", "\u{1f}\u{8b}\u{8}"));
    fails_within_bounds(reads_vault(&case, &script, ONE), 65, "the answer is compressed (Content-Encoding: gzip)");
    assert_eq!(script.count("accept-encoding"), 0, "none is asked for");
}

#[test]
fn json_of_very_many_elements_is_refused_and_delivered_only_raw() {
    let case = Case::new();
    let objects = vec![r#"{"a":1}"#; 120_000].join(",");
    let body = format!(r#"{{"data":{{"a":[{objects}]}}}}"#);
    let script = vault(move |stream| say(stream, "200 OK", "", &body));
    fails_within_bounds(reads_vault(&case, &script, ONE), 65, "more than 20000 names and values");
    let mounted = case.secret("objects", format!(r#"{{"k":[{objects}]}}"#));
    let run = case.with_files(&format!("files: {{ a: {{ from: \"{mounted}\", format: yaml }} }}"));
    fails_within_bounds(run, 65, "more than 20000 names and values");
    let (code, said, most) = measured(case.with_files(&format!("files: {{ a: \"{mounted}\" }}")).app(&["/bin/true"]));
    let most = most.saturating_sub(at_rest());
    assert!(code == Some(0) && most < MOST_KIB, "{code:?} {most} KiB\n{said}");
}

const AWS_KEYS: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
    ("AWS_SECRET_ACCESS_KEY", "key"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

#[test]
fn answers_of_aws_without_end_are_given_up_whoever_sends_them() {
    let case = Case::new();
    let run = |more: &str| case.with_files(&format!("timeout: 10s\n{more}files: {{ a: \"aws-sm:a\" }}"));
    let keys = |run: Run| AWS_KEYS.iter().fold(run, |run, (name, value)| run.env(name, value));

    let script = Script::start(|_, _, stream| say_without_end(stream, r#"{"SecretString":""#));
    fails_within_bounds(keys(run("")).env("AWS_ENDPOINT_URL", script.address()), 65, "larger than 2048 KiB");

    let many = format!(r#"{{"VersionStages":[{}"x"]}}"#, r#""x","#.repeat(120_000));
    let script = Script::start(move |_, _, stream| say(stream, "200 OK", "", &many));
    fails_within_bounds(keys(run("")).env("AWS_ENDPOINT_URL", script.address()), 65, "more than 20000 names");

    let role = "aws: { assumeRole: \"arn:aws:iam::123456789012:role/x\" }\n";
    let script = Script::start(|_, _, stream| say_without_end(stream, "<AssumeRoleResponse><a>"));
    fails_within_bounds(keys(run(role)).env("AWS_ENDPOINT_URL", script.address()), 65, "larger than 256 KiB");

    let token = case.write("jwt", "a.b.c");
    let web = [
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let irsa = web.iter().fold(run(""), |run, (name, value)| run.env(name, value));
    fails_within_bounds(irsa.env("AWS_ENDPOINT_URL", script.address()), 65, "larger than 256 KiB");

    let script = Script::start(|_, _, stream| say_without_end(stream, r#"{"AccessKeyId":""#));
    let container = run("").env("AWS_CONTAINER_CREDENTIALS_FULL_URI", script.address());
    let container = container.env("AWS_REGION", "eu-west-1").env("AWS_EC2_METADATA_DISABLED", "true");
    fails_within_bounds(container, 65, "larger than 256 KiB");

    let metadata = run("").env("AWS_EC2_METADATA_SERVICE_ENDPOINT", script.address()).env("AWS_REGION", "eu-west-1");
    fails_within_bounds(metadata, 77, "no AWS credentials");
}

/// The SDK appends the role to a path, and the lifetime to the time.
#[test]
fn no_role_and_no_lifetime_of_instance_metadata_ends_a_start_as_a_bug() {
    let case = Case::new();
    let run = |life: &'static str, role: &'static str| {
        let credentials = r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"b","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
        let script = Script::start(move |head, _, stream| match () {
            () if head.contains("/api/token") => say(stream, "200 OK", life, "token"),
            () if head.contains("/security-credentials/ ") => say(stream, "200 OK", "", role),
            () if head.contains("/security-credentials/") => say(stream, "200 OK", "", credentials),
            () => say(stream, "200 OK", "", r#"{"SecretString":"value"}"#),
        });
        let run = case.run().args(&["--env", "X=aws-sm:a", "--timeout", "5s"]).env("AWS_REGION", "eu-west-1");
        let run = run.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", script.address());
        run.env("AWS_ENDPOINT_URL", script.address()).sh("printf %s $X").output()
    };
    let longest = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 18446744073709551615\r\n";
    assert_eq!(run(longest, "web").ok(), "value");
    for role in ["a b", "web\n", "<html>"] {
        run("X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60\r\n", role).refused(65, &["not the name of a role"]);
    }
}

#[test]
fn a_slow_drip_of_aws_ends_with_the_deadline_and_so_do_headers_without_end() {
    let case = Case::new();
    let run = || case.with_files("timeout: 10s\nfiles: { a: \"aws-sm:a\" }");
    let keys = |run: Run| AWS_KEYS.iter().fold(run, |run, (name, value)| run.env(name, value));
    let script = Script::start(|_, _, stream| say_slowly(stream, "{"));
    fails_within_bounds(keys(run()).env("AWS_ENDPOINT_URL", script.address()), 69, "aws-sm:a");
    let script = Script::start(|_, _, stream| say_headers_without_end(stream));
    fails_within_bounds(keys(run()).env("AWS_ENDPOINT_URL", script.address()), 69, "aws-sm:a");
}

/// The worst that is still taken: answers and files at their limits, many at once, rendered in every way that costs.
#[test]
fn the_largest_secrets_that_are_taken_fit_into_the_memory_of_a_pod() {
    let case = Case::new();
    let line = r#"{"data":{"data":{"a":"KEY","b":[ITEMS]},"metadata":{"created_time":"x","deletion_time":"","destroyed":false,"version":1}}}"#;
    let body = line.replace("KEY", &"k".repeat(900 << 10)).replace("ITEMS", &vec!["{}"; 9_900].join(","));
    let script = vault(move |stream| say(stream, "200 OK", "", &body));
    let files = "files:\n  f0: { from: \"vault:secret/data/0\", format: yaml }\n  f1: { from: \"vault:secret/data/1\", format: json }\n  \
                 f2: { template: \"{{ secret('vault:secret/data/2').b | json }}{{ secret('vault:secret/data/2').a }}\" }\n";
    let (code, said, most) = measured(reads_vault(&case, &script, files).app(&["/bin/true"]));
    let most = most.saturating_sub(at_rest());
    eprintln!("{most} KiB more than {} KiB", at_rest());
    assert!(code == Some(0) && most < MOST_KIB, "{code:?} {most} KiB\n{said}");

    let files: String = (0..32).map(|n| format!("  f{n}: \"vault:secret/data/{n}\"\n")).collect();
    let run = reads_vault(&case, &script, &format!("files:\n{files}"));
    fails_within_bounds(run, 65, "the secrets held at once would be larger than 4 MiB");
}

#[test]
fn nobody_is_followed_to_another_place_with_what_proves_who_we_are() {
    let case = Case::new();
    let thief = Script::start(|_, _, stream| say(stream, "200 OK", "", LOOKED_UP));
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("Location: {}/v1/x\r\n", thief.address());
        let server = Script::start(move |_, _, stream| say(stream, status, &location, ""));
        let (code, said, _) = measured(reads_vault(&case, &server, ONE).app(&["/bin/false"]));
        assert!(matches!(code, Some(65 | 77)), "{status} {code:?}\n{said}");
        let run = case.with_files("timeout: 5s\nfiles: { a: \"aws-sm:a\" }").env("AWS_ENDPOINT_URL", server.address());
        let run = AWS_KEYS.iter().fold(run, |run, (name, value)| run.env(name, value));
        let (code, said, _) = measured(run.app(&["/bin/false"]));
        assert!(matches!(code, Some(65 | 69)), "{status} {code:?}\n{said}");
        let run = case.with_files("timeout: 5s\nfiles: { a: \"aws-sm:a\" }").env("AWS_REGION", "eu-west-1");
        let run =
            run.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.address()).env("AWS_EC2_METADATA_DISABLED", "true");
        let (code, said, _) = measured(run.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t").app(&["/bin/false"]));
        assert_ne!(code, Some(0), "{status}\n{said}");
    }
    assert_eq!(thief.seen(), [""; 0]);
}

#[test]
fn credentials_with_a_line_end_are_named_before_anybody_signs_with_them() {
    let case = Case::new();
    let script = Script::start(|_, _, stream| say(stream, "200 OK", "", "{}"));
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        let run = case.with_files("timeout: 5s\nfiles: { a: \"aws-sm:a\" }").env("AWS_ENDPOINT_URL", script.address());
        let run =
            AWS_KEYS.iter().filter(|(known, _)| *known != name).fold(run, |run, (name, value)| run.env(name, value));
        case.refused(run.env(name, "can\nary"), 77, &["aws-sm:a", name, "line end"]);
    }
    for name in ["AWS_EXECUTION_ENV", "AWS_SDK_UA_APP_ID", "_X_AMZN_TRACE_ID", "AWS_LAMBDA_FUNCTION_NAME"] {
        let run = case.with_files("timeout: 5s\nfiles: { a: \"aws-sm:a\" }").env("AWS_ENDPOINT_URL", script.address());
        let run = AWS_KEYS.iter().fold(run, |run, (name, value)| run.env(name, value)).env(name, "can\nary");
        let outcome = run.app(&["/bin/false"]).output();
        assert_ne!(outcome.code(), Some(70), "{name}\n{outcome}");
    }
    assert!(!script.seen().iter().any(|head| head.contains("canary")));
}

#[test]
fn a_throttled_answer_that_says_nothing_about_when_is_tried_again() {
    for headers in ["Retry-After: 0\r\n", "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "Retry-After: -1\r\n", ""] {
        let case = Case::new();
        let times = AtomicUsize::new(0);
        let script = vault(move |stream| match times.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => say(stream, "429 Too Many Requests", headers, "{\"errors\":[]}"),
            _ => say(stream, "200 OK", "", r#"{"data":{"a":"b"}}"#),
        });
        reads_vault(&case, &script, ONE).app(&["/bin/true"]).output().ok();
    }
    let case = Case::new();
    let script = vault(|stream| say(stream, "429 Too Many Requests", "Retry-After: 99999999999999999999\r\n", "{}"));
    case.refused(reads_vault(&case, &script, ONE), 69, &["asks for patience"]);
}

#[test]
fn a_life_without_end_ends_no_start() {
    let case = Case::new();
    let script = vault(|stream| {
        let body = r#"{"lease_id":"a/b","lease_duration":18446744073709551615,"renewable":true,"data":{"a":"b"}}"#;
        say(stream, "200 OK", "", body)
    });
    let outcome = reads_vault(&case, &script, ONE).arg("--leave-leases").app(&["/bin/true"]).output();
    assert!(outcome.err().contains("it expires at "), "{outcome}");
    outcome.ok();
    case.refused(reads_vault(&case, &script, ONE), 64, &["it expires at "]);
}
