//! The JSON Schema (draft 2020-12) of the config file, printed from the same description that checks it.

use serde_json::{Map, Value, json};

use super::keys::ROOT;
use super::shape::{Choice, DefaultValue, Field, Names, Object, Presence, Shape, SingleItem, Tagged};

/// The schema as text, the same bytes every time.
pub fn schema() -> String {
    let mut root = of(&ROOT);
    let head = root.as_object_mut().expect("the root is an object");
    head.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    if let Some(Value::Object(properties)) = head.get_mut("properties") {
        let text = "Where an editor finds this schema; it is not read.";
        properties.insert("$schema".to_owned(), json!({ "description": text, "type": "string" }));
    }
    head.insert("title".to_owned(), json!("secret-exec configuration"));
    let text = serde_json::to_string_pretty(&root).expect("a tree of plain values");
    format!("{text}\n")
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Single(form) => form.schema(),
        Shape::Short { form, long, .. } => json!({ "anyOf": [form.schema(), object(long)] }),
        Shape::List { item, single_item } => {
            let list = json!({ "type": ["array", "null"], "items": of(item) });
            match single_item {
                SingleItem::Refused => list,
                SingleItem::Allowed => json!({ "anyOf": [of(item), list] }),
            }
        }
        Shape::Map { names, value } => {
            let pattern = match names {
                Names::Secrets => "^[A-Za-z0-9._-]+$",
                Names::Files => r"^(?!\.\.)[^/]+(/[^/]+)*$",
                Names::Variables => "^[^=]+$",
            };
            json!({
                "type": ["object", "null"],
                "propertyNames": { "pattern": pattern },
                "additionalProperties": of(value),
            })
        }
        Shape::Object(fields) => object(fields),
        Shape::Tagged(fields) => tagged(fields),
    }
}

fn object(object: &Object) -> Value {
    let mut schema = map(object.fields.iter());
    if let Some(choice) = &object.choice {
        schema.insert("allOf".to_owned(), choices(choice));
    }
    // Nothing under a key is the same as an empty map, as long as nothing must be there.
    let is_needed = schema.contains_key("required")
        || object.choice.as_ref().is_some_and(|choice| choice.presence == Presence::Required);
    schema.insert("type".to_owned(), if is_needed { json!("object") } else { json!(["object", "null"]) });
    Value::Object(schema)
}

fn map<'a>(fields: impl Iterator<Item = &'a Field> + Clone) -> Map<String, Value> {
    let required: Vec<_> =
        fields.clone().filter(|field| field.presence == Presence::Required).map(|field| field.name).collect();
    let mut schema = Map::new();
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema.insert("properties".to_owned(), Value::Object(fields.map(property).collect()));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(field: &Field) -> (String, Value) {
    let mut schema = of(&field.shape);
    let texts = schema.as_object_mut().expect("every schema is an object");
    texts.insert("title".to_owned(), json!(field.name));
    texts.insert("description".to_owned(), json!(field.doc_with_default()));
    if let DefaultValue::Value(text) = field.default {
        let value = text.parse::<bool>().map_or_else(|_| json!(text), |flag| json!(flag));
        texts.insert("default".to_owned(), value);
    }
    (field.name.to_owned(), schema)
}

/// No two ways together, and one of them where one is required.
fn choices(choice: &Choice) -> Value {
    let mut rules = Vec::new();
    for (at, way) in choice.ways.iter().enumerate() {
        let Some(head) = way.first() else { continue };
        let others = choice.ways.iter().enumerate().filter(|(other, _)| *other != at);
        for field in others.flat_map(|(_, other)| other.iter()).filter(|field| !way.contains(field)) {
            rules.push(json!({ "not": { "type": "object", "required": [head, field] } }));
        }
    }
    if choice.presence == Presence::Required {
        let heads: Vec<_> = choice.ways.iter().filter_map(|way| way.first()).collect();
        rules.push(json!({ "anyOf": heads.iter().map(|head| json!({ "required": [head] })).collect::<Vec<_>>() }));
    }
    Value::Array(rules)
}

fn tagged(tagged: &Tagged) -> Value {
    let variants = tagged.variants.iter().map(|variant| {
        let mut schema = object(&variant.object);
        let fields = schema.as_object_mut().expect("an object");
        fields.insert("type".to_owned(), json!("object"));
        fields.insert("title".to_owned(), json!(variant.name));
        fields.insert("description".to_owned(), json!(variant.doc));
        let tag = json!({ "const": variant.name, "description": tagged.tag.doc, "title": tagged.tag.name });
        let properties = fields.get_mut("properties").and_then(Value::as_object_mut).expect("properties");
        properties.insert(tagged.tag.name.to_owned(), tag);
        let mut required = vec![json!(tagged.tag.name)];
        if let Some(Value::Array(more)) = fields.get("required") {
            required.extend(more.iter().cloned());
        }
        fields.insert("required".to_owned(), Value::Array(required));
        schema
    });
    json!({ "oneOf": variants.collect::<Vec<_>>() })
}
