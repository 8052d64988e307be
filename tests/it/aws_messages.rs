//! What is wrong with AWS's environment, profile, endpoints and proxies, and that the message names it.

use std::os::unix::ffi::OsStrExt;

use support::*;

const KEYS: [(&str, &str); 3] =
    [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "AKIASUITE"), ("AWS_SECRET_ACCESS_KEY", "canary")];

fn run(case: &Case, variables: &[(&str, &str)]) -> Run {
    let run = case.run().args(&["--timeout", "1s", "--env", "X=aws-sm:some/name"]).env("HOME", &case.dir);
    let run = run.env("AWS_EC2_METADATA_DISABLED", "true");
    variables.iter().fold(run, |run, (name, value)| run.env(name, value)).sh("true")
}

#[track_caller]
fn refused(case: &Case, variables: &[(&str, &str)], code: i32, says: &[&str]) {
    let outcome = run(case, variables).output();
    outcome.refused(code, says);
    assert!(!outcome.err().contains("canary"), "{outcome}");
    assert!(!outcome.err().contains("trying again") || code == 69, "{outcome}");
}

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&KEYS[..], more].concat()
}

#[test]
fn an_endpoint_that_is_no_address_is_refused_at_once_with_its_name() {
    let case = Case::new();
    let role = ("SECRET_EXEC_AWS_ASSUME_ROLE_ARN", "arn:aws:iam::123456789012:role/x");
    for (value, says) in [
        ("http://127.0.0.1:25000\n", "has white space around its value"),
        ("127.0.0.1:25000", "is not an address"),
        ("http://127.0.0.1:99999", "is not an address"),
        ("ftp://canary", "is not an address"),
        ("http://c\u{e4}", "is not an address"),
    ] {
        for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"] {
            refused(&case, &with(&[(name, value)]), 64, &[name, says]);
        }
        refused(&case, &with(&[role, ("AWS_ENDPOINT_URL_STS", value)]), 64, &["AWS_ENDPOINT_URL_STS", says]);
    }
    // Nobody asks STS here.
    let unused = with(&[("AWS_ENDPOINT_URL_STS", "sts.internal"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]);
    refused(&case, &unused, 69, &["connection refused"]);
    case.write(".aws/config", "[default]\nendpoint_url = localhost:1\n");
    refused(&case, &with(&[]), 64, &["endpoint_url in ~/.aws/config", "is not an address"]);
    case.write(".aws/config", "[default]\nservices = s\n[services s]\nsecrets_manager =\n  endpoint_url = x\n");
    refused(&case, &with(&[]), 64, &["endpoint_url in ~/.aws/config", "is not an address"]);
}

#[test]
fn what_leads_elsewhere_is_named_when_nobody_answers() {
    let case = Case::new();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"] {
        refused(&case, &with(&[(name, &nobody)]), 69, &["connection refused", &format!("({nobody}, from {name})")]);
    }
    let other = format!("{nobody}0");
    let longer = with(&[("AWS_ENDPOINT_URL_STS", &other), ("AWS_ENDPOINT_URL", &nobody)]);
    refused(&case, &longer, 69, &[&format!("({nobody}, from AWS_ENDPOINT_URL)")]);
    let endpoint = format!("{nobody}/get");
    let container = [KEYS[0], ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &endpoint)];
    // The SDK tries three times, which may take longer than the deadline allows.
    for timeout in ["500ms", "1s", "6s"] {
        let outcome = run(&case, &container).args(&["--timeout", timeout]).output();
        outcome.refused(69, &["connection refused", &format!("({nobody}, from AWS_CONTAINER_CREDENTIALS_FULL_URI)")]);
    }
    case.write(".aws/config", format!("[default]\nendpoint_url = {nobody}\n"));
    let by_file = format!("({nobody}, from endpoint_url in ~/.aws/config");
    refused(&case, &with(&[]), 69, &["connection refused", &by_file]);
    let server = Proxy::before(1);
    server.always(Plan::Answer(302, "Location: http://login/\r\n".to_owned(), String::new()));
    case.write(".aws/config", format!("[default]\nendpoint_url = {}\n", server.address()));
    refused(&case, &with(&[]), 65, &["that is a redirect", "its address may be from endpoint_url in ~/.aws/config"]);
    std::fs::remove_file(case.dir.join(".aws/config")).unwrap();
    let hidden = nobody.replace("http://", "http://user:canary@");
    let shown = format!("requests go through the proxy {nobody} (HTTPS_PROXY), and NO_PROXY goes around it");
    refused(&case, &with(&[("HTTPS_PROXY", &hidden)]), 69, &["eu-west-1: connection refused; ", &shown]);
    let unnamed = with(&[("HTTPS_PROXY", "http://proxy.invalid:3128")]);
    refused(&case, &unnamed, 69, &["the proxy's name does not resolve", "http://proxy.invalid:3128 (HTTPS_PROXY)"]);
    // STS alike.
    let role = ("SECRET_EXEC_AWS_ASSUME_ROLE_ARN", "arn:aws:iam::123456789012:role/x");
    refused(&case, &with(&[role, ("HTTPS_PROXY", &nobody)]), 69, &["connection refused; ", &shown]);
    for (status, says) in [(407, "the proxy wants a user name and password"), (403, "the proxy does not connect to it")]
    {
        let proxy = Proxy::before(1);
        proxy.always(Plan::Answer(status, String::new(), "<html>canary</html>".to_owned()));
        let address = proxy.address();
        refused(&case, &with(&[("HTTPS_PROXY", &address)]), 69, &[says, &format!("{address} (HTTPS_PROXY)")]);
    }
    // What answers in the service's place.
    for (status, code, says) in
        [(302, 65, "that is a redirect"), (403, 77, "a VPC endpoint"), (407, 77, "a user name and password")]
    {
        let proxy = Proxy::before(1);
        proxy.always(Plan::Answer(status, "Location: http://login/\r\n".to_owned(), String::new()));
        let endpoint = proxy.address();
        let variables = with(&[("AWS_ENDPOINT_URL", &endpoint)]);
        let named = "; its address is from AWS_ENDPOINT_URL";
        refused(&case, &variables, code, &[&format!("in eu-west-1 answers {status}"), says, named]);
    }
}

/// Such as Vault, a web server's start page, or nginx that is spoken to without TLS.
#[test]
fn another_server_at_an_endpoint_is_told_with_the_variable_that_names_it() {
    let case = Case::new();
    let html = "<html>canary</html>";
    for (status, body, code) in [
        (200, html, 65),
        (200, "", 65),
        (200, "{}", 65),
        (400, html, 65),
        (400, "", 65),
        (404, html, 65),
        (404, "{\"errors\":[]}", 65),
        (405, "", 65),
        (500, html, 69),
        (503, html, 69),
    ] {
        for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"] {
            let server = Proxy::before(1);
            server.always(Plan::Answer(status, String::new(), body.to_owned()));
            let address = server.address();
            refused(&case, &with(&[(name, &address)]), code, &[&format!("its address is from {name}")]);
        }
    }
    let server = Proxy::before(1);
    server.always(Plan::Answer(404, String::new(), html.to_owned()));
    let address = server.address();
    let role = ("SECRET_EXEC_AWS_ASSUME_ROLE_ARN", "arn:aws:iam::123456789012:role/x");
    refused(&case, &with(&[role, ("AWS_ENDPOINT_URL_STS", &address)]), 77, &["another server", "AWS_ENDPOINT_URL_STS"]);
}

#[test]
fn a_switch_to_another_endpoint_beside_an_address_is_refused_with_both_names() {
    let case = Case::new();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for switch in ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"] {
        for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"] {
            let says = format!("{switch} is true, and {name} gives Secrets Manager an address of its own");
            refused(&case, &with(&[(switch, "true"), (name, &nobody)]), 64, &[&says]);
        }
        refused(&case, &with(&[(switch, "false"), ("AWS_ENDPOINT_URL", &nobody)]), 69, &["connection refused"]);
        refused(&case, &with(&[(switch, "yes")]), 64, &[&format!("{switch} is neither true nor false")]);
        // The role is assumed at AWS itself.
        let role = ("SECRET_EXEC_AWS_ASSUME_ROLE_ARN", "arn:aws:iam::123456789012:role/x");
        let of_sts = format!("{switch} is true, and AWS_ENDPOINT_URL_STS gives STS an address");
        refused(&case, &with(&[role, (switch, "true"), ("AWS_ENDPOINT_URL_STS", &nobody)]), 64, &[&of_sts]);
    }
    case.write(".aws/config", "[default]\nuse_fips_endpoint = true\n");
    let says = "use_fips_endpoint in ~/.aws/config (AWS_CONFIG_FILE) is true, and AWS_ENDPOINT_URL gives";
    refused(&case, &with(&[("AWS_ENDPOINT_URL", &nobody)]), 64, &[says]);
}

#[test]
fn half_a_key_pair_is_told_as_such() {
    let case = Case::new();
    let half = [KEYS[0], KEYS[1]];
    refused(&case, &half, 77, &["AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"]);
    refused(&case, &[KEYS[0], KEYS[2]], 77, &["AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not"]);
    refused(&case, &[KEYS[0], KEYS[1], ("AWS_SECRET_ACCESS_KEY", "")], 77, &["AWS_SECRET_ACCESS_KEY is not"]);
    refused(&case, &[KEYS[0]], 77, &["no AWS credentials"]);
    // On a machine where instance metadata is tried too.
    let args = ["--timeout", "3s", "--env", "X=aws-sm:some/name"];
    let run =
        case.run().args(&args).env("HOME", &case.dir).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    let run = half.iter().fold(run, |run, (name, value)| run.env(name, value)).sh("true");
    run.output().refused(77, &["AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not"]);
}

#[test]
fn a_variable_that_no_request_can_carry_is_named() {
    let case = Case::new();
    refused(&case, &with(&[("AWS_EXECUTION_ENV", "a\nb")]), 64, &["AWS_EXECUTION_ENV has a line end"]);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_PROFILE"] {
        let bytes = std::ffi::OsStr::from_bytes(b"canary\xff");
        run(&case, &KEYS).env(name, bytes).output().refused(64, &[&format!("{name} is not UTF-8 text")]);
    }
    let region = [("AWS_REGION", "eu-west-1\n"), KEYS[1], KEYS[2]];
    refused(&case, &region, 64, &["AWS_REGION", "has white space around it"]);
    // An empty one is none.
    let none = [("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "xx-nowhere-1"), KEYS[1], KEYS[2]];
    refused(&case, &none, 69, &["in xx-nowhere-1: the name does not resolve"]);
    let nowhere = [("AWS_REGION", ""), KEYS[1], KEYS[2]];
    refused(&case, &nowhere, 64, &["no region: set aws.region or AWS_REGION"]);
    for (variables, says) in [
        (&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent")][..], "AWS_ROLE_ARN is not"),
        (&[("AWS_WEB_IDENTITY_TOKEN_FILE", "")], "AWS_WEB_IDENTITY_TOKEN_FILE is empty"),
        (&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/x")], "_FULL_URI is plain HTTP to a host"),
        (&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "x")], "AWS_CONTAINER_CREDENTIALS_FULL_URI is not an address"),
        (
            &[
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x"),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "canary\n"),
            ],
            "AWS_CONTAINER_AUTHORIZATION_TOKEN has a line end",
        ),
    ] {
        let variables = [&[KEYS[0]][..], variables].concat();
        refused(&case, &variables, 77, &[says]);
    }
    let token = case.dir.join("token");
    std::fs::write(&token, b"canary\xff").unwrap();
    let identity = [
        KEYS[0],
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x"),
    ];
    refused(&case, &identity, 77, &["AWS_WEB_IDENTITY_TOKEN_FILE names a file that holds no token"]);
}

#[test]
fn a_profile_that_gives_no_credentials_says_why() {
    let case = Case::new();
    let region = KEYS[0];
    case.write(".aws/config", "[shop]\nregion = eu-west-1\n");
    refused(&case, &[region, ("AWS_PROFILE", "shop")], 77, &["there it is written [profile shop]"]);
    // The region would be in that profile.
    refused(&case, &[("AWS_PROFILE", "gone")], 77, &["AWS_PROFILE is \"gone\""]);
    case.write(".aws/config", "[profile y]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = nope\n");
    refused(&case, &[region, ("AWS_PROFILE", "y")], 77, &["source_profile = \"nope\""]);
    case.write(".aws/config", "[default]\naws_access_key_id = AKIASUITE\n");
    refused(&case, &[region], 77, &["profile \"default\" has no aws_secret_access_key"]);
    case.write(".aws/config", "[default]\naws_access_key_id = \"AKIA SUITE\"\naws_secret_access_key = canary\n");
    refused(&case, &[region], 77, &["the access key id (of the profile in ~/.aws/credentials"]);
    for (text, key) in [("credential_process = /x", "credential_process"), ("sso_session = s", "sso_session")] {
        case.write(".aws/config", format!("[default]\n{text}\n"));
        refused(&case, &[region], 77, &[&format!("profile \"default\" has {key}, which is not supported")]);
    }
    let role = "role_arn = arn:aws:iam::1:role/x";
    for (text, says) in [
        (format!("{role}\n"), "profile \"default\" has role_arn and none of source_profile"),
        (format!("{role}\ncredential_source = Nope\n"), "has credential_source = \"Nope\"; expected Environment"),
        (
            format!("{role}\nsource_profile = b\n[profile b]\ncredential_process = /x\n"),
            "profile \"b\" has credential_process",
        ),
        (
            format!("{role}\nsource_profile = b\n[profile b]\naws_access_key_id = A\n"),
            "profile \"b\" has no aws_secret",
        ),
        (
            format!("{role}\nsource_profile = b\n[profile b]\n{role}\nsource_profile = default\n"),
            "the source_profile of profile \"b\" leads back",
        ),
        (format!("{role}\nweb_identity_token_file = /none\n"), "cannot read /none (web_identity_token_file in"),
    ] {
        case.write(".aws/config", format!("[default]\n{text}"));
        refused(&case, &[region], 77, &[says]);
    }
    case.write(".aws/config", "[default\n");
    refused(&case, &KEYS[1..], 77, &[".aws/config", "on line 1"]);
    std::fs::write(case.dir.join(".aws/config"), b"[default]\nregion = \xff\n").unwrap();
    refused(&case, &[region], 77, &[".aws/config (AWS_CONFIG_FILE): it is not UTF-8 text"]);
    std::fs::remove_file(case.dir.join(".aws/config")).unwrap();
    let folder = case.dir.to_str().unwrap();
    refused(&case, &[region, ("AWS_CONFIG_FILE", folder)], 77, &["(AWS_CONFIG_FILE): it is a directory"]);
}

#[test]
fn check_without_a_region_says_what_a_start_says() {
    let case = Case::new();
    let check = |variables: &[(&str, &str)], more: &[&str]| {
        let run = case.run().args(&["--env", "X=aws-sm:some/name"]).args(more).env("HOME", &case.dir);
        variables.iter().fold(run, |run, (name, value)| run.env(name, value)).command("check").output()
    };
    check(&[], &[]).refused(64, &["cannot read aws-sm:some/name: no region: set aws.region or AWS_REGION"]);
    check(&[("AWS_PROFILE", "gone")], &[]).refused(77, &["AWS_PROFILE is \"gone\""]);
    check(&[KEYS[0]], &[]).ok();
    case.write(".aws/config", "[default]\nregion = eu-west-1\n");
    check(&[], &[]).ok();
    std::fs::remove_file(case.dir.join(".aws/config")).unwrap();
    let arn = "--env=Y=arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf";
    let own = case.run().args(&[arn]).env("HOME", &case.dir).command("check").output();
    own.ok();
}

#[test]
fn what_answers_in_the_place_of_a_credentials_endpoint_is_not_called_a_connection() {
    let case = Case::new();
    let asked = |script: &Script| {
        let run = case.run().args(&["--timeout", "8s", "--env", "X=aws-sm:some/name"]).env("HOME", &case.dir);
        let run = run.env("AWS_REGION", "eu-west-1").env("AWS_EC2_METADATA_DISABLED", "true");
        run.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", script.address()).sh("true").output()
    };
    for body in ["<html>canary", r#"{"AccessKeyId":"ASIA1","SecretAccessKey":"canary","Token":null}"#] {
        let outcome = asked(&Script::start(move |_, _, stream| say(stream, "200 OK", "", body)));
        outcome.refused(69, &["aws-sm:some/name", "what answers there gives no credentials", "_FULL_URI"]);
        assert!(!outcome.err().contains("canary") && !outcome.err().contains("the connection failed"), "{outcome}");
    }
    for status in ["403 Forbidden", "404 Not Found", "500 Internal Server Error"] {
        let script = Script::start(move |_, _, stream| say(stream, status, "", "{\"message\":\"canary\"}"));
        let says = format!(
            "loading AWS credentials: the credentials endpoint answers {} (http://127.0.0.1:{}, from AWS_CONTAINER_CREDENTIALS_FULL_URI)",
            &status[..3],
            script.port
        );
        let outcome = asked(&script);
        outcome.refused(69, &[&says]);
        assert!(!outcome.err().contains("canary"), "{outcome}");
    }
    let many = "[".repeat(30_000);
    let outcome = asked(&Script::start(move |_, _, stream| say(stream, "200 OK", "", &many)));
    outcome.refused(65, &["aws-sm:some/name: loading AWS credentials: the answer has more than 20000 names"]);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{";
    let outcome = asked(&Script::start(move |_, _, stream| std::io::Write::write_all(stream, head.as_bytes())));
    outcome.refused(69, &["loading AWS credentials: the connection ended before the answer was complete"]);
}

#[test]
fn credentials_that_do_not_come_are_not_called_an_unreachable_secrets_manager() {
    let case = Case::new();
    let script = Script::start(|_, _, stream| say_slowly(stream, "{"));
    let run = case.run().args(&["--timeout", "16s", "--env", "X=aws-sm:some/name"]).env("HOME", &case.dir);
    let run = run.env("AWS_REGION", "eu-west-1").env("AWS_EC2_METADATA_DISABLED", "true");
    let outcome = run.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", script.address()).sh("true").output();
    outcome.refused(69, &[&format!("loading AWS credentials: no answer in time (http://127.0.0.1:{}", script.port)]);
    assert!(!outcome.err().contains("cannot reach Secrets Manager"), "{outcome}");
}

/// The SDK reads them whole, and waits for whoever writes, in a thread that nothing interrupts.
#[test]
fn a_profile_file_that_never_ends_is_refused_and_an_empty_device_is_none() {
    let case = Case::new();
    let pipe = case.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let huge = case.write("huge", "");
    std::fs::File::options().write(true).open(&huge).unwrap().set_len(2 << 20).unwrap();
    let (pipe, huge) = (pipe.to_str().unwrap().to_owned(), huge.to_str().unwrap().to_owned());
    let no_region = &KEYS[1..];
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        for (path, why) in [
            ("/dev/zero", "it is not a regular file"),
            (&*pipe, "it is not a regular file"),
            (&*huge, "it is larger than 1 MiB"),
        ] {
            let says = [&format!("cannot read {path} ({name})"), why];
            refused(&case, &with(&[(name, path)]), 77, &says);
            refused(&case, &[no_region, &[(name, path)]].concat(), 77, &says);
        }
        let home = pipe.strip_suffix("/pipe").unwrap();
        for path in ["~/pipe", "~//pipe", "~/./pipe"] {
            let in_home = with(&[(name, path), ("HOME", home)]);
            refused(&case, &in_home, 77, &[&format!("cannot read {pipe} ({name})"), "it is not a regular file"]);
        }
        refused(&case, &[no_region, &[(name, "/dev/null")]].concat(), 64, &["no region"]);
        let nobody = format!("http://127.0.0.1:{}", free_port());
        let empty = with(&[(name, "/dev/null"), ("AWS_ENDPOINT_URL", &nobody)]);
        refused(&case, &empty, 69, &["connection refused"]);
    }
}

/// It is read when credentials are needed, also by a sidecar that runs: a pipe stopped everything, signals and deadline included.
#[test]
fn a_token_file_that_never_ends_or_is_empty_is_refused() {
    let case = Case::new();
    let pipe = case.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (pipe, empty) = (pipe.to_str().unwrap().to_owned(), case.write("empty", "").to_str().unwrap().to_owned());
    let (region, role) = (KEYS[0], ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x"));
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x");
    let (identity, container) = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    for (path, why) in
        [("/dev/zero", "it is not a regular file"), (&*pipe, "it is not a regular file"), (&*empty, "it is empty")]
    {
        refused(&case, &[region, role, (identity, path)], 77, &[&format!("cannot read {path} ({identity})"), why]);
        let profile = "[default]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = b\n[profile b]\nrole_arn = x\n";
        case.write(".aws/config", format!("{profile}web_identity_token_file = {path}\n"));
        refused(
            &case,
            &[region],
            77,
            &[&format!("cannot read {path} (web_identity_token_file in ~/.aws/config)"), why],
        );
        std::fs::remove_file(case.dir.join(".aws/config")).unwrap();
        if path != empty {
            refused(&case, &[region, uri, (container, path)], 77, &[&format!("cannot read {path} ({container})"), why]);
        }
        let nobody = format!("http://127.0.0.1:{}", free_port());
        let unused = with(&[(identity, path), (container, path), role, ("AWS_ENDPOINT_URL", &nobody)]);
        refused(&case, &unused, 69, &["connection refused"]);
    }
}

/// Where Secrets Manager is, is said by variables, by the profile, by its `services` section, or by AWS; a proxy that cannot be
/// used is an error (64) only where a request would go through it, in `check` as in a start.
#[test]
fn a_proxy_is_judged_by_the_address_that_the_profile_gives_too() {
    let case = Case::new();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let plain = "[default]\nendpoint_url = {}\n";
    let services = "[default]\nservices = s\n[services s]\nsecrets_manager =\n  endpoint_url = {}\n";
    let named = "[default]\nregion = us-east-1\n[profile p]\nendpoint_url = {}\n";
    let check = |variables: &[(&str, &str)], template: bool| {
        let run = case.run().env("HOME", &case.dir).env("AWS_EC2_METADATA_DISABLED", "true");
        let secret =
            if template { "env.X.template={{ secret('aws-sm:some/name') }}" } else { "env.X=aws-sm:some/name" };
        let run = variables.iter().fold(run.args(&["--set", secret]), |run, (name, value)| run.env(name, value));
        run.command("check").output()
    };
    let socks = ("ALL_PROXY", "socks5h://canary:1");
    let used_for = |host: &str| {
        format!(
            "ALL_PROXY names a SOCKS proxy, which is not spoken; name an http:// proxy, or set NO_PROXY for that host; it would be used for {host}"
        )
    };
    for (config, more, host) in [
        ("", vec![], Some("secretsmanager.eu-west-1.amazonaws.com")),
        ("", vec![("AWS_REGION", "cn-north-1")], Some("secretsmanager.cn-north-1.amazonaws.com.cn")),
        ("", vec![("AWS_USE_FIPS_ENDPOINT", "true")], Some("secretsmanager-fips.eu-west-1.amazonaws.com")),
        ("", vec![("NO_PROXY", ".amazonaws.com")], None),
        ("", vec![("NO_PROXY", ".us-east-1.amazonaws.com")], Some("secretsmanager.eu-west-1.amazonaws.com")),
        ("", vec![("AWS_ENDPOINT_URL", nobody.as_str())], None),
        ("", vec![("AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://localhost:1")], None),
        ("", vec![("AWS_ENDPOINT_URL", "https://aws.internal:8443")], Some("aws.internal")),
        (plain, vec![], None),
        (plain, vec![("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")], Some("secretsmanager.eu-west-1.amazonaws.com")),
        (services, vec![], None),
        (named, vec![], Some("secretsmanager.eu-west-1.amazonaws.com")),
        (named, vec![("AWS_PROFILE", "p")], None),
    ] {
        case.write(".aws/config", config.replace("{}", &nobody));
        let variables = with(&[&more[..], &[socks]].concat());
        for template in [false, true] {
            let outcome = check(&variables, template);
            match host {
                Some(host) => outcome.refused(64, &["cannot read aws-sm:some/name: ", &used_for(host)]),
                None => _ = outcome.ok(),
            }
            assert!(!outcome.err().contains("canary"), "{outcome}");
        }
        match host {
            Some(host) => refused(&case, &variables, 64, &["cannot read aws-sm:some/name: ", &used_for(host)]),
            None if config.is_empty() && !more[0].0.starts_with("AWS") => {} // AWS itself
            None => refused(&case, &variables, 69, &["connection refused"]),
        }
    }
    // STS, which gives the credentials of a role, is behind the proxy too.
    case.write(".aws/config", "");
    let around = ("NO_PROXY", "secretsmanager.eu-west-1.amazonaws.com");
    let role = ("SECRET_EXEC_AWS_ASSUME_ROLE_ARN", "arn:aws:iam::123456789012:role/reader");
    for (more, host) in [
        (vec![role], Some("sts.eu-west-1.amazonaws.com")),
        (
            vec![role, ("AWS_USE_FIPS_ENDPOINT", "true"), ("NO_PROXY", "secretsmanager-fips.eu-west-1.amazonaws.com")],
            Some("sts-fips.eu-west-1.amazonaws.com"),
        ),
        (vec![role, ("AWS_ENDPOINT_URL_STS", "https://sts.internal:1")], Some("sts.internal")),
        (vec![role, ("AWS_ENDPOINT_URL_STS", nobody.as_str())], None),
        (vec![], None),
    ] {
        let variables = with(&[&[around][..], &more, &[socks]].concat());
        match host {
            Some(host) => {
                check(&variables, false).refused(64, &["cannot read aws-sm:some/name: ", &used_for(host)]);
                refused(&case, &variables, 64, &["cannot read aws-sm:some/name: ", &used_for(host)]);
            }
            None => _ = check(&variables, false).ok(),
        }
    }
    // So it is for the role of a profile, and for a web identity beside one that has nothing.
    let token = case.write("jwt", "x");
    let identity = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web"),
    ];
    let role = "[default]\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = base\n";
    let base = "[profile base]\naws_access_key_id = A\naws_secret_access_key = B\n";
    let web = format!(
        "[default]\nrole_arn = arn:aws:iam::123456789012:role/a\nweb_identity_token_file = {}\n",
        token.display()
    );
    for (profile, more, is_sts) in [
        (format!("{role}{base}"), &[][..], true),
        (web, &[], true),
        ("[default]\nregion = eu-west-1\n".to_owned(), &identity, true),
        ("[profile other]\nregion = eu-west-1\n".to_owned(), &identity, true),
        ("[default]\naws_access_key_id = A\naws_secret_access_key = B\n".to_owned(), &identity, false),
    ] {
        case.write(".aws/config", &profile);
        let unset = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
        let variables = with(&[&[around][..], &unset, more, &[socks]].concat());
        if is_sts {
            let says = ["cannot read aws-sm:some/name: ", &used_for("sts.eu-west-1.amazonaws.com")];
            check(&variables, false).refused(64, &says);
            refused(&case, &variables, 64, &says);
        } else {
            check(&variables, false).ok();
        }
    }
    // An address of the profile that is behind the proxy.
    case.write(".aws/config", plain.replace("{}", "http://aws.internal:1"));
    let http = with(&[("HTTP_PROXY", "http://p:x")]);
    check(&http, false).refused(64, &["HTTP_PROXY has no valid host and port", "it would be used for aws.internal"]);
    refused(&case, &http, 64, &["HTTP_PROXY has no valid host and port", "it would be used for aws.internal"]);
}
