//! Translates volumes of the Secrets Store CSI driver, and the `SecretProviderClass`es that define their contents
//! (<https://secrets-store-csi-driver.sigs.k8s.io/>).

use std::collections::{BTreeMap, BTreeSet};

use crate::config::annotations::is_name;
use crate::domain::{SecretRef, Source, encoded_path};

use super::super::doc::Doc;
use super::super::{read, write};
use super::annotations::Annotations;
use super::jmes::{self, Content};
use super::volumes::{containers, items, without};

const DRIVER: &str = "secrets-store.csi.k8s.io";

/// The `SecretProviderClass`es of all documents.
pub(super) struct Classes(Vec<Class>);

/// A `SecretProviderClass`.
struct Class {
    namespace: Option<String>,
    name: String,
    spec: Doc,
}

/// A file of a volume, with the values of the config's fields.
struct File {
    name: String,
    content: Content,
    mode: Option<String>,
    decode: Option<&'static str>,
}

impl Classes {
    /// Finds the classes in these documents, including those in lists.
    pub(super) fn find<'a>(documents: impl Iterator<Item = &'a Doc>) -> Self {
        fn add(doc: &Doc, found: &mut Vec<Class>) {
            if let Some(Doc::List(items)) = doc.get("items") {
                items.iter().for_each(|item| add(item, found));
            }
            let metadata = doc.get("metadata");
            let of = |key| metadata.and_then(|metadata| metadata.text(key)).map(str::to_owned);
            if let (Some("SecretProviderClass"), Some(name), Some(spec)) =
                (doc.text("kind"), of("name"), doc.get("spec"))
            {
                found.push(Class { namespace: of("namespace"), name, spec: spec.clone() });
            }
        }
        let mut found = Vec::new();
        documents.for_each(|doc| add(doc, &mut found));
        Self(found)
    }

    /// The class with that name in the same namespace; if the pod or the class names no namespace, the only class
    /// with that name. Manifests often leave the namespace to kubectl.
    fn find_named(&self, name: &str, namespace: Option<&str>) -> Result<&Class, String> {
        let named: Vec<&Class> = self.0.iter().filter(|known| known.name == name).collect();
        let exact = named.iter().filter(|known| known.namespace.as_deref() == namespace).copied().collect::<Vec<_>>();
        let maybe = named.iter().filter(|known| known.namespace.is_none() || namespace.is_none()).copied();
        match (exact.as_slice(), maybe.collect::<Vec<_>>().as_slice()) {
            ([class], _) if namespace.is_some() => Ok(class),
            ([], [class]) | ([_], [class]) => Ok(class),
            ([], []) => {
                Err(format!("the SecretProviderClass {name} is not in these files; give its manifest too (-f)"))
            }
            (several @ [_, _, ..], _) | (_, several) => {
                let of = |class: &&Class| class.namespace.clone().unwrap_or_else(|| "none".to_owned());
                let namespaces = several.iter().map(of).collect::<Vec<_>>().join(", ");
                Err(format!(
                    "there are several SecretProviderClasses {name} in these files (namespaces: {namespaces}); write the \
                     namespace into the pod's manifest"
                ))
            }
        }
    }

    /// The annotations that replace a pod's volume of the driver, and the pod without that volume; `None` if it has
    /// none.
    pub(super) fn read(&self, pod: &Doc, namespace: Option<&str>) -> Result<Option<(Annotations, Doc)>, Vec<String>> {
        let volumes: Vec<&Doc> = items(pod.get("spec").and_then(|spec| spec.get("volumes")))
            .iter()
            .filter(|volume| volume.get("csi").and_then(|csi| csi.text("driver")) == Some(DRIVER))
            .collect();
        let volume = match volumes.as_slice() {
            [] => return Ok(None),
            [volume] => *volume,
            _ => {
                return Err(vec![
                    "several volumes of the Secrets Store CSI driver: ours puts all files of a pod into one directory"
                        .to_owned(),
                ]);
            }
        };
        let name = volume.text("name").unwrap_or_default();
        let class = volume
            .get("csi")
            .and_then(|csi| csi.get("volumeAttributes"))
            .and_then(|all| all.text("secretProviderClass"));
        let class = class.unwrap_or_default();
        let namespace = pod.get("metadata").and_then(|metadata| metadata.text("namespace")).or(namespace);
        let class = self.find_named(class, namespace).map_err(|why| vec![format!("volume {name}: {why}")])?;
        let mut reader =
            Reader { volume: name, class, files: Vec::new(), made: Annotations::default(), obstacles: Vec::new() };
        reader.class();
        reader.mounts(pod);
        reader.write();
        if reader.obstacles.is_empty() {
            let (name, made) = (name.to_owned(), reader.made);
            Ok(Some((made, without(pod, &name))))
        } else {
            Err(reader.obstacles)
        }
    }
}

/// The state while a volume is translated.
struct Reader<'a> {
    volume: &'a str,
    class: &'a Class,
    files: Vec<File>,
    made: Annotations,
    obstacles: Vec<String>,
}

impl Reader<'_> {
    /// Adds a reason why the volume cannot be translated.
    fn obstacle(&mut self, text: impl std::fmt::Display) {
        self.obstacles.push(format!("SecretProviderClass {}: {text}", self.class.name));
    }

    /// Adds an annotation; `key` is without the prefix.
    fn add(&mut self, key: &str, value: impl Into<String>) {
        self.made.annotations.push((key.to_owned(), value.into()));
    }

    /// A parameter of the class that is not empty.
    fn parameter(&self, name: &str) -> Option<String> {
        let found = self.class.spec.get("parameters")?.text(name)?;
        (!found.is_empty()).then(|| found.to_owned())
    }

    /// Translates the class: its provider's parameters and every object.
    fn class(&mut self) {
        if !items(self.class.spec.get("secretObjects")).is_empty() {
            self.obstacle(
                "secretObjects copies secrets into Kubernetes Secrets, which nothing here does; an app gets variables by \
                 secret-exec.dev/env.NAME with secret-exec.dev/mode: exec",
            );
        }
        let provider = self.class.spec.text("provider").unwrap_or_default().to_owned();
        if !["vault", "openbao", "aws"].contains(&provider.as_str()) {
            return self.obstacle(format!("the provider {provider:?} is not supported; vault and aws are"));
        }
        let objects = self.parameter("objects").unwrap_or_default();
        let objects = match read::read(&objects) {
            Ok(Some((Doc::List(objects), _))) if !objects.is_empty() => objects,
            _ => return self.obstacle("parameters.objects is no list in YAML"),
        };
        if provider == "aws" {
            self.aws();
            objects.iter().for_each(|object| self.aws_object(object));
        } else {
            self.vault();
            objects.iter().for_each(|object| self.vault_object(object));
        }
    }

    /// Translates role, namespace, address and mount of Vault.
    fn vault(&mut self) {
        for (name, key) in
            [("roleName", "vault-role"), ("vaultNamespace", "vault-namespace"), ("vaultAddress", "vault-address")]
        {
            if let Some(value) = self.parameter(name) {
                self.add(key, value);
            }
        }
        let mount = self.parameter("vaultKubernetesMountPath").or_else(|| self.parameter("vaultAuthMountPath"));
        if let Some(mount) = mount {
            let mount = mount.trim_matches('/');
            self.add("vault-auth-mount", mount.strip_prefix("auth/").unwrap_or(mount));
        }
        for name in ["vaultCACertPath", "vaultCADirectory", "vaultTLSServerName", "vaultSkipTLSVerify", "audience"] {
            if self.parameter(name).is_some_and(|value| value != "false") {
                let text = format!(
                    "SecretProviderClass {}: {name} is left out; the operator's vault.* in the injector's config says it for all pods",
                    self.class.name
                );
                self.made.warnings.push(text);
            }
        }
        for name in ["vaultTLSClientCertPath", "vaultTLSClientKeyPath"] {
            if self.parameter(name).is_some() {
                self.obstacle(format!("{name}: an injected container has no such file"));
            }
        }
    }

    /// Translates an object of the Vault provider to a file.
    fn vault_object(&mut self, object: &Doc) {
        let text = |key: &str| object.text(key).filter(|text| !text.is_empty());
        let (Some(name), Some(path)) = (text("objectName"), text("secretPath")) else {
            return self.obstacle("an object has no objectName or no secretPath");
        };
        let Some(key) = text("secretKey") else {
            return self.obstacle(format!(
                "{name}: without secretKey the file is the whole answer of the API; name a key, or write the secret with \
                 secret-exec.dev/format.{name}: json"
            ));
        };
        let path = path.trim_matches('/');
        let path = path.strip_prefix("v1/").unwrap_or(path);
        let mut parameters: Vec<String> = Vec::new();
        if let Some(Doc::Map(arguments)) = object.get("secretArgs") {
            for (name, value) in arguments {
                let value = match value {
                    Doc::Text(text) => text.clone(),
                    Doc::Number(number) => number.to_string(),
                    Doc::Bool(value) => value.to_string(),
                    _ => return self.obstacle(format!("secretArgs.{name} is no single value")),
                };
                parameters.push(format!("{}={}", encoded(name), encoded(&value)));
            }
        }
        let is_write = matches!(text("method"), Some("PUT" | "POST" | "put" | "post"));
        let is_version = matches!(parameters.as_slice(), [only] if only.starts_with("version="));
        if !parameters.is_empty() && !is_write && !is_version {
            return self.obstacle(format!("{name}: a GET with parameters is not supported; only version is"));
        }
        let query =
            if parameters.is_empty() && !is_write { String::new() } else { format!("?{}", parameters.join("&")) };
        let decode = match text("encoding") {
            None | Some("utf-8") => None,
            Some("base64") => Some("base64"),
            Some(other) => return self.obstacle(format!("{name}: the encoding {other} is not supported; base64 is")),
        };
        let from = format!("vault:{}{query}#{key}", encoded_path(path));
        let is_meant = |found: &SecretRef| {
            found.key.as_deref() == Some(key) && matches!(&found.source, Source::Vault(source) if source.path == path)
        };
        if !SecretRef::parse(&from, &BTreeMap::new()).is_ok_and(|found| is_meant(&found)) {
            return self.obstacle(format!("{name}: no reference has the path {path} and the key {key}"));
        }
        let file = File { name: name.to_owned(), content: Content::From(from), mode: self.mode(name, object), decode };
        self.files.push(file);
    }

    /// `filePermission` as a mode without permissions for others, and without write or execute permission; `None`
    /// is the default, 0440.
    fn mode(&mut self, name: &str, object: &Doc) -> Option<String> {
        let bits = match object.get("filePermission")? {
            Doc::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            Doc::Text(text) => u32::from_str_radix(text, 8).ok(),
            _ => None,
        };
        let Some(bits) = bits.filter(|bits| *bits <= 0o777) else {
            self.obstacle(format!("{name}: filePermission is no mode of a file"));
            return None;
        };
        let group = if bits & 0o044 == 0 { 0 } else { 0o040 };
        let mode = 0o400 | group;
        if bits != mode {
            self.made.warnings.push(format!(
                "SecretProviderClass {}: {name}: filePermission {bits:04o} becomes {mode:04o}: only the app's user and group read it",
                self.class.name
            ));
        }
        (mode != 0o440).then(|| format!("{mode:04o}"))
    }

    /// Translates the region of AWS.
    fn aws(&mut self) {
        if let Some(region) = self.parameter("region") {
            self.add("aws-region", region);
        }
        if self.parameter("failoverRegion").is_some() {
            self.obstacle("failoverRegion is not supported: while a region is away the last files stay");
        }
    }

    /// Translates an object of the AWS provider to a file, and each `jmesPath` to a further one.
    fn aws_object(&mut self, object: &Doc) {
        let text = |key: &str| object.text(key).filter(|text| !text.is_empty());
        let Some(name) = text("objectName") else { return self.obstacle("an object has no objectName") };
        let is_arn = name.starts_with("arn:");
        let is_parameter = text("objectType").map_or(name.contains(":ssm:"), |kind| kind != "secretsmanager");
        if is_parameter {
            return self.obstacle(format!("{name}: parameters of SSM are not supported; Secrets Manager is"));
        }
        if object.get("failoverObject").is_some() || object.get("objectTemplate").is_some() {
            return self.obstacle(format!("{name}: failoverObject and objectTemplate are not supported"));
        }
        let version = [("version", text("objectVersion")), ("stage", text("objectVersionLabel"))];
        let query: Vec<String> = version
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}={}", encoded(value))))
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let source = format!("aws-sm:{name}{query}");
        if name.contains(['#', '?', '%']) || SecretRef::parse(&source, &BTreeMap::new()).is_err() {
            return self.obstacle(format!("{name}: no reference has that name"));
        }
        let plain = if is_arn { name.rsplit(':').next().unwrap_or(name) } else { name };
        let own_name = text("objectAlias").unwrap_or(if is_arn { name } else { plain });
        let Some(own_name) = self.file_name(own_name) else { return };
        let (mode, decode) = (self.mode(name, object), None);
        self.files.push(File { name: own_name, content: Content::From(source.clone()), mode: mode.clone(), decode });
        for field in items(object.get("jmesPath")) {
            let (Some(path), Some(alias)) = (field.text("path"), field.text("objectAlias")) else {
                return self.obstacle(format!("{name}: a jmesPath without path or objectAlias"));
            };
            let Some(content) = jmes::content(&source, path) else {
                self.obstacle(format!("{name}: the jmesPath {path} is more than fields and places; write {alias} with secret-exec.dev/template.NAME"));
                continue;
            };
            let Some(alias) = self.file_name(alias) else { return };
            let own_mode = field.get("filePermission").is_some();
            let mode = if own_mode { self.mode(&alias, field) } else { mode.clone() };
            self.files.push(File { name: alias, content, mode, decode });
        }
    }

    /// The name of the file of an object or alias, by `pathTranslation`.
    fn file_name(&mut self, name: &str) -> Option<String> {
        let translation = self.parameter("pathTranslation").filter(|text| !text.is_empty());
        match translation.as_deref() {
            Some(text) if text.eq_ignore_ascii_case("false") => Some(name.trim_start_matches('/').to_owned()),
            Some(text) if text.len() > 1 => {
                self.obstacle("pathTranslation is neither False nor a single character");
                None
            }
            other => Some(name.replace('/', other.unwrap_or("_"))),
        }
    }

    /// Finds the containers that mount the volume, and the path, and adds annotations for them.
    fn mounts(&mut self, pod: &Doc) {
        let mut paths = BTreeSet::new();
        let mut names = Vec::new();
        for container in containers(pod) {
            for mount in items(container.get("volumeMounts")).iter().filter(|m| m.text("name") == Some(self.volume)) {
                if mount.get("subPath").is_some() || mount.get("subPathExpr").is_some() {
                    self.obstacle("a mount with subPath, which is never updated; mount the directory");
                }
                paths.insert(mount.text("mountPath").unwrap_or_default().trim_end_matches('/').to_owned());
                names.push(container.text("name").unwrap_or_default());
            }
        }
        names.dedup();
        match paths.into_iter().collect::<Vec<_>>().as_slice() {
            [] => self.obstacle(format!("no container mounts the volume {}", self.volume)),
            [path] => self.add("volume", path.clone()),
            several => self.obstacle(format!("mounted at several paths ({}): ours stands at one", several.join(", "))),
        }
        let is_only = items(pod.get("spec").and_then(|spec| spec.get("containers"))).len() == 1 && names.len() == 1;
        let is_init = containers(pod).count() > 1;
        if !is_only || is_init {
            self.add("containers", names.join(","));
        }
    }

    /// Writes the files as annotations; those with a mode, a decoding or a name that no annotation can have go to
    /// `config`.
    fn write(&mut self) {
        let mut below = Vec::new();
        for file in std::mem::take(&mut self.files) {
            let File { name, content, mode, decode } = file;
            let (kind, field, text) = match content {
                Content::From(text) => ("file", "from", text),
                Content::Template(text) => ("template", "template", text),
            };
            if mode.is_none() && decode.is_none() && is_name(&name) {
                self.add(&format!("{kind}.{name}"), text);
                continue;
            }
            let mode = mode.map(|mode| ("mode", mode));
            let decode = decode.map(|decode| ("decode", decode.to_owned()));
            let fields = [(field, text)].into_iter().chain(mode).chain(decode);
            let fields = fields.map(|(key, text)| (key.to_owned(), Doc::Text(text)));
            below.push((name, Doc::Map(fields.collect())));
        }
        if !below.is_empty() {
            let config = Doc::Map(vec![("files".to_owned(), Doc::Map(below))]);
            self.add("config", write::yaml(&config));
        }
    }
}

/// A parameter of a reference, percent-encoded.
fn encoded(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'/')
        .remove(b':');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string()
}
