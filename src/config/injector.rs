//! The injector's own config file: the injected image, and the operator's part of every pod's configuration.
//!
//! It uses the same checks and places as the pod's configuration. Its sections `vault` and `aws` have the same keys and
//! become `--set` flags, which no annotation can override.

use std::collections::BTreeMap;

use super::annotations::from_pairs;
use super::arguments;
use super::check::{self, Author};
use super::dialect::{Dialect, Setting};
use super::flags::Flag;
use super::form::{Form, alternatives};
use super::keys::{AWS, VAULT};
use super::layer::Text;
use super::net;
use super::place::{ConfigError, Place};
use super::shape::{Field, Object, Shape, SingleItem};
use super::tree::{ConfigErrors, Kind, Node, join};
use super::value;
use super::yaml::{self, Origin};

/// Auth methods that need nothing from a pod but its service account.
pub(super) const INJECTED_METHODS: [&str; 3] = ["kubernetes", "jwt", "aws"];

/// The sections that the operator can set for every pod.
const BACKENDS: [&str; 2] = ["vault", "aws"];

/// Every key of the injector's config.
pub(super) static INJECTOR: Shape = Shape::Object(&Object {
    fields: &[
        Field::single("image", Form::Plain, "The image that is injected; its entry point is /secret-exec.").required(),
        Field::new(
            "imageMirrors",
            Shape::List { item: &IMAGE, single_item: SingleItem::Refused },
            "Other names of that image, which a webhook of the cluster writes instead of it.",
        ),
        Field::new(
            "vault",
            Shape::Object(&VAULT),
            "The operator's part of vault, for every pod; no annotation moves it.",
        ),
        Field::new("aws", Shape::Object(&AWS), "The operator's part of aws."),
        Field::new("resources", Shape::Object(&RESOURCES), "Of the injected container."),
        Field::single("readerGroup", Form::Gid, "The gid that may read the files.").default("64123"),
        Field::new(
            "allowAddresses",
            Shape::List { item: &ADDRESS, single_item: SingleItem::Refused },
            "Addresses of Vault that a pod's annotation may name instead.",
        ),
        Field::single(
            "nativeSidecar",
            Form::Bool,
            "false for clusters before 1.29: an init container and a container.",
        )
        .default("true"),
        Field::new(
            "dialects",
            Shape::List { item: &DIALECT, single_item: SingleItem::Refused },
            "Other injectors whose annotations count too: vault, openbao, bank-vaults. None by default.",
        ),
    ],
    choice: None,
});

static IMAGE: Shape = Shape::Single(Form::Plain);

static ADDRESS: Shape = Shape::Single(Form::Address);

static DIALECT: Shape = Shape::Single(Form::Words(&["vault", "openbao", "bank-vaults"]));

static OWN_RESOURCES: Shape = Shape::Object(&RESOURCES);

static RESOURCES: Object = Object {
    fields: &[
        Field::new("requests", Shape::Object(&AMOUNTS), "What is reserved."),
        Field::new("limits", Shape::Object(&AMOUNTS), "What is the most."),
    ],
    choice: None,
};

static AMOUNTS: Object = Object {
    fields: &[
        Field::single("cpu", Form::Amount, "Such as 5m."),
        Field::single("memory", Form::Amount, "Such as 32Mi; tmpfs is charged to the writer."),
        Field::single("ephemeral-storage", Form::Amount, "Such as 32Mi."),
    ],
    choice: None,
};

/// The default of `readerGroup`.
const READER_GROUP: u32 = 64123;

/// The injector's configuration, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injector {
    /// The injected image.
    pub image: String,
    /// Other names of the image, which image-rewriting webhooks may put in its place.
    pub image_mirrors: Vec<String>,
    /// The resources of the injected container, unless the pod sets others.
    pub resources: Resources,
    /// The gid that may read the files.
    pub reader_group: u32,
    /// The addresses of Vault that a pod's annotation may set.
    pub addresses: Addresses,
    /// The kind of sidecar.
    pub sidecar: Sidecar,
    /// The dialects that are enabled.
    pub dialects: Vec<Dialect>,
    /// The operator's settings: keys of the config with their values, sorted.
    operator: BTreeMap<String, String>,
}

/// The addresses of Vault that a pod's annotation may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// Those listed, and the operator's own.
    Listed(Vec<String>),
    /// Any, because there is no operator's config.
    Any,
}

/// The kind of sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sidecar {
    /// A native sidecar: an init container with `restartPolicy: Always` (Kubernetes 1.29).
    Native,
    /// An init container, and a regular container that takes over from it.
    Container,
}

/// Requests and limits, as Kubernetes quantities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// The requests.
    pub requests: BTreeMap<String, String>,
    /// The limits.
    pub limits: BTreeMap<String, String>,
}

impl Resources {
    /// The default resources, for 8 MiB of secrets.
    fn small() -> Self {
        let amounts = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { requests: amounts(&[("cpu", "5m"), ("memory", "24Mi")]), limits: amounts(&[("memory", "32Mi")]) }
    }

    /// Parses the text of an annotation.
    pub fn parse(text: &str, place: &Place) -> Result<Self, Vec<ConfigError>> {
        let mut mistakes = ConfigErrors::default();
        let node = yaml::parse(text, &Origin::Value(place), &mut mistakes);
        let node = node.map(|node| check::layer(node, &OWN_RESOURCES, Author::Operator, &mut mistakes));
        let mistakes = mistakes.sorted();
        match node {
            Some(node) if mistakes.is_empty() => Ok(Self::read(&node)),
            _ => Err(mistakes),
        }
    }

    /// Reads the section `resources`, which was validated before.
    fn read(node: &Node) -> Self {
        let amounts = |key: &str| {
            let entries = node.field(key).map_or(&[][..], Node::entries);
            let pair = |entry: &super::tree::Entry| Some((entry.key.clone(), entry.value.text()?.to_owned()));
            entries.iter().filter_map(pair).collect()
        };
        Self { requests: amounts("requests"), limits: amounts("limits") }
    }
}

impl Injector {
    /// The settings without a config file: the locally built image, and all settings of Vault left to the pod.
    pub fn unconfigured() -> Self {
        Self {
            image: concat!("secret-exec:", env!("CARGO_PKG_VERSION")).to_owned(),
            image_mirrors: Vec::new(),
            resources: Resources::small(),
            reader_group: READER_GROUP,
            addresses: Addresses::Any,
            sidecar: Sidecar::Native,
            dialects: Vec::new(),
            operator: BTreeMap::new(),
        }
    }

    /// The settings for checks without the operator's config: a placeholder server, and any address that a pod sets.
    pub fn placeholder() -> Self {
        let operator = [("vault.address", "https://vault.invalid:8200"), ("aws.region", "us-east-1")];
        let operator = operator.map(|(key, text)| (key.to_owned(), text.to_owned()));
        Self { operator: BTreeMap::from(operator), ..Self::unconfigured() }
    }

    /// Parses the injector's config file. Returns all mistakes at once.
    pub fn parse(file: Text<'_>) -> Result<Self, Vec<ConfigError>> {
        let mut mistakes = ConfigErrors::default();
        let Some(mut node) = yaml::parse(file.text, &Origin::File(file.name), &mut mistakes) else {
            return Err(mistakes.sorted());
        };
        node.drop_schema_key();
        let node = check::layer(node, &INJECTOR, Author::Operator, &mut mistakes);
        let injector = Self::read(&node, file.name, &mut mistakes);
        let mistakes = mistakes.sorted();
        if mistakes.is_empty() { Ok(injector) } else { Err(mistakes) }
    }

    /// Reads a config that was validated before; adds the mistakes that concern several keys.
    fn read(node: &Node, file: &str, mistakes: &mut ConfigErrors) -> Self {
        let mut injector = Self { addresses: Addresses::Listed(Vec::new()), ..Self::unconfigured() };
        match node.field("image") {
            Some(image) => injector.image = image.text().unwrap_or_default().to_owned(),
            None => {
                let place = Place::Line { file: file.to_owned(), line: 1 };
                mistakes.add(&place, "image is missing; expected the image that is injected");
            }
        }
        let mirrors = node.field("imageMirrors").map_or(&[][..], Node::items).iter().filter_map(Node::text);
        injector.image_mirrors = mirrors.map(str::to_owned).collect();
        if let Some(resources) = node.field("resources") {
            injector.resources = Resources::read(resources);
        }
        if let Some(Ok(gid)) = node.field("readerGroup").and_then(Node::text).map(value::gid) {
            injector.reader_group = gid;
        }
        let listed = node.field("allowAddresses").map_or(&[][..], Node::items).iter().filter_map(Node::text);
        injector.addresses = Addresses::Listed(listed.filter_map(|text| net::address(text).ok()).collect());
        if node.field("nativeSidecar").and_then(Node::text).and_then(|text| value::boolean(text).ok()) == Some(false) {
            injector.sidecar = Sidecar::Container;
        }
        let named = node.field("dialects").map_or(&[][..], Node::items).iter().filter_map(Node::text);
        injector.dialects = named.filter_map(Dialect::parse).collect();
        for section in BACKENDS {
            if let Some(node) = node.field(section) {
                leaves(node, section, &mut |path, node| {
                    if let Some(instead) = in_a_container(path) {
                        mistakes.add(&node.place, format!("{path}: {instead}"));
                    }
                    let text = node.text().unwrap_or_default();
                    if path == "vault.auth.method" && !INJECTED_METHODS.contains(&text) {
                        let methods = alternatives(&INJECTED_METHODS);
                        mistakes.add(&node.place, format!("{path}: injected pods log in with {methods}"));
                    }
                    injector.operator.insert(path.to_owned(), normal(path, text));
                });
            }
        }
        injector
    }

    /// The operator's value of a key.
    pub fn operator_value(&self, key: &str) -> Option<&str> {
        self.operator.get(key).map(String::as_str)
    }

    /// The operator's settings for a pod as `--set` flags, sorted by key, with the injector's own (`also`).
    ///
    /// It is a mistake if an annotation sets one of them differently, or an address that is not allowed.
    pub fn pinned(&self, requested: &RequestedConfig, also: &[(&str, String)]) -> Result<Vec<Flag>, Vec<ConfigError>> {
        let mut mistakes = ConfigErrors::default();
        let tree = &requested.0;
        let mut pinned = self.operator.clone();
        if let Some(node) = tree.at("vault.address")
            && let Some(text) = node.text()
        {
            let address = normal("vault.address", text);
            match self.may_name(&address) {
                true => drop(pinned.insert("vault.address".to_owned(), address)),
                false => mistakes.add(&node.place, self.not_allowed()),
            }
        }
        // Where no operator is known, a region stands in for the operator's; one that the pod names may be it.
        if let (Addresses::Any, Some(region)) = (&self.addresses, tree.at("aws.region").and_then(Node::text)) {
            pinned.insert("aws.region".to_owned(), normal("aws.region", region));
        }
        pinned.extend(also.iter().map(|(key, text)| ((*key).to_owned(), text.clone())));
        for (key, text) in &pinned {
            match tree.at(key) {
                Some(node) if node.text().is_none_or(|requested| normal(key, requested) != *text) => {
                    let text = format!("{key} is the operator's to set; leave it out");
                    if key != "vault.address" {
                        mistakes.add(&node.place, text);
                    }
                }
                _ => {}
            }
        }
        let both = pinned.contains_key("vault.ca").then(|| tree.at("vault.caFile")).flatten();
        if let Some(node) = both {
            mistakes.add(&node.place, "vault.ca is the operator's to set; leave it out");
        }
        let mistakes = mistakes.sorted();
        let flag = |(key, text): (String, String)| Flag::new("--set", format!("{key}={text}"));
        if mistakes.is_empty() { Ok(pinned.into_iter().map(flag).collect()) } else { Err(mistakes) }
    }

    /// Whether a pod may set this address of Vault.
    pub fn may_name(&self, address: &str) -> bool {
        self.operator_value("vault.address") == Some(address)
            || match &self.addresses {
                Addresses::Any => true,
                Addresses::Listed(listed) => listed.iter().any(|known| known == address),
            }
    }

    /// The message about an address that the operator does not allow.
    fn not_allowed(&self) -> String {
        let listed = match &self.addresses {
            Addresses::Listed(listed) => listed.as_slice(),
            Addresses::Any => &[],
        };
        let mut known: Vec<&str> = self.operator_value("vault.address").into_iter().collect();
        known.extend(listed.iter().map(String::as_str));
        match known.as_slice() {
            [] => "the operator allows no address of Vault (allowAddresses of the injector's config)".to_owned(),
            known => format!("the operator does not allow this address; allowed: {}", known.join(", ")),
        }
    }
}

/// The settings of a pod's annotations, as far as they can be parsed; mistakes are reported when all layers are
/// resolved.
#[derive(Debug)]
pub struct RequestedConfig(Node);

impl RequestedConfig {
    /// Parses annotations, over the settings of another injector's annotations.
    pub fn read(annotations: &[(String, String)], settings: &[Setting]) -> Self {
        let pairs = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Self(from_pairs(pairs, settings, &mut ConfigErrors::default()).0)
    }

    /// The value of a single-valued key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.at(key)?.text()
    }

    /// The settings of backends and login: keys of the config with their values, sorted.
    pub fn login(&self) -> BTreeMap<String, String> {
        let mut said = BTreeMap::new();
        for section in BACKENDS {
            if let Some(node) = self.0.field(section) {
                leaves(node, section, &mut |path, node| {
                    said.insert(path.to_owned(), normal(path, node.text().unwrap_or_default()));
                });
            }
        }
        said
    }

    /// Flags for all settings, in order, except the dotted keys (and whole sections) in `skip`. As flags they result in
    /// the same configuration.
    pub fn flags(&self, skip: &[&str]) -> Vec<Flag> {
        arguments::flags(&self.0, skip)
    }

    /// Whether anything is set at or below a key of the config.
    pub fn mentions(&self, key: &str) -> bool {
        self.0.at(key).is_some()
    }
}

/// Calls `found` for every single value below a section, with its dotted key.
fn leaves(node: &Node, path: &str, found: &mut impl FnMut(&str, &Node)) {
    match &node.kind {
        Kind::Map(entries) => entries.iter().for_each(|entry| leaves(&entry.value, &join(path, &entry.key), found)),
        Kind::Text(text) if !text.is_null() => found(path, node),
        Kind::Text(_) | Kind::List(_) | Kind::Bad => {}
    }
}

/// Normalises a value, so that two spellings of one address are equal.
fn normal(key: &str, text: &str) -> String {
    match key {
        "vault.address" => net::address(text).unwrap_or_else(|_| text.to_owned()),
        _ => text.to_owned(),
    }
}

/// Why a file's path cannot be set for every pod: only required files are mounted into the injected container.
pub(super) fn in_a_container(key: &str) -> Option<&'static str> {
    match key {
        "vault.caFile" | "vault.caPath" => {
            Some("is a path in the pod, where it does not exist; put the PEM text into vault.ca")
        }
        "vault.clientCertFile" | "vault.clientKeyFile" => {
            Some("is a path in the pod, where it does not exist; leave it out")
        }
        "vault.auth.tokenFile" => Some("is the injector's: it projects the token itself; leave it out"),
        "vault.auth.path"
        | "vault.auth.certFile"
        | "vault.auth.keyFile"
        | "vault.auth.roleIdFile"
        | "vault.auth.secretIdFile" => {
            Some("is a path in the pod, where it does not exist; injected pods log in with kubernetes, jwt or aws")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
image: registry.example.com/secret-exec:1.0
vault:
  address: https://vault.example.com:8200/
  auth: { method: kubernetes, mount: k8s }
aws: { region: eu-west-1, assumeRole: arn:aws:iam::123456789012:role/reader }
allowAddresses: [\"https://other.example.com\"]
";

    fn read(text: &str) -> Result<Injector, Vec<String>> {
        Injector::parse(Text { name: "i.yaml", text })
            .map_err(|mistakes| mistakes.iter().map(|m| format!("{}: {}", m.place, m.text)).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| (format!("secret-exec.dev/{key}"), (*value).to_owned())).collect()
    }

    fn pinned(annotations: &[(&str, &str)]) -> Result<Vec<String>, Vec<String>> {
        let flags = read(CONFIG)
            .unwrap()
            .pinned(&RequestedConfig::read(&pairs(annotations), &[]), &[("volume.owner", ":7".to_owned())]);
        flags
            .map(|flags| flags.into_iter().map(|flag| flag.value).collect())
            .map_err(|mistakes| mistakes.iter().map(|m| format!("{}: {}", m.place, m.text)).collect())
    }

    #[test]
    fn the_operators_part_becomes_flags_in_the_order_of_their_keys() {
        let expected = [
            "aws.assumeRole.arn=arn:aws:iam::123456789012:role/reader",
            "aws.region=eu-west-1",
            "vault.address=https://vault.example.com:8200",
            "vault.auth.method=kubernetes",
            "vault.auth.mount=k8s",
            "volume.owner=:7",
        ];
        assert_eq!(pinned(&[("vault-role", "web")]).unwrap(), expected);
    }

    #[test]
    fn a_pod_names_only_an_address_that_is_allowed() {
        let allowed = pinned(&[("vault-address", "https://other.example.com/")]).unwrap();
        assert!(allowed.contains(&"vault.address=https://other.example.com".to_owned()), "{allowed:?}");
        let same = pinned(&[("vault-address", "https://vault.example.com:8200")]).unwrap();
        assert!(same.contains(&"vault.address=https://vault.example.com:8200".to_owned()), "{same:?}");
        let refused = pinned(&[("vault-address", "https://evil.example.com")]).unwrap_err();
        assert_eq!(
            refused,
            ["annotation secret-exec.dev/vault-address: the operator does not allow this address; allowed: \
              https://vault.example.com:8200, https://other.example.com"]
        );
        let hidden = pinned(&[("config", "vault: { address: https://evil.example.com }")]).unwrap_err();
        assert!(hidden[0].contains("does not allow this address"), "{hidden:?}");
    }

    #[test]
    fn an_annotation_does_not_move_the_login() {
        for (key, value) in [
            ("vault-auth-mount", "other"),
            ("vault-auth-method", "jwt"),
            ("aws-region", "us-east-1"),
            ("config", "vault: { auth: { mount: other } }"),
            ("volume-owner", ":8"),
        ] {
            let refused = pinned(&[(key, value)]).unwrap_err();
            assert!(refused[0].contains("is the operator's to set"), "{refused:?}");
        }
    }

    #[test]
    fn mistakes_have_their_line() {
        let mistakes =
            read("image: x\nvalt: {}\nvault:\n  caFile: /x\nreaderGroup: 0\nallowAddresses: [x]\n").unwrap_err();
        assert_eq!(mistakes.len(), 4, "{mistakes:#?}");
        assert!(mistakes[0].starts_with("i.yaml:2: unknown key \"valt\"; did you mean \"vault\"?"), "{mistakes:?}");
        assert!(read("vault: {}").unwrap_err()[0].contains("image is missing"));
        assert!(read("a: [").unwrap_err()[0].contains("broken YAML"));
    }

    #[test]
    fn what_no_injected_pod_has_is_refused_before_any_pod_is() {
        for (vault, expected) in [
            ("caPath: /x", "vault.caPath: is a path in the pod"),
            ("clientCertFile: /x", "vault.clientCertFile: is a path in the pod"),
            ("auth: { method: approle }", "vault.auth.method: injected pods log in with kubernetes, jwt or aws"),
            ("auth: { method: cert }", "vault.auth.method: injected pods log in with"),
        ] {
            let refused = read(&format!("image: x\nvault: {{ {vault} }}\n")).unwrap_err();
            assert!(refused.len() == 1 && refused[0].starts_with(&format!("i.yaml:2: {expected}")), "{refused:?}");
        }
    }

    #[test]
    fn resources_are_read_from_an_annotation() {
        let place = Place::Annotation("secret-exec.dev/resources".to_owned());
        let found = Resources::parse(r#"{"limits":{"memory":"64Mi","cpu":1}}"#, &place).unwrap();
        assert_eq!(found.limits.len(), 2);
        assert!(Resources::parse(r#"{"limits":{"gpu":1}}"#, &place).unwrap_err()[0].text.contains("unknown key"));
    }
}
