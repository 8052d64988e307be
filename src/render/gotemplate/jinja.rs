//! Translates simple Go templates, text and fields of one secret at a time, to a reference or a Jinja template with
//! the same output. Only for a missing key they differ: it is an error there, where Go writes `<no value>`.

use super::GoOptions;
use super::ast::{List, Node, Pipe, Term};
use super::functions;
use super::parser;

/// What a Go template is equivalent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Simpler {
    /// The reference of one value of one secret.
    Reference(String),
    /// A Jinja template.
    Jinja(String),
}

/// Translates a template; `None` if there is no equivalent.
pub fn simpler(text: &str, options: &GoOptions) -> Option<Simpler> {
    let templates = parser::parse("", text, 0, options.into()).ok()?;
    let mut found = Translation { text: String::new(), references: Vec::new() };
    match templates.len() {
        1 => found.list(templates.values().next()?, None)?,
        _ => return None,
    }
    match found.references.as_slice() {
        [(reference, written)] if *written == found.text => Some(Simpler::Reference(reference.clone())),
        _ => Some(Simpler::Jinja(found.text)),
    }
}

/// The state of a translation.
struct Translation {
    text: String,
    /// The reference of each value, and its expression in the Jinja template.
    references: Vec<(String, String)>,
}

impl Translation {
    /// Translates a list of nodes; `secret` is the source of the surrounding `with`.
    fn list(&mut self, list: &List, secret: Option<&str>) -> Option<()> {
        for node in list {
            match node {
                Node::Text(text) => {
                    let is_syntax = ["{{", "{%", "{#"].iter().any(|start| text.contains(start));
                    // A trailing brace would combine with the brace of the next expression.
                    (!is_syntax && !text.ends_with('{')).then(|| self.text.push_str(text))?;
                }
                Node::With(branch) if secret.is_none() && branch.otherwise.is_none() => {
                    self.list(&branch.then, Some(&source(&branch.pipe)?))?;
                }
                Node::Action(pipe) => self.value(pipe, secret?)?,
                _ => return None,
            }
        }
        Some(())
    }

    /// Translates a field of the secret.
    fn value(&mut self, pipe: &Pipe, secret: &str) -> Option<()> {
        let Term::Field(fields) = only_word(pipe)? else { return None };
        // This program unwraps KV v2's envelope, which a Go template names.
        let is_kv2 = secret.split('/').nth(1) == Some("data");
        let key = match fields.names().collect::<Vec<_>>()[..] {
            ["Data", "data", key] if is_kv2 => key,
            ["Data", key] if !is_kv2 => key,
            _ => return None,
        };
        let written = format!("{{{{ secret('{secret}').{key} }}}}");
        self.references.push((format!("{secret}#{key}"), written.clone()));
        self.text.push_str(&written);
        Some(())
    }
}

/// The reference in `secret "PATH"`, if the pipeline is that.
fn source(pipe: &Pipe) -> Option<String> {
    let [command] = &*pipe.commands else { return None };
    let [function, path] = &*command.words else { return None };
    let (Term::Function(function), Term::String(path)) = (&function.term, &path.term) else { return None };
    if !pipe.variables.is_empty() || function.name != "secret" {
        return None;
    }
    let reference = functions::reference("secret", std::slice::from_ref(path)).ok()?.to_string();
    let is_plain = reference.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.:".contains(c));
    is_plain.then_some(reference)
}

/// The only operand of a pipeline, if there is one.
fn only_word(pipe: &Pipe) -> Option<&Term> {
    let [command] = &*pipe.commands else { return None };
    let [word] = &*command.words else { return None };
    pipe.variables.is_empty().then_some(&word.term)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Simpler> {
        simpler(text, &GoOptions::default())
    }

    #[test]
    fn one_value_is_a_reference_and_several_are_a_template() {
        let reference = |text: &str| Some(Simpler::Reference(text.to_owned()));
        let jinja = |text: &str| Some(Simpler::Jinja(text.to_owned()));
        for (text, expected) in [
            ("{{ with secret \"secret/data/db\" }}{{ .Data.data.pw }}{{ end }}", reference("vault:secret/data/db#pw")),
            (
                "{{- with secret \"database/creds/web\" -}}\n{{ .Data.username }}\n{{- end }}",
                reference("vault:database/creds/web#username"),
            ),
            (
                "{{ with secret \"a/creds/b\" -}}\nuser={{ .Data.u }}\npw={{ .Data.p }}\n{{ end }}",
                jinja("user={{ secret('vault:a/creds/b').u }}\npw={{ secret('vault:a/creds/b').p }}\n"),
            ),
            ("plain", jinja("plain")),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_exact_stays() {
        for text in [
            "{{ with secret \"secret/data/db\" }}{{ .Data.pw }}{{ end }}",
            "{{ with secret \"a/b\" }}{{ .Data.data.pw }}{{ end }}",
            "{{ with secret \"a/b\" }}{{ .Data.pw | toJSON }}{{ end }}",
            "{{ with secret \"a/b\" }}{{ range $k, $v := .Data }}{{ $k }}{{ end }}{{ end }}",
            "{{ with secret \"a/b\" }}{{ .Data.pw }}{{ else }}none{{ end }}",
            "{{ with $s := secret \"a/b\" }}{{ $s.Data.pw }}{{ end }}",
            "{{ with secret \"a/b\" }}{{{ .Data.pw }}}{{ end }}",
            "{{ with secret \"a/b\" \"ttl=1h\" }}{{ .Data.pw }}{{ end }}",
            "{{ if true }}x{{ end }}",
            "{% x %}",
            "{{ with secret \"a/b\" }}{{ .LeaseID }}{{ end }}",
            "{{ broken",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
