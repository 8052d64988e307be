//! Translates the annotations that create files: content, name, directory and mode of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::nearest;

use super::super::super::mount_path;
use super::super::super::names::VOLUME_PATH;
use super::super::table::find;
use super::super::words;
use super::Reader;
use super::command::{COMMAND, chmod};
use super::keys::KEYS;

const SECRET: &str = "agent-inject-secret-";
const TEMPLATE: &str = "agent-inject-template-";
const TEMPLATE_FILE: &str = "agent-inject-template-file-";
const VOLUME: &str = "secret-volume-path";
/// The default directory of the files.
const DEFAULT_DIRECTORY: &str = "/vault/secrets";

/// A file to write.
struct File<'a> {
    /// The annotation that sets its content.
    annotation: String,
    /// NAME, the last part of its annotations' keys.
    raw: &'a str,
    /// Its directory.
    directory: String,
    /// Its name in the directory.
    name: String,
    content: Content,
}

/// The content of a file.
enum Content {
    Template(String),
    /// The login's token.
    Token,
}

impl<'a> Reader<'a> {
    /// Translates every file to settings. Refuses two files with the same path. Returns the annotations of commands
    /// that are translated with their file.
    pub(super) fn files(&mut self) -> BTreeSet<String> {
        let mut files: Vec<File<'a>> = Vec::new();
        for raw in self.names() {
            files.extend(self.file(raw));
        }
        if self.is_set("agent-inject-token", false) {
            let (annotation, content) = ("agent-inject-token".to_owned(), Content::Token);
            let directory = self.directory("");
            files.extend(directory.map(|directory| File {
                annotation,
                raw: "",
                directory,
                name: "token".to_owned(),
                content,
            }));
        }
        if files.is_empty() {
            self.explain_no_file();
        }
        let mut directories: Vec<String> = Vec::new();
        for file in &files {
            if !directories.contains(&file.directory) {
                directories.push(file.directory.clone());
            }
        }
        let mut seen: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut done = BTreeSet::new();
        for file in files {
            let at = directories.iter().position(|known| *known == file.directory).unwrap_or_default();
            let key = (file.directory.clone(), file.name.clone());
            if let Some(other) = seen.insert(key, file.annotation.clone()) {
                let text = format!("the same file as {}{other}: {}/{}", self.prefix, file.directory, file.name);
                self.deny(&file.annotation, &text);
                continue;
            }
            let name = if directories.len() > 1 { format!("{at}/{}", file.name) } else { file.name.clone() };
            self.set_file(&file, &name);
            if matches!(file.content, Content::Template(_)) {
                done.extend(self.permissions(&file, &name));
            }
        }
        self.made.directories = directories;
        done
    }

    /// Refuses annotations that were meant to create a file, where none creates one: without a name or a path, or
    /// misspelled.
    fn explain_no_file(&mut self) {
        for (key, value) in self.pairs.clone() {
            if key == SECRET.trim_end_matches('-') || key == SECRET || key == TEMPLATE {
                self.deny(key, "expected a name behind it, as in agent-inject-secret-NAME");
            } else if key.starts_with(SECRET) && value.trim().is_empty() {
                self.deny(key, "is empty; expected the path of a secret, such as secret/data/web");
            } else if find(KEYS, key).is_none()
                && let Some((start, name)) = key.rsplit_once('-')
                && let Some(meant) = nearest(&format!("{start}-"), [SECRET, TEMPLATE])
            {
                self.deny(key, &format!("unknown; did you mean {}{meant}{name}?", self.prefix));
            }
        }
    }

    /// The NAME parts of the annotations that create files, sorted, each once.
    fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<&'a str> = Vec::new();
        for (key, value) in &self.pairs {
            // The order matters: a template file is not a template named `file-…`.
            let name = [SECRET, TEMPLATE_FILE, TEMPLATE].iter().find_map(|start| key.strip_prefix(start));
            if let Some(name) = name.filter(|name| !name.is_empty() && !value.trim().is_empty()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Content, directory and name of the file NAME; `None` if an annotation about it was refused.
    fn file(&mut self, raw: &'a str) -> Option<File<'a>> {
        let template = self.value(&format!("{TEMPLATE}{raw}")).filter(|text| !text.is_empty());
        let secret = self.value(&format!("{SECRET}{raw}")).unwrap_or_default();
        let (annotation, text) = match template {
            Some(text) => (format!("{TEMPLATE}{raw}"), text.to_owned()),
            // A template file cannot be read here, and was refused.
            None if self.filled(&format!("{TEMPLATE_FILE}{raw}")).is_some() => return None,
            None => (format!("{SECRET}{raw}"), self.default_template(secret)?),
        };
        if template.is_none() && secret.trim_start().starts_with("vault:") {
            self.deny(&annotation, "expected a path alone, such as secret/data/web, without vault: and #KEY");
            return None;
        }
        let directory = self.directory(raw)?;
        let is_kept = match self.value(&format!("preserve-secret-case-{raw}")) {
            Some(value) => words::boolean(value).unwrap_or(false),
            None => self.is_set("preserve-secret-case", false),
        };
        let own = if is_kept { raw.to_owned() } else { raw.to_lowercase() };
        let renamed = format!("agent-inject-file-{raw}");
        let name = match self.filled(&renamed) {
            Some(path) => match clean(path) {
                Some(name) => name,
                None => {
                    self.deny(&renamed, "expected a path below the volume, without \"..\"");
                    return None;
                }
            },
            None => own,
        };
        Some(File { annotation, raw, directory, name, content: Content::Template(text) })
    }

    /// The default template for a secret, as `map` or `json`.
    fn default_template(&mut self, path: &str) -> Option<String> {
        const KIND: &str = "agent-inject-default-template";
        match self.value(KIND).unwrap_or("map").to_lowercase().as_str() {
            "map" => Some(format!(
                "{{{{ with secret \"{path}\" }}}}{{{{ range $k, $v := .Data }}}}{{{{ $k }}}}: {{{{ $v }}}}\n{{{{ end }}}}{{{{ end }}}}"
            )),
            "json" => Some(format!("{{{{ with secret \"{path}\" }}}}{{{{ .Data | toJSON }}}}\n{{{{ end }}}}")),
            _ => {
                self.deny(KIND, "expected map or json");
                None
            }
        }
    }

    /// The directory of the file NAME; `None` if it was refused.
    fn directory(&mut self, raw: &str) -> Option<String> {
        let own = format!("{VOLUME}-{raw}");
        let (name, text) = match self.value(&own) {
            Some(text) if !raw.is_empty() => (own.as_str(), text),
            _ => (VOLUME, self.value(VOLUME).unwrap_or(DEFAULT_DIRECTORY)),
        };
        let clean = clean(text).filter(|_| text.starts_with('/')).map(|path| format!("/{path}"));
        let Some(path) = clean else {
            self.deny(name, "expected an absolute path of a directory, without \"..\"");
            return None;
        };
        let own =
            || Path::new(&path).starts_with(VOLUME_PATH).then(|| "where injection mounts what is its own".to_owned());
        if let Some(why) = mount_path::refused(Path::new(&path)).or_else(own) {
            self.deny(name, &format!("{path} is {why}; expected another path"));
            return None;
        }
        Some(path)
    }

    /// Adds the settings of one file. `name` is its path in the volume.
    fn set_file(&mut self, file: &File<'_>, name: &str) {
        let annotation = file.annotation.as_str();
        match &file.content {
            Content::Token => {
                self.set(annotation, &["files", name, "from"], "vault:auth/token/lookup-self#id");
                return;
            }
            Content::Template(text) => {
                self.set(annotation, &["files", name, "template"], text.as_str());
                self.set(annotation, &["files", name, "language"], "go");
            }
        }
        for (start, field) in [("left", "leftDelimiter"), ("right", "rightDelimiter")] {
            let key = format!("agent-template-{start}-delim-{}", file.raw);
            if let Some(text) = self.filled(&key) {
                self.set(&key, &["files", name, field], text);
            }
        }
        let strict = format!("error-on-missing-key-{}", file.raw);
        if self.is_set(&strict, false) {
            self.set(&strict, &["files", name, "errorOnMissingKey"], "true");
        }
    }

    /// Sets the file's mode: that of a command that only changes it (`chmod`), which runs after the file is written, or that
    /// of the annotation. Returns the command's annotation.
    fn permissions(&mut self, file: &File<'_>, name: &str) -> Option<String> {
        let command = format!("{COMMAND}{}", file.raw);
        let chmod = self.filled(&command).and_then(chmod);
        if let Some((mode, _)) = chmod.filter(|(_, path)| *path == format!("{}/{}", file.directory, file.name)) {
            self.mode(&command, mode, name);
            return Some(command);
        }
        let perms = format!("agent-inject-perms-{}", file.raw);
        if let Some(text) = self.filled(&perms) {
            self.mode(&perms, text, name);
        }
        None
    }

    /// Sets a mode without permissions for others: a reader among the others becomes a reader of the pod's group,
    /// with a warning.
    fn mode(&mut self, annotation: &str, text: &str, name: &str) {
        let is_octal = text.len() <= 5 && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let Some(bits) = is_octal.then(|| u32::from_str_radix(text, 8).ok()).flatten() else {
            return self.deny(annotation, "expected an octal mode such as \"0640\"");
        };
        let group = if bits & 0o004 == 0 { 0 } else { 0o040 };
        let mode = bits & 0o640 | group;
        if mode & 0o400 == 0 {
            return self.deny(annotation, "expected a mode by which the owner reads, such as \"0640\"");
        }
        self.set(annotation, &["files", name, "mode"], format!("{mode:04o}"));
        if bits != mode {
            let text = format!(
                "no file is for everybody, nor for anybody but its owner to write or run; it gets {mode:04o}, and the \
                 containers that get the files are members of its group"
            );
            self.warn(annotation, &text);
        }
    }
}

/// A relative path as Go's `filepath.Join` cleans it; `None` if it is empty or contains `..`.
fn clean(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_as_go_does() {
        for (path, expected) in
            [("a", Some("a")), ("/a//b/./c/", Some("a/b/c")), ("", None), ("/", None), ("../x", None), ("a/../b", None)]
        {
            assert_eq!(clean(path).as_deref(), expected, "{path}");
        }
    }
}
