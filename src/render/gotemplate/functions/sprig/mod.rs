//! The functions of Sprig that depend on their arguments only, and change none of them
//! (<https://masterminds.github.io/sprig/>).

use super::super::value::{Text, Value};
use super::{Function, bytes};

mod dates;
mod dicts;
mod lists;
mod numbers;
mod strings;

pub(super) const TABLES: [&[Function]; 5] = [strings::TABLE, numbers::TABLE, lists::TABLE, dicts::TABLE, dates::TABLE];

const RANDOM: &str =
    "its result is another one each time, and each rendering would be a change; store the value in Vault";
const MUTATES: &str =
    "values are not changed in place here; sprig_dict, sprig_omit and mergeMapWithOverride make another one";

/// Functions that are not supported for a reason of their own.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("sprig_set", MUTATES),
    ("sprig_unset", MUTATES),
    ("sprig_merge", MUTATES),
    ("sprig_mergeOverwrite", MUTATES),
    ("sprig_mustMerge", MUTATES),
    ("sprig_mustMergeOverwrite", MUTATES),
    ("sprig_bcrypt", RANDOM),
    ("sprig_buildCustomCert", RANDOM),
    ("sprig_derivePassword", RANDOM),
    ("sprig_encryptAES", RANDOM),
    ("sprig_genCA", RANDOM),
    ("sprig_genCAWithKey", RANDOM),
    ("sprig_genPrivateKey", RANDOM),
    ("sprig_genSelfSignedCert", RANDOM),
    ("sprig_genSelfSignedCertWithKey", RANDOM),
    ("sprig_genSignedCert", RANDOM),
    ("sprig_genSignedCertWithKey", RANDOM),
    ("sprig_htpasswd", RANDOM),
    ("sprig_randAlpha", RANDOM),
    ("sprig_randAlphaNum", RANDOM),
    ("sprig_randAscii", RANDOM),
    ("sprig_randBytes", RANDOM),
    ("sprig_randInt", RANDOM),
    ("sprig_randNumeric", RANDOM),
    ("sprig_shuffle", RANDOM),
    ("sprig_uuidv4", RANDOM),
    ("sprig_getHostByName", "it asks a name server"),
];

/// Functions that Sprig also has with `must`, where they fail; here they always do.
const ALSO_MUST: &[&str] = &[
    "sprig_append",
    "sprig_chunk",
    "sprig_compact",
    "sprig_deepCopy",
    "sprig_first",
    "sprig_has",
    "sprig_initial",
    "sprig_last",
    "sprig_prepend",
    "sprig_push",
    "sprig_regexFind",
    "sprig_regexFindAll",
    "sprig_regexMatch",
    "sprig_regexReplaceAll",
    "sprig_regexReplaceAllLiteral",
    "sprig_rest",
    "sprig_reverse",
    "sprig_slice",
    "sprig_toJson",
    "sprig_toPrettyJson",
    "sprig_toRawJson",
    "sprig_uniq",
    "sprig_without",
];

/// The name without `must`: `sprig_first` of `sprig_mustFirst`.
pub(super) fn without_must(name: &str) -> Option<&'static str> {
    let rest = name.strip_prefix("sprig_must")?;
    let is_rest = |known: &str| {
        let (first, others) = known["sprig_".len()..].split_at(1);
        rest.strip_prefix(&*first.to_ascii_uppercase()) == Some(others)
    };
    ALSO_MUST.iter().copied().find(|known| is_rest(known))
}

/// Whether two values are equal to `reflect.DeepEqual` of Go: of the same types, too. Adds the comparisons to `compared`.
fn same(left: &Value, right: &Value, compared: &mut usize) -> bool {
    *compared += 1;
    let text = |text: &[u8], other: &[u8], compared: &mut usize| {
        *compared += super::text_compared(text, other);
        text == other
    };
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left, kind), Value::Int(right, other)) => (left, kind) == (right, other),
        (Value::Uint(left, kind), Value::Uint(right, other)) => (left, kind) == (right, other),
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_)) => {
            text(bytes(left), bytes(right), compared)
        }
        (Value::List(left, kind), Value::List(right, other)) => {
            kind == other
                && left.len() == right.len()
                && left.iter().zip(&**right).all(|(left, right)| same(left, right, compared))
        }
        (Value::Map(left, kind), Value::Map(right, other)) => {
            let is_same = |((key, value), (other, with)): ((&Text, _), (&Text, _))| {
                text(key, other, compared) && same(value, with, compared)
            };
            kind == other && left.len() == right.len() && left.iter().zip(&**right).all(is_same)
        }
        (Value::Time(left), Value::Time(right)) => left == right,
        (left, right) => left.is_nothing() && right.is_nothing(),
    }
}
