//! Functions for base64, digests, JSON, YAML and TOML.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ring::{digest, hmac};

use super::super::super::tree::Json;
use super::super::arguments::Kind::{Any, String as Str};
use super::super::value::{Map, Text, Value};
use super::super::{json, toml, yaml};
use super::{Function, Outcome, bytes, md5, string};

pub(super) const TABLE: &[Function] = &[
    Function::pure("base64Encode", &[Str], |given| Ok(Value::text(STANDARD.encode(bytes(&given[0]))))),
    Function::pure("base64URLEncode", &[Str], |given| Ok(Value::text(URL_SAFE.encode(bytes(&given[0]))))),
    Function::pure("base64Decode", &[Str], |given| decode(&STANDARD, &given[0])),
    Function::pure("base64URLDecode", &[Str], |given| decode(&URL_SAFE, &given[0])),
    Function::pure("sha256Hex", &[Str], |given| Ok(Value::text(digest_hex(&digest::SHA256, bytes(&given[0]))))),
    Function::pure("md5sum", &[Str], |given| Ok(Value::text(hex(&md5::digest(bytes(&given[0])))))).slow(),
    Function::pure("hmacSHA256Hex", &[Str, Str], |given| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes(&given[1]));
        Ok(Value::text(hex(hmac::sign(&key, bytes(&given[0])).as_ref())))
    }),
    Function::pure("toJSON", &[Any], |given| json::write(&given[0], None, true).map(Value::text)),
    Function::pure("toJSONPretty", &[Any], |given| json::write(&given[0], Some(2), true).map(Value::text)),
    Function::pure("toUnescapedJSON", &[Any], |given| json::write(&given[0], None, false).map(Value::text)),
    Function::pure("toUnescapedJSONPretty", &[Any], |given| json::write(&given[0], Some(2), false).map(Value::text)),
    Function::pure("toYAML", &[Any], |given| yaml::write(&given[0]).map(Value::text)),
    Function::pure("toTOML", &[Any], |given| toml::write(&given[0]).map(Value::text)),
    Function::with("parseYAML", &[Str], |run, given| match string(&given[0]) {
        text if text.is_empty() => Ok(Value::map(Map::new())),
        text => run.nested(yaml::parse(&text)?),
    })
    .slow(),
    Function::pure("parseJSON", &[Str], |given| {
        if bytes(&given[0]).is_empty() {
            return Ok(Value::map(Map::new()));
        }
        let parsed = Json::parse(&string(&given[0]));
        parsed
            .ok()
            .and_then(|json| from_json(&json, Numbers::Floats))
            .ok_or_else(|| "the text is no JSON that is read here".to_owned())
    })
    .slow(),
];

/// Decodes base64, ignoring line breaks.
pub(super) fn decode(engine: &impl base64::Engine, value: &Value) -> Outcome {
    // Go's decoder ignores line breaks.
    let text: Vec<u8> = bytes(value).iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    engine.decode(text).map(Value::text).map_err(|_| "the text is no base64".to_owned())
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of bytes, in hexadecimal.
pub(super) fn digest_hex(algorithm: &'static digest::Algorithm, bytes: &[u8]) -> String {
    hex(digest::digest(algorithm, bytes).as_ref())
}

/// The Go type of JSON numbers.
#[derive(Clone, Copy)]
pub(super) enum Numbers {
    /// `json.Number`, as in responses of the API.
    AsWritten,
    /// `float64`, as in `parseJSON`.
    Floats,
}

/// Parsed JSON as a template value; `None` if a number is too large for its type.
pub(super) fn from_json(json: &Json, numbers: Numbers) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(text) => match numbers {
            Numbers::AsWritten => Value::Number(Text::from(text.as_bytes())),
            Numbers::Floats => Value::Float(text.parse().ok().filter(|number: &f64| number.is_finite())?),
        },
        Json::Text(text) => Value::text(text),
        Json::List(items) => Value::list(items.iter().map(|item| from_json(item, numbers)).collect::<Option<_>>()?),
        Json::Map(entries) => {
            let entry = |(key, item): &(String, Json)| Some((Text::from(key.as_bytes()), from_json(item, numbers)?));
            Value::map(entries.iter().map(entry).collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn floats_print_as_go_prints_them() {
        let shortest = |value| super::super::super::float::format(value, 'g', None, false);
        assert_eq!([1.5, 1e6, 123456.0, 1e-5, 0.0001].map(shortest), ["1.5", "1e+06", "123456", "1e-05", "0.0001"]);
    }
}
