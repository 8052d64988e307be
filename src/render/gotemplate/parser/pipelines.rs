//! Parses pipelines: declarations, commands, operands and terms.

use super::super::ast::{Command, Fields, Pipe, Term, Word};
use super::super::error::SyntaxError;
use super::super::tokens::{Item, Kind};
use super::super::{functions, literal};
use super::{Parsed, Parser, VARIABLES, unexpected};

impl Parser<'_> {
    /// Parses a pipeline, including the token that ends it.
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let at = self.peek_word()?.at;
        let (variables, is_assignment) = self.declarations(context)?;
        let mark = self.commands.len();
        loop {
            let item = self.next_word()?;
            match item.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back();
                    let command = self.command()?;
                    self.commands.push(command);
                }
                _ => return Err((item.at, unexpected(&item, context))),
            }
        }
        let commands: Box<[Command]> = self.commands.drain(mark..).collect();
        if commands.is_empty() {
            return Err((at, SyntaxError::Syntax(format!("missing value for {context}"))));
        }
        for (stage, command) in commands.iter().enumerate().skip(1) {
            let first = &command.words[0];
            if matches!(
                first.term,
                Term::Bool(_) | Term::Dot | Term::Nil | Term::Int(_) | Term::Float(_) | Term::String(_)
            ) {
                let text = format!("non executable command in pipeline stage {}", stage + 1);
                return Err((first.at, SyntaxError::Syntax(text)));
            }
        }
        Ok(Pipe { at, variables: variables.into(), is_assignment, commands })
    }

    /// Parses the variables that a pipeline declares or assigns, if any, and whether it assigns them.
    fn declarations(&mut self, context: &str) -> Parsed<(Vec<Box<str>>, bool)> {
        let mut variables = Vec::new();
        loop {
            let variable = self.peek_word()?;
            if variable.kind != Kind::Variable {
                return Ok((variables, false));
            }
            let start = self.place;
            self.next()?;
            let next = self.next_word()?;
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.declare(&mut variables, &variable)?;
                    return Ok((variables, next.kind == Kind::Assign));
                }
                Kind::Comma => {
                    self.declare(&mut variables, &variable)?;
                    if context != "range" || variables.len() > 1 {
                        return Err((next.at, SyntaxError::Syntax(format!("too many declarations in {context}"))));
                    }
                    let after = self.peek_word()?;
                    if !matches!(after.kind, Kind::Variable | Kind::RightDelimiter | Kind::RightParen) {
                        return Err((after.at, SyntaxError::Syntax("range can only initialize variables".into())));
                    }
                }
                _ => {
                    self.place = start;
                    return Ok((variables, false));
                }
            }
        }
    }

    /// Adds a variable to those of the pipeline and to the scope.
    fn declare(&mut self, variables: &mut Vec<Box<str>>, variable: &Item<'_>) -> Parsed<()> {
        variables.push(variable.text.into());
        if !self.variables.iter().any(|name| name == variable.text) {
            self.variables.push(variable.text.to_owned());
        }
        if self.variables.len() > VARIABLES {
            return Err((variable.at, SyntaxError::TooLarge("it declares more than 200 variables")));
        }
        Ok(())
    }

    /// Parses one stage of a pipeline, with the `|` after it.
    fn command(&mut self) -> Parsed<Command> {
        let mark = self.words.len();
        let first = self.peek_word()?;
        loop {
            self.peek_word()?;
            if let Some(word) = self.operand()? {
                self.words.push(word);
            }
            let item = self.next()?;
            match item.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParen => self.back(),
                Kind::Pipe => {}
                _ => return Err((item.at, unexpected(&item, "operand"))),
            }
            break;
        }
        let words: Box<[Word]> = self.words.drain(mark..).collect();
        if words.is_empty() {
            return Err((first.at, SyntaxError::Syntax("empty command".into())));
        }
        Ok(Command { words })
    }

    /// Parses a term with the fields after it; `None` if there is no term.
    fn operand(&mut self) -> Parsed<Option<Word>> {
        let Some(Word { at, term }) = self.term()? else { return Ok(None) };
        let fields = self.fields()?;
        let term = match term {
            term if fields.is_empty() => term,
            Term::Bool(_) | Term::String(_) | Term::Int(_) | Term::Float(_) | Term::Nil | Term::Dot => {
                return Err((at, SyntaxError::Syntax("unexpected . after term".into())));
            }
            term => Term::Chain { term: Box::new(Word { at, term }), fields },
        };
        Ok(Some(Word { at, term }))
    }

    /// Parses the fields that follow without white space.
    fn fields(&mut self) -> Parsed<Fields> {
        let start = self.place;
        while self.peek()?.kind == Kind::Field {
            self.place += 1;
        }
        Ok(Fields(self.tokens.text(start..self.place).into()))
    }

    /// Parses one term; `None` if the next token cannot begin one.
    fn term(&mut self) -> Parsed<Option<Word>> {
        let item = self.next_word()?;
        let at = item.at;
        let fault = |why| (at, why);
        let term = match item.kind {
            Kind::Identifier => Term::Function(functions::find(item.text, self.functions).map_err(fault)?),
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|name| name == item.text) {
                    return Err((at, SyntaxError::Syntax(format!("undefined variable {:?}", item.text))));
                }
                Term::Variable { name: item.text.into(), fields: self.fields()? }
            }
            Kind::Field => {
                self.back();
                Term::Field(self.fields()?)
            }
            Kind::Bool => Term::Bool(item.text == "true"),
            Kind::CharConstant | Kind::Number => literal::number(item.text).map_err(fault)?,
            Kind::LeftParen => {
                let pipe = self.deeper(at, |parser| parser.pipeline("parenthesized pipeline", Kind::RightParen))?;
                Term::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => Term::String(literal::string(item.text).map_err(fault)?.into()),
            _ => {
                self.back();
                return Ok(None);
            }
        };
        Ok(Some(Word { at, term }))
    }
}
