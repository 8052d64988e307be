//! Values in bank-vaults' syntax with templates in their keys, `vault:PATH#${.user}:${.password | urlquery}`: text and
//! Go templates, each over the keys of a secret.

use crate::config::{GoOptions, MissingKey, Piece};
use crate::domain::SecretRef;

use super::ast::{Command, Node, Pipe, Templates, Term, Word};
use super::error::{SyntaxError, TemplateError};
use super::functions::FunctionSet;
use super::parser::{self, Syntax};
use super::{MAIN, Template};

/// The syntax of a template in a key.
const SYNTAX: Syntax<'static> = Syntax { left: "${", right: "}", functions: FunctionSet::Sprig };

impl<'o> From<&'o GoOptions> for Syntax<'o> {
    fn from(options: &'o GoOptions) -> Self {
        Self { left: &options.left, right: &options.right, functions: FunctionSet::ConsulTemplate }
    }
}

impl Template {
    /// Parses a value of these pieces; `name` names it in errors.
    pub fn of_pieces(name: &str, value: &str, pieces: &[Piece]) -> Result<Self, TemplateError> {
        Self::new(name, value, MissingKey::ErrorUnlessDefault, templates(value, pieces))
    }
}

/// The main template, which outputs the pieces, and those in keys, which it calls with the data of their secrets.
fn templates(value: &str, pieces: &[Piece]) -> Result<Templates, (usize, SyntaxError)> {
    let mut all = Templates::new();
    let mut main = Vec::new();
    let mut place = 0;
    for (index, piece) in pieces.iter().enumerate() {
        main.push(match piece {
            Piece::Text(text) => {
                place = text.end;
                Node::Text(value[text.clone()].into())
            }
            Piece::Value(reference) => Node::Action(data(place, reference)),
            Piece::Template { secret, text } => {
                let name = format!("key {index}");
                let mut parsed = parser::parse(&name, &value[..text.end], text.start, SYNTAX)?;
                if parsed.len() > 1 {
                    let why = "a template in a key defines no other template".to_owned();
                    return Err((text.start, SyntaxError::Syntax(why)));
                }
                all.append(&mut parsed);
                Node::Template { at: text.start, name: name.into(), pipe: Some(data(text.start, secret)) }
            }
        });
    }
    all.insert(MAIN.to_owned(), main.into());
    Ok(all)
}

/// The pipeline whose value is that of the reference.
fn data(at: usize, reference: &SecretRef) -> Pipe {
    let word = Word { at, term: Term::Data(reference.clone().into()) };
    let commands = Box::new([Command { words: Box::new([word]) }]);
    Pipe { at, variables: Box::new([]), is_assignment: false, commands }
}
