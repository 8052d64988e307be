"""Holds the schema (argv[1]) against the example on stdin, and against what the program (argv[2]) says of each value below."""

import json
import os
import subprocess
import sys

import jsonschema
import yaml

schema = json.load(open(sys.argv[1]))
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
assert "$schema" in schema
validator = validator(schema)
errors = [error.message for error in validator.iter_errors(yaml.safe_load(sys.stdin))]
assert not errors, errors

VAULT = {"address": "https://v:8200", "auth": {"method": "kubernetes", "role": "web"}}
REF = "vault:secret/data/x#y"
IS_ROOT = os.geteuid() == 0
BASE = {"vault": VAULT, "files": {"a": REF}} | ({"runAs": "0"} if IS_ROOT else {})

vault = lambda **more: VAULT | more
auth = lambda **more: VAULT | {"auth": VAULT["auth"] | more}
action = lambda *values: [[value] for value in values]
part = lambda key, *values: [{key: value} for value in values]

# Key, values that both take, values that both refuse.
TABLE = [
    ("timeout", ["1s", "10m", "1h0m", "0h30s", "100ms", "3650d"], ["0s", "0h0m", "5", "", "1.5h", "30m1h", "9999d", "99999999999d"]),
    ("metrics", ["[::]:9", "127.0.0.1:9090", "0.0.0.0:65535", "x:0"], [":9", "9", "127.0.0.1:65536", "x:99999", "x:"]),
    (
        "renewal",
        [{"at": "30%", "jitter": "5%"}, {"at": "80%", "jitter": "20%"}, {"at": "066%", "jitter": "10%"}]
        + part("handOver", "10s", "0h10s", "00010s", "10000ms", "5m", "59m60s", "60m", "1h", "1h0s", "3600s", "3600000ms"),
        part("at", "29%", "81%", "90%", "8%", "66")
        + part("jitter", "4%", "21%")
        + part("handOver", "2h", "9s", "1h1s", "61m", "60m1s", "3601s", "9999s", "1d", "9999ms", "9s999ms", "3600001ms", "0s"),
    ),
    (
        "onChange",
        ["restart", {"signal": "HUP"}, {"signal": 1}, []]
        + action("none", "signal:hup", "signal:RTMIN+3@nginx", "http://127.0.0.1:8080/x?y", "http:https://LocalHost/", "https://[::1]:1")
        + action({"run": ["/bin/true"]}, {"run": ["true", ""]}, {"http": "HTTP://localhost"}, {"http": "http://x/", "remote": True}),
        action("", "signal:", "signal:HUP@", "http:", "http://example.com/", "http:https://x", "restart now", "signal:KILL", "signal:sigstop@x", "signal:09")
        + action({"run": []}, {"run": None}, {"run": [""]}, {"run": "/bin/true"}, {"run": ["x"], "signal": "HUP"}, {}, {"remote": True})
        + action({"signal": "KILL"}, {"signal": 9}, {"signal": 19}, {"signal": "SIGSTOP"})
        + action({"http": "ftp://x"}, {"http": "http://u:p@127.0.0.1/"}, {"http": "http://127.0.0.1:99999/"}, {"http": "http://127.0.0.1/#a"}),
    ),
    (
        "volume",
        ["/run/x", "/run/x/", {"size": 1}, {"size": "10Mi"}, {"size": "1024"}, {"owner": "1000:1000"}, {"owner": 1000}],
        ["x", "/", "//", "/run/../x", "/run/./x", "/.."]
        + [{"size": 0}, {"size": "0Mi"}, {"size": "00"}, {"size": "8M"}, {"owner": ""}, {"owner": ":"}, {"owner": 4294967295}],
    ),
    (
        "vault",
        [vault(address=a) for a in ["https://x", "https://ui", "https://v1/vault", "unix:///x/v1", "http://x:1", "https://[::1]:65535/a"]]
        + [vault(namespace="a/b/"), vault(redirectHosts="a:1, b"), vault(tlsServerName="x.y"), vault(proxy="http://p:3128"), auth(mount="a/b c")],
        [vault(address=a) for a in ["https://x/v1", "https://x/ui/", "HTTP://x/a/v1", "https://x:0", "https://x:99999", "https://x y", "https://x/.."]]
        + [vault(namespace="a b"), vault(redirectHosts="a b"), vault(tlsServerName="x y"), vault(proxy="http://p:0"), vault(caFile="")]
        + [auth(mount=m) for m in ["auth", "auth/k", "a//b", "/k", "k/", ""]],
    ),
    (
        "files",
        [{n: REF} for n in ["a", "a/b", ".a", "a b", "a:b", "a/.b", "a.."]]
        + [{"a": v} for v in ["vault:a/b", "vault:v1x/a", "file:/x", "aws-sm:x", {"from": REF, "mode": "0440"}]],
        [{n: REF} for n in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".", "..", "..data", "a\nb", "a\0b"]]
        + [{"a": v} for v in ["", "vault:", "vault:/x", "vault:x/", "vault:x/#y", "vault:v1/x", "vault:x#", "aws-sm:", "aws-sm:x#"]]
        + [{"a": v} for v in ["file:", "file:x", True, {"from": REF, "mode": "0000"}, {"from": REF, "mode": 400}, {"from": REF, "x": 1}]],
    ),
    ("env", [{"A": REF}], [{"A B": REF}, {"A\tB": REF}, {"A=B": REF}, {"": REF}, {"SECRET_EXEC_DIR": REF}, {"A\0": REF}, [1]]),
    ("envFrom", [[{"from": "vault:x", "prefix": p}] for p in ["", "APP_"]], [[{"from": "vault:x", "prefix": p}] for p in ["A=B", "a b"]]),
    ("runAs", ["0:0", 0, "1000:1000"] if IS_ROOT else [], ["", ":5", "5:", "1:2:3", " 0", -1, 4294967295]),
    ("onExpired", ["keep", "stop"], ["explode"]),
    ("vualt", [], [{}]),
]

wrong = []
for key, goods, bads in TABLE:
    for value, is_good in [(value, True) for value in goods] + [(value, False) for value in bads]:
        config = BASE | {key: value}
        text = yaml.safe_dump(config, allow_unicode=True)
        program = subprocess.run([sys.argv[2], "check", "--config", "/dev/stdin"], input=text, capture_output=True, text=True, env={**os.environ, "AWS_REGION": "eu-west-1"})
        if (validator.is_valid(config), program.returncode) != (is_good, 0 if is_good else 64):
            wrong.append((key, value, is_good, validator.is_valid(config), program.returncode, program.stderr[-200:]))
assert not wrong, "\n".join(map(str, wrong))
