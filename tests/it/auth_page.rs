//! Each method of `docs/auth.md`: its block logs in, with names and files of the suite in the place of the page's.

use serde_json::json;
use support::*;

/// The YAML blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let page = std::fs::read_to_string(repository().join("docs").join(page)).unwrap();
    page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The block of a method.
fn block(method: &str) -> String {
    let mark = format!("method: {method},");
    blocks("auth.md").into_iter().find(|block| block.contains(&mark)).unwrap()
}

/// The pairs of `{ a: b, c: d }`.
fn pairs(flow: &str) -> Vec<(&str, &str)> {
    let inner = flow.split_once('{').unwrap().1.rsplit_once('}').unwrap().0;
    inner.split(", ").map(|pair| pair.trim().split_once(": ").unwrap()).collect()
}

/// The block with the suite's values; its keys must suffice, so every key of the suite's login but the mount is there.
fn adapted(method: &str, login: &Login, address: &str) -> String {
    let block = block(method);
    let flow = block.split("auth: ").nth(1).unwrap().trim_end();
    let ours = pairs(&login.auth);
    let mut keys: Vec<&str> = pairs(flow).iter().map(|(key, _)| *key).collect();
    let mut expected: Vec<&str> = ours.iter().map(|(key, _)| *key).filter(|key| *key != "mount").collect();
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected, "{method}");
    let address = block.replace("https://vault.example.com:8200", address);
    address
        .replace("/etc/ssl/vault.pem", &certificates().join("ca.pem").display().to_string())
        .replace(flow, &login.auth)
}

#[test]
fn every_method_of_the_page_logs_in_as_it_is_written() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("app", json!({ "k": "value" }))]);
    let path = format!("{kv}/data/*");
    let paths = [path.as_str()];
    let plain = format!("http://127.0.0.1:{}", space.bao.port);
    let tls = format!("https://127.0.0.1:{}", space.bao.tls_port);
    let logins = [
        ("kubernetes", space.kubernetes(&paths, "pod.jwt"), &plain),
        ("jwt", space.jwt(&paths, "web.jwt"), &plain),
        ("approle", space.approle(&case, &paths), &plain),
        ("cert", space.cert(&paths, "client"), &tls),
        ("token-file", space.token(&case, &paths, json!({})).0, &plain),
    ];
    for (method, login, address) in &logins {
        let config = format!("{}env: {{ X: \"vault:{kv}/data/app#k\" }}\n", adapted(method, login, address));
        assert_eq!(case.with_config(&config).sh("printf %s $X").output().ok(), "value", "{method}");
    }
}

/// The sixth needs AWS: `login::aws_sends_a_signed_get_caller_identity` has its keys.
#[test]
fn the_page_has_a_block_for_each_method_and_each_is_a_valid_config() {
    let case = Case::new();
    let blocks = blocks("auth.md");
    let schema: serde_json::Value = case.run_bare().command("schema").output().ok().parse().unwrap();
    let methods = schema["properties"]["vault"]["properties"]["auth"]["oneOf"].as_array().unwrap();
    assert_eq!(blocks.len(), methods.len(), "{methods:?}");
    for method in methods {
        let block = block(method["title"].as_str().unwrap());
        let config = format!("{block}env: {{ X: \"vault:secret/data/app#k\" }}\n");
        case.with_config(&config).command("check").output().ok();
    }
}
