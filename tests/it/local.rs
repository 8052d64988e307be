//! On a laptop: `--local` answers every reference from a file, without any server or login.

use std::fs;

use support::*;

const LOCAL: &str = r#"
vault:database/creds/web: { data: { username: app, password: "{{random}}" }, ttl: 10s, renewable: false }
vault:secret/data/api: { data: { token: t } }
aws-sm:prod/stripe: { value: "{\"key\":\"sk_test_1\"}" }
aws-sm:blob: { base64: "AAH/" }
"#;

fn local(case: &Case, config: &str) -> Run {
    let file = case.write("local.yaml", LOCAL);
    case.with_files(config).arg("--local").arg(file)
}

#[test]
fn the_same_config_runs_without_its_server() {
    let case = Case::new();
    let config = "vault: { address: \"https://vault.example.com:8200\", auth: { method: kubernetes, role: web } }\n\
                  aws: { region: eu-west-1, assumeRole: \"arn:aws:iam::123456789012:role/r\" }\n\
                  env: { T: \"vault:secret/data/api#token\", S: \"aws-sm:prod/stripe#key\" }\nfiles: { b: \"aws-sm:blob\" }\n";
    assert_eq!(local(&case, config).sh("printf %s $T,$S").output().ok(), "t,sk_test_1");
    assert_eq!(fs::read(case.volume().join("b")).unwrap(), [0, 1, 255]);
}

#[test]
fn an_unlisted_reference_is_65_and_named() {
    let case = Case::new();
    let run = local(
        &case,
        "env: { A: \"vault:secret/data/other#k\", B: \"aws-sm:other\", C: \"vault:secret/data/api#other\" }\n",
    );
    case.refused(run, 65, &["vault:secret/data/other", "aws-sm:other", "vault:secret/data/api#other", "local.yaml"]);
}

#[test]
fn user_and_password_of_one_lease_belong_together_and_differ_each_start() {
    let case = Case::new();
    let config = "secrets: { db: \"vault:database/creds/web\" }\nsupervise: true\n\
                  env: { A: db#password, B: { template: \"{{ secret('db').password }}\" } }\n";
    let start = || local(&case, config).sh("printf '%s %s' $A $B").output().ok();
    let (first, second) = (start(), start());
    let (a, b) = first.split_once(' ').unwrap();
    assert_eq!(a, b);
    assert!(a.len() >= 20, "{a}");
    assert_ne!(first, second);
}

#[test]
fn leases_are_refused_as_with_a_real_server() {
    let case = Case::new();
    case.refused(
        local(&case, "env: { A: \"vault:database/creds/web#password\" }\n"),
        64,
        &["--supervise", "--leave-leases"],
    );
}

#[test]
fn a_foreign_owner_becomes_yourself_and_a_line_says_so() {
    needs_root!();
    let case = Case::new();
    let config = "runAs: \"34567:34567\"\nfiles: { t: \"vault:secret/data/api#token\" }\n";
    let outcome = local(&case, config).sh("cat $SECRET_EXEC_DIR/t; id -u").output();
    assert_eq!(outcome.ok(), format!("t{APP}\n"));
    assert!(outcome.err().contains("34567"), "{outcome}");
}

#[test]
fn an_unusable_volume_becomes_a_private_directory() {
    let case = Case::new();
    let file = case.write("local.yaml", LOCAL);
    let config = "volume: { path: /proc/nowhere }\nfiles: { t: \"vault:secret/data/api#token\" }\n";
    let run = || case.with_config(config).arg("--local").arg(&file);
    let app = "cat $SECRET_EXEC_DIR/t; echo; stat -f -c %T $SECRET_EXEC_DIR; stat -c %a $SECRET_EXEC_DIR; echo $SECRET_EXEC_DIR";
    let outcome = run().sh(app).output();
    let said = outcome.ok();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(&lines[..3], ["t", "tmpfs", "700"], "{outcome}");
    assert!(outcome.err().contains("/proc/nowhere"), "{outcome}");
    let runtime = case.memory.join("runtime");
    fs::create_dir(&runtime).unwrap();
    own(&runtime, APP);
    fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let said = run().env("XDG_RUNTIME_DIR", &runtime).sh("echo $SECRET_EXEC_DIR").output().ok();
    assert!(said.starts_with(runtime.to_str().unwrap()), "{said}");
    if let Some(made) = lines.get(3).filter(|made| made.starts_with("/dev/shm/")) {
        let _ = fs::remove_dir_all(made);
    }
}

#[test]
fn mistakes_in_the_local_file_have_lines() {
    let case = Case::new();
    let file = case.write("bad.yaml", "vault:a/b: { data: { k: canary } }\nxyz:a: { value: canary }\nvault:a/c: { dta: {} }\nvault:a/d#k: { data: {} }\n");
    let run = case.run().args(&["--env", "X=vault:a/b#k"]).arg("--local").arg(file);
    let outcome = case.refused(run, 64, &["bad.yaml:2", "bad.yaml:3", "bad.yaml:4"]);
    assert!(!outcome.err().contains("canary"), "{outcome}");
    for file in ["bad.yaml", "missing.yaml"] {
        let run = case.run().args(&["--env", "X=vault:a/b#k", "--local"]).arg(case.dir.join(file)).command("check");
        let outcome = case.refused(run, 64, &[file]);
        assert!(!outcome.err().contains("canary"), "{outcome}");
    }
}

/// A server that speaks TLS with what was delivered, and a client that trusts the delivered authority.
const SERVE: &str = "import http.server,ssl,sys,threading,urllib.request\n\
    d=sys.argv[1]\n\
    c=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(d+'/tls.crt',d+'/tls.key')\n\
    class H(http.server.BaseHTTPRequestHandler):\n\
    \x20def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'over tls')\n\
    \x20def log_message(self,*a): pass\n\
    s=http.server.HTTPServer(('127.0.0.1',0),H); s.socket=c.wrap_socket(s.socket,server_side=True)\n\
    threading.Thread(target=s.serve_forever,daemon=True).start()\n\
    t=ssl.create_default_context(cafile=d+'/ca.crt')\n\
    print(urllib.request.urlopen('https://localhost:%d/'%s.server_port,context=t).read().decode())\n";

#[test]
fn the_skeletons_certificates_serve_tls_and_its_lists_are_lists() {
    for config in [
        // An issued certificate, by its keys.
        "secrets: { web: \"vault:pki/issue/web?common_name=web.example.com\" }\nfiles:\n  tls.crt: web#certificate\n  \
         tls.key: web#private_key\n  ca.crt: { template: \"{% for one in secret('web').ca_chain %}{{ one }}{% endfor %}\" }\n",
        // The whole answer.
        "secrets: { web: \"vault:pki/issue/web?common_name=web.example.com\" }\nfiles:\n  all.json: web\n  tls.crt: web#certificate\n  \
         tls.key: web#private_key\n  ca.crt: web#issuing_ca\n",
        // What a TLS Secret of Kubernetes calls them, in KV and in Secrets Manager.
        "files: { tls.crt: \"vault:secret/data/web#tls.crt\", tls.key: \"vault:secret/data/web#tls.key\", ca.crt: \"vault:secret/data/web#ca.crt\" }\n",
        "files: { tls.crt: \"aws-sm:web#tls.crt\", tls.key: \"aws-sm:web#tls.key\", ca.crt: \"aws-sm:web#ca.crt\" }\n",
    ] {
        let case = Case::new();
        let skeleton = case.with_files(config).command("check").arg("--local-skeleton").output().ok();
        let local = case.write("skeleton.yaml", &skeleton);
        let run = case.with_files(config).arg("--leave-leases").arg("--local").arg(local);
        let said = run
            .sh("cd $SECRET_EXEC_DIR; for file in tls.crt tls.key ca.crt; do cat $file; echo; echo %; done")
            .output();
        for (name, text) in ["tls.crt", "tls.key", "ca.crt"].iter().zip(said.ok().split("%\n")) {
            case.write(name, text);
        }
        assert_eq!(python_output(SERVE, &[case.dir.to_str().unwrap()], b""), "over tls\n", "{skeleton}");
    }
    let case = Case::new();
    let config = "files:\n  a: { template: \"{% for h in secret('vault:secret/data/x').hosts %}<{{ h }}>{% endfor %}{{ secret('vault:secret/data/x')['ports'] | join(',') }}{{ secret('vault:secret/data/x').name }}\" }\n";
    let skeleton = case.with_files(config).command("check").arg("--local-skeleton").output().ok();
    for part in ["\"hosts\": [\"{{random}}\"]", "\"ports\": [\"{{random}}\"]", "\"name\": \"{{random}}\""] {
        assert!(skeleton.contains(part), "{part} in {skeleton}");
    }
    let local = case.write("skeleton.yaml", &skeleton);
    let said = case.with_files(config).arg("--local").arg(local).sh("cat $SECRET_EXEC_DIR/a").output().ok();
    assert!(said.starts_with('<') && said.matches('>').count() == 1, "{said}");
}

#[test]
fn the_skeleton_goes_as_deep_as_templates_and_raw_endpoints_are_text() {
    for (template, said) in [
        ("{% for s in secret('vault:secret/data/n').servers %}{{ s.host }}:{{ s['port'] }};{% endfor %}", "R:5432;"),
        ("{{ secret('vault:secret/data/n').a.b.c }}", "R"),
        ("{% set n = secret('vault:secret/data/n').n %}{{ n * 2 }}{{ 3 - secret('vault:secret/data/n#m') }}", "22"),
        ("{{ secret('vault:secret/data/n').servers[0] }}{{ secret('vault:secret/data/n').x['k'] }}", "RR"),
        (
            "{% set n = secret('vault:secret/data/n') %}{% set a = n.a %}{{ a.b }}{% for x in a.l %}{{ x.y[0].z }}{% endfor %}",
            "RR",
        ),
        (
            "{{ (secret('vault:secret/data/n').list | first).name }}{{ secret('vault:secret/data/n').list | length }}",
            "R1",
        ),
        ("{% for s in secret('vault:secret/data/n#cfg').servers %}{{ s.host }}{% endfor %}", "R"),
        ("{% for s in secret('aws-sm:n').servers %}{{ s.host }}{% endfor %}", "R"),
        (
            "{% for outer in secret('vault:secret/data/n').rows %}{% for cell in outer %}{{ cell }}{% endfor %}{% endfor %}",
            "R",
        ),
    ] {
        let case = Case::new();
        let config = format!("files:\n  a: {{ template: {template:?} }}\n");
        let skeleton = case.with_files(&config).command("check").arg("--local-skeleton").output().ok();
        let local = case.write("skeleton.yaml", skeleton.replace("{{random}}", "R"));
        let run = case.with_files(&config).arg("--local").arg(local);
        assert_eq!(run.sh("cat $SECRET_EXEC_DIR/a").output().ok(), said, "{template}: {skeleton}");
    }
    for (template, said) in [
        ("{{ with secret `secret/data/n` }}{{ .Data.data.user }}:{{ index .Data.data `a b` }}{{ end }}", "R:R"),
        ("{{ with secret `kv/n` }}{{ range .Data.servers }}{{ .host }}:{{ .port }};{{ end }}{{ end }}", "R:5432;"),
        (
            "{{ with secret `kv/n` }}{{ range $k, $v := .Data.m }}{{ $v.x }}{{ end }}{{ .Data.l | sprig_join `,` }}{{ end }}",
            "RR",
        ),
        ("{{ with secret `secret/data/n` }}{{ with .Data.data.a }}{{ .b.c }}{{ end }}{{ end }}", "R"),
        (
            "{{ with secret `secret/data/n` }}{{ range $k, $v := .Data.data }}{{ $k }}={{ $v }};{{ end }}{{ end }}",
            "KEY=R;",
        ),
        (
            "{{ with pkiCert `pki/issue/w` `common_name=x` }}{{ .Cert | len | lt 99 }}{{ .Key | len | lt 99 }}{{ end }}",
            "truetrue",
        ),
    ] {
        let case = Case::new();
        let config = format!("files:\n  a: {{ language: go, template: {template:?} }}\n");
        let skeleton = case.with_files(&config).command("check").arg("--local-skeleton").output().ok();
        let local = case.write("skeleton.yaml", skeleton.replace("{{random}}", "R"));
        let run = case.with_files(&config).arg("--local").arg(local);
        assert_eq!(run.sh("cat $SECRET_EXEC_DIR/a").output().ok(), said, "{template}: {skeleton}");
    }
    // Deeper than a skeleton goes, which is read nevertheless.
    let case = Case::new();
    let deep = ".a".repeat(3_000);
    let config = format!(
        "files:\n  a: {{ language: go, template: '{{{{ with secret \"secret/data/n\" }}}}{{{{ .Data.data{deep} }}}}{{{{ end }}}}' }}\n"
    );
    let skeleton = case.with_files(&config).command("check").arg("--local-skeleton").output().ok();
    let local = case.write("skeleton.yaml", &skeleton);
    let run = case.with_files("files: { a: \"vault:secret/data/n\" }").arg("--local").arg(local);
    run.sh("test -s $SECRET_EXEC_DIR/a").output().ok();
    let case = Case::new();
    let config =
        "files: { ca.pem: \"vault:pki/ca/pem\", chain: \"vault:pki/ca_chain\", key: \"vault:ssh/public_key\" }\n";
    let skeleton = case.with_files(config).command("check").arg("--local-skeleton").output().ok();
    let local = case.write("skeleton.yaml", &skeleton);
    let run = case.with_files(config).arg("--local").arg(local);
    let said = run.sh("cd $SECRET_EXEC_DIR; head -n 1 ca.pem chain; cat key").output().ok();
    assert!(said.matches("-----BEGIN CERTIFICATE-----").count() == 2 && !said.contains("KEY"), "{said}\n{skeleton}");
}
