//! Suggestions for filters, tests and methods of other template languages.

use crate::config::nearest;

/// The filter that was probably meant.
pub(super) fn filter(name: &str) -> Option<&'static str> {
    let instead = FILTERS_ELSEWHERE.iter().find(|(elsewhere, _)| elsewhere.eq_ignore_ascii_case(name));
    instead.map(|(_, instead)| *instead).or_else(|| nearest(name, FILTERS.iter().copied()))
}

/// The test that was probably meant.
pub(super) fn test(name: &str) -> Option<&'static str> {
    let instead = TESTS_ELSEWHERE.iter().find(|(elsewhere, _)| elsewhere.eq_ignore_ascii_case(name));
    instead.map(|(_, instead)| *instead).or_else(|| nearest(name, TESTS.iter().copied()))
}

/// The equivalent of a method of Python's; `X` stands for the value.
pub(super) fn method(name: &str) -> Option<&'static str> {
    METHODS.iter().find(|(method, _)| *method == name).map(|(_, instead)| *instead)
}

/// The filters that are suggested.
const FILTERS: &[&str] = &[
    "abs",
    "b64decode",
    "b64encode",
    "batch",
    "bool",
    "capitalize",
    "default",
    "dictsort",
    "dotenv",
    "first",
    "float",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "json",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "properties",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "yaml",
];

/// Filters of Jinja, Ansible, Sprig and consul-template, and their equivalents here.
const FILTERS_ELSEWHERE: &[(&str, &str)] = &[
    ("b64", "b64encode"),
    ("b64dec", "b64decode"),
    ("b64enc", "b64encode"),
    ("base64", "b64encode"),
    ("base64decode", "b64decode"),
    ("base64encode", "b64encode"),
    ("base64urldecode", "b64decode"),
    ("from_base64", "b64decode"),
    ("quote", "json"),
    ("strip", "trim"),
    ("to_json", "json"),
    ("to_nice_json", "json"),
    ("to_nice_yaml", "yaml"),
    ("to_yaml", "yaml"),
    ("tojson", "json"),
    ("tojsonpretty", "json"),
    ("tolower", "lower"),
    ("totitle", "title"),
    ("toupper", "upper"),
    ("toyaml", "yaml"),
    ("trimspace", "trim"),
    ("url_encode", "urlencode"),
    ("urlquery", "urlencode"),
];

/// The tests that are suggested.
const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "even",
    "false",
    "float",
    "in",
    "integer",
    "iterable",
    "lower",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];

/// Tests of other languages, and their equivalents here.
const TESTS_ELSEWHERE: &[(&str, &str)] = &[
    ("endswith", "endingwith"),
    ("startswith", "startingwith"),
    ("null", "none"),
    ("nil", "none"),
    ("dict", "mapping"),
    ("list", "sequence"),
    ("bool", "boolean"),
];

/// Methods of Python's, and their equivalents here.
const METHODS: &[(&str, &str)] = &[
    ("capitalize", "X | capitalize"),
    ("decode", "X | b64decode"),
    ("encode", "X | b64encode"),
    ("endswith", "X is endingwith('…')"),
    ("get", "X.KEY, or X.KEY | default('…')"),
    ("items", "for k, v in X | items"),
    ("join", "X | join('…')"),
    ("keys", "for k in X"),
    ("lower", "X | lower"),
    ("replace", "X | replace('…', '…')"),
    ("rstrip", "X | trim"),
    ("lstrip", "X | trim"),
    ("split", "X | split('…')"),
    ("splitlines", "X | lines"),
    ("startswith", "X is startingwith('…')"),
    ("strip", "X | trim"),
    ("title", "X | title"),
    ("upper", "X | upper"),
    ("values", "for k, v in X | items"),
];

/// The kind of a value that was used as a list or map. minijinja names kinds of values here, and quotes none.
pub(super) fn without_items(detail: Option<&str>) -> Option<&'static str> {
    let detail = detail?;
    if detail == "cannot convert value into pairs" {
        return Some("no map");
    }
    match detail.strip_suffix(" is not iterable")? {
        "string" => Some("one text"),
        "number" => Some("a number"),
        "bool" => Some("true or false"),
        "none" => Some("null"),
        _ => Some("one value"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::trail::Trail;
    use super::super::{environment, holds};
    use super::*;

    #[test]
    fn what_is_suggested_is_there() {
        let known = environment(&Arc::new(Trail::new(usize::MAX)), BTreeMap::new(), 0);
        for name in FILTERS.iter().chain(FILTERS_ELSEWHERE.iter().map(|(_, instead)| instead)) {
            assert!(holds(&known, "name is filter", name), "{name}");
        }
        for name in TESTS.iter().chain(TESTS_ELSEWHERE.iter().map(|(_, instead)| instead)) {
            assert!(holds(&known, "name is test", name), "{name}");
        }
        for (_, instead) in METHODS {
            let filter = instead.split_once("| ").map(|(_, rest)| rest.split('(').next().unwrap_or(rest));
            assert!(filter.is_none_or(|name| holds(&known, "name is filter", name)), "{instead}");
        }
    }

    #[test]
    fn what_is_there_is_not_mapped_elsewhere() {
        let known = environment(&Arc::new(Trail::new(usize::MAX)), BTreeMap::new(), 0);
        for (name, _) in FILTERS_ELSEWHERE {
            assert!(!holds(&known, "name is filter", name), "{name}");
        }
        for (name, _) in TESTS_ELSEWHERE {
            assert!(!holds(&known, "name is test", name), "{name}");
        }
    }
}
