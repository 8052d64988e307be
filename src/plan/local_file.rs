//! A `--local` file for a plan: every reference with the keys that are used of it, to be filled with made-up values.

use std::collections::BTreeSet;

use crate::domain::Source;

use super::Plan;

/// The file's text.
pub(crate) fn local_file(plan: &Plan) -> String {
    let mut out = String::from(
        "# Stands for the servers: what each reference answers. Made-up values only; for a laptop.\n\
         # Add `ttl: 10s` (and `renewable: true`) to make one a lease.\n",
    );
    for planned in &plan.sources {
        let keys: BTreeSet<&str> = plan.keys_of(&planned.source).collect();
        let answer = match (&planned.source, keys.is_empty()) {
            (Source::Vault(_), false) => format!("data: {{ {} }}", pairs(&keys)),
            (Source::Vault(_), true) => "data: { KEY: \"{{random}}\" }".to_owned(),
            (_, true) => "value: \"{{random}}\"".to_owned(),
            (_, false) => {
                let object: serde_json::Map<_, _> =
                    keys.iter().map(|key| ((*key).to_owned(), "{{random}}".into())).collect();
                let text = serde_json::to_string(&object).expect("a JSON object prints");
                format!("value: {}", quoted(&text))
            }
        };
        let reference = planned.source.written();
        out.push_str(&format!("{}: {{ {answer} }}\n", quoted(&reference)));
    }
    out
}

fn pairs(keys: &BTreeSet<&str>) -> String {
    keys.iter().map(|key| format!("{}: \"{{{{random}}}}\"", quoted(key))).collect::<Vec<_>>().join(", ")
}

/// A JSON string is a YAML double-quoted scalar.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string prints as JSON")
}
