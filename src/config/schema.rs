//! Generates the JSON Schema (draft 2020-12) of the config file from the description that also validates it.

use serde_json::{Map, Value, json};

use super::form::Form;
use super::injector::{INJECTED_METHODS, INJECTOR, in_a_container};
use super::keys::ROOT;
use super::shape::{Choice, DefaultValue, Field, Names, Object, Presence, Shape, SingleItem, Tagged};
use super::tree::{SCHEMA_KEY, join};

/// The position of a shape in a document.
struct Location {
    document: Document,
    path: String,
}

/// The document that a schema describes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Document {
    /// The configuration, in which required keys must be present.
    Config,
    /// The injector's config: a part of every pod's configuration, which annotations complete.
    Injector,
}

impl Location {
    /// The context of the key `name` below this one.
    fn below(&self, name: &str) -> Self {
        Self { document: self.document, path: join(&self.path, name) }
    }

    /// Whether required keys must be present at this position.
    fn is_complete(&self) -> bool {
        self.document == Document::Config || self.path.is_empty()
    }

    /// Whether the schema lists the field: that of the injector leaves out what cannot be set in a pod.
    fn takes(&self, field: &Field) -> bool {
        self.document == Document::Config || in_a_container(&join(&self.path, field.name)).is_none()
    }

    /// Whether the schema requires the field.
    fn requires(&self, field: &Field) -> bool {
        field.presence == Presence::Required && self.is_complete()
    }
}

/// The schema of the config file. The output is deterministic.
pub fn schema() -> String {
    whole(&ROOT, Document::Config, "config", "secret-exec configuration", config_example())
}

/// The schema of the injector's config file.
pub fn injector_schema() -> String {
    whole(&INJECTOR, Document::Injector, "injector", "secret-inject configuration", injector_example())
}

/// The schema of a whole document.
fn whole(shape: &Shape, document: Document, name: &str, title: &str, example: Value) -> String {
    let mut root = of(shape, &Location { document, path: String::new() });
    let head = root.as_object_mut().expect("the root is an object");
    head.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    head.insert("$id".to_owned(), json!(format!("https://secret-exec.dev/schema/{name}.json")));
    if let Some(Value::Object(properties)) = head.get_mut("properties") {
        let text = "Where an editor finds this schema; it is not read.";
        properties.insert(SCHEMA_KEY.to_owned(), json!({ "description": text, "type": "string" }));
    }
    head.insert("title".to_owned(), json!(title));
    head.insert("examples".to_owned(), json!([example]));
    let text = serde_json::to_string_pretty(&root).expect("a tree of plain values");
    format!("{text}\n")
}

/// The example of a config.
fn config_example() -> Value {
    json!({
        "vault": { "address": "https://vault.example.com:8200", "auth": { "method": "kubernetes", "role": "web" } },
        "secrets": { "db": "vault:database/creds/web" },
        "files": {
            "db.env": { "from": "db", "format": "dotenv" },
            "api-token": "vault:secret/data/api#token",
        },
        "runAs": "1000:1000",
        "onChange": [{ "signal": "HUP" }],
    })
}

/// The example of an injector's config.
fn injector_example() -> Value {
    json!({
        "image": "registry.example.com/secret-exec:1.0",
        "vault": {
            "address": "https://vault.example.com:8200",
            "auth": { "method": "kubernetes", "mount": "kubernetes" },
        },
        "aws": { "region": "eu-west-1" },
        "allowAddresses": ["https://vault.example.com:8200"],
    })
}

/// The schema of a shape.
fn of(shape: &Shape, at: &Location) -> Value {
    match shape {
        Shape::Single(form) => form.schema(),
        Shape::Short { form, long, .. } => json!({ "anyOf": [form.schema(), object(long, at)] }),
        // A command has at least its program.
        Shape::List { item: Shape::Single(word @ Form::Argument), .. } => {
            let name = json!({ "type": "string", "minLength": 1 });
            json!({ "type": "array", "minItems": 1, "prefixItems": [name], "items": word.schema() })
        }
        Shape::List { item, single_item } => {
            let list = json!({ "type": ["array", "null"], "items": of(item, at) });
            match single_item {
                SingleItem::Refused => list,
                SingleItem::Allowed => json!({ "anyOf": [of(item, at), list] }),
            }
        }
        Shape::Map { names, value } => {
            let (pattern, not) = match names {
                Names::Secrets => ("^[A-Za-z0-9._-]+$", "^$"),
                Names::Files => (r"^[^/]+(/[^/]+)*$", r"^\.\.|(^|/)\.\.?(/|$)|[\x00-\x1f]"),
                Names::Variables => (r"^[^=\s]+$", r"^SECRET_EXEC_DIR$|[\x00-\x1f\x7f]"),
            };
            json!({
                "type": ["object", "null"],
                "propertyNames": { "pattern": pattern, "not": { "pattern": not } },
                "additionalProperties": of(value, at),
            })
        }
        Shape::Object(fields) => object(fields, at),
        Shape::Tagged(fields) => tagged(fields, at),
    }
}

/// The schema of an object.
fn object(object: &Object, at: &Location) -> Value {
    let mut schema = map(object.fields, at);
    let needs_choice =
        object.choice.as_ref().is_some_and(|choice| choice.presence == Presence::Required && at.is_complete());
    if let Some(choice) = &object.choice {
        schema.insert("allOf".to_owned(), choices(choice, needs_choice));
    }
    // A key without a value counts as an empty map, which is valid if nothing is required.
    let is_needed = schema.contains_key("required") || needs_choice;
    schema.insert("type".to_owned(), if is_needed { json!("object") } else { json!(["object", "null"]) });
    Value::Object(schema)
}

/// The fields of an object.
fn map(fields: &[Field], at: &Location) -> Map<String, Value> {
    let fields: Vec<&Field> = fields.iter().filter(|field| at.takes(field)).collect();
    let required: Vec<_> = fields.iter().filter(|field| at.requires(field)).map(|field| field.name).collect();
    let mut schema = Map::new();
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
        .insert("properties".to_owned(), Value::Object(fields.into_iter().map(|field| property(field, at)).collect()));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// The name and schema of a field.
fn property(field: &Field, at: &Location) -> (String, Value) {
    let mut schema = of(&field.shape, &at.below(field.name));
    let texts = schema.as_object_mut().expect("every schema is an object");
    texts.insert("title".to_owned(), json!(field.name));
    texts.insert("description".to_owned(), json!(field.doc_with_default()));
    if let DefaultValue::Value(text) = field.default {
        let value = text.parse::<bool>().map_or_else(|_| json!(text), |flag| json!(flag));
        texts.insert("default".to_owned(), value);
    }
    let examples = examples(&field.shape);
    if !examples.is_empty() {
        texts.insert("examples".to_owned(), json!(examples));
    }
    (field.name.to_owned(), schema)
}

/// Example values; for a list, lists of one item.
fn examples(shape: &Shape) -> Vec<Value> {
    match shape {
        Shape::Single(form) | Shape::Short { form, .. } => form.examples().iter().map(|text| json!(text)).collect(),
        Shape::List { item, .. } => examples(item).into_iter().map(|item| json!([item])).collect(),
        Shape::Map { .. } | Shape::Object(_) | Shape::Tagged(_) => Vec::new(),
    }
}

/// Rules for fields that exclude each other and, if needed, for the presence of one of them.
fn choices(choice: &Choice, is_needed: bool) -> Value {
    let mut rules = Vec::new();
    for (at, way) in choice.ways.iter().enumerate() {
        let Some(head) = way.first() else { continue };
        let others = choice.ways.iter().enumerate().filter(|(other, _)| *other != at);
        for field in others.flat_map(|(_, other)| other.iter()).filter(|field| !way.contains(field)) {
            rules.push(json!({ "not": { "type": "object", "required": [head, field] } }));
        }
    }
    if is_needed {
        let heads: Vec<_> = choice.ways.iter().filter_map(|way| way.first()).collect();
        rules.push(json!({ "anyOf": heads.iter().map(|head| json!({ "required": [head] })).collect::<Vec<_>>() }));
    }
    Value::Array(rules)
}

/// The schema of a map whose fields depend on its tag.
fn tagged(tagged: &Tagged, at: &Location) -> Value {
    let is_complete = at.is_complete();
    let variants = tagged.variants.iter().filter(|variant| is_complete || INJECTED_METHODS.contains(&variant.name));
    let variants = variants.map(|variant| {
        let mut schema = object(&variant.object, at);
        let fields = schema.as_object_mut().expect("an object");
        fields.insert("title".to_owned(), json!(variant.name));
        fields.insert("description".to_owned(), json!(variant.doc));
        let tag = json!({ "const": variant.name, "description": tagged.tag.doc, "title": tagged.tag.name });
        let properties = fields.get_mut("properties").and_then(Value::as_object_mut).expect("properties");
        properties.insert(tagged.tag.name.to_owned(), tag);
        if is_complete {
            fields.insert("type".to_owned(), json!("object"));
            let mut required = vec![json!(tagged.tag.name)];
            if let Some(Value::Array(more)) = fields.get("required") {
                required.extend(more.iter().cloned());
            }
            fields.insert("required".to_owned(), Value::Array(required));
        }
        schema
    });
    // Without its tag a map may match several variants.
    json!({ (if is_complete { "oneOf" } else { "anyOf" }): variants.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::super::injector::Injector;
    use super::super::layer::Text;
    use super::super::tree::{self, Style};
    use super::*;

    /// Calls `visit` for every property of a schema, at any depth.
    fn every_property(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
        if let Some(Value::Object(properties)) = value.get("properties") {
            properties.iter().for_each(|(name, property)| visit(name, property));
        }
        match value {
            Value::Object(map) => map.values().for_each(|value| every_property(value, visit)),
            Value::Array(items) => items.iter().for_each(|value| every_property(value, visit)),
            _ => {}
        }
    }

    #[test]
    fn both_schemas_have_a_name_defaults_and_examples() {
        for (text, id) in [(schema(), "config"), (injector_schema(), "injector")] {
            let schema: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(schema["$id"], format!("https://secret-exec.dev/schema/{id}.json"));
            assert!(schema["examples"][0].is_object(), "{id}");
            let (mut defaults, mut examples) = (0, 0);
            every_property(&schema, &mut |_, property| {
                defaults += usize::from(property.get("default").is_some());
                examples += usize::from(property.get("examples").is_some());
            });
            assert!(defaults >= 2 && examples >= 10, "{id}: {defaults} defaults, {examples} examples");
        }
    }

    #[test]
    fn an_example_is_accepted_where_it_stands() {
        let forms = |shape: &Shape| match shape {
            Shape::Single(form) | Shape::Short { form, .. } => Some(*form),
            _ => None,
        };
        let fields: Vec<Form> = ROOT.fields().iter().filter_map(|field| forms(&field.shape)).collect();
        assert!(fields.len() > 10);
        for form in fields {
            for example in form.examples() {
                let text = tree::Text { text: (*example).to_owned(), style: Style::Quoted };
                assert_eq!(form.check(&text), Ok(()), "{form:?}: {example}");
            }
        }
    }

    #[test]
    fn the_injectors_example_is_read_and_may_name_its_schema() {
        let mut example = injector_example();
        example["$schema"] = json!("./injector.schema.json");
        let text = example.to_string();
        let injector = Injector::parse(Text { name: "injector.yaml", text: &text }).unwrap();
        assert_eq!(injector.operator_value("aws.region"), Some("eu-west-1"));
    }
}
