//! What is written for people is what the code knows.

use crate::support::root;

#[test]
fn the_references_of_annotations_and_of_the_configuration_are_the_codes() {
    page_is("annotations.md", secret_exec::k8s::annotation_docs::markdown());
    page_is("configuration.md", secret_exec::config::key_docs::markdown());
}

fn page_is(page: &str, expected: String) {
    let path = root().join("docs").join(page);
    if std::fs::read_to_string(&path).unwrap_or_default() != expected {
        let fresh = root().join("target").join(page);
        std::fs::write(&fresh, expected).unwrap();
        panic!("docs/{page} is old: cp {} {}", fresh.display(), path.display());
    }
}

/// A table between `<!-- table: …` and `<!-- end -->` in a page that people wrote.
fn table_is(page: &str, expected: &str) {
    let path = root().join("docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let start = text.find("<!-- table: ").unwrap();
    let start = start + text[start..].find('\n').unwrap() + 1;
    let end = start + text[start..].find("<!-- end -->").unwrap();
    if &text[start..end] != expected {
        let fresh = root().join("target").join(page);
        std::fs::write(&fresh, format!("{}{expected}{}", &text[..start], &text[end..])).unwrap();
        panic!("the table in docs/{page} is old: cp {} {}", fresh.display(), path.display());
    }
}

#[test]
fn the_tables_of_other_injectors_are_the_codes() {
    table_is("coming-from-vault-agent-injector.md", &secret_exec::k8s::dialects::docs::vault_agent_injector());
    table_is("coming-from-bank-vaults.md", &secret_exec::k8s::dialects::docs::bank_vaults());
}

/// An annotation of ours in any document is one the code knows.
#[test]
fn every_annotation_in_the_docs_is_known() {
    let mut texts = vec![root().join("README.md")];
    texts.extend(std::fs::read_dir(root().join("docs")).unwrap().flatten().map(|entry| entry.path()));
    let mut checked = 0;
    for path in texts.iter().filter(|path| path.exists() && !path.ends_with("annotations.md")) {
        let text = std::fs::read_to_string(path).unwrap();
        for (at, _) in text.match_indices("secret-exec.dev/") {
            let key: String =
                text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "./-_".contains(*c)).collect();
            let key = key.trim_end_matches(['.', '-']);
            // The others are labels of namespaces.
            let labels = ["", "dialects", "no-plain-secrets", "no-secret-env", "restricted", "no-debug-access"];
            if key.strip_prefix("secret-exec.dev/").is_some_and(|name| labels.contains(&name)) {
                continue;
            }
            let mistakes = secret_exec::config::annotations::check([(key, "x")]);
            let unknown = mistakes.iter().find(|mistake| mistake.text.contains("unknown annotation"));
            assert!(unknown.is_none(), "{}: {unknown:?}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}
