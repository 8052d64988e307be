//! Parses pipelines: declarations, commands, operands and terms.

use super::super::ast::{Command, Pipe, Term, Word};
use super::super::error::SyntaxError;
use super::super::lexer::{Item, Kind};
use super::super::{functions, literal};
use super::{Parsed, Parser, VARIABLES, unexpected};

impl Parser<'_> {
    /// Parses a pipeline, including the token that ends it.
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let at = self.peek_word()?.at;
        let mut pipe = Pipe { at, variables: Vec::new(), is_assignment: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
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
                    pipe.commands.push(command);
                }
                _ => return Err((item.at, unexpected(&item, context))),
            }
        }
        if pipe.commands.is_empty() {
            return Err((at, SyntaxError::Syntax(format!("missing value for {context}"))));
        }
        for (stage, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = &command.words[0];
            if matches!(
                first.term,
                Term::Bool(_) | Term::Dot | Term::Nil | Term::Int(_) | Term::Float(_) | Term::String(_)
            ) {
                let text = format!("non executable command in pipeline stage {}", stage + 1);
                return Err((first.at, SyntaxError::Syntax(text)));
            }
        }
        Ok(pipe)
    }

    /// Parses the variables that a pipeline declares or assigns, if any.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        loop {
            let variable = self.peek_word()?;
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            let start = self.place;
            self.next()?;
            let next = self.next_word()?;
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.is_assignment = next.kind == Kind::Assign;
                    return self.declare(pipe, &variable);
                }
                Kind::Comma => {
                    self.declare(pipe, &variable)?;
                    if context != "range" || pipe.variables.len() > 1 {
                        return Err((next.at, SyntaxError::Syntax(format!("too many declarations in {context}"))));
                    }
                    let after = self.peek_word()?;
                    if !matches!(after.kind, Kind::Variable | Kind::RightDelimiter | Kind::RightParen) {
                        return Err((after.at, SyntaxError::Syntax("range can only initialize variables".into())));
                    }
                }
                _ => {
                    self.place = start;
                    return Ok(());
                }
            }
        }
    }

    /// Adds a variable to the pipeline and to the scope.
    fn declare(&mut self, pipe: &mut Pipe, variable: &Item<'_>) -> Parsed<()> {
        pipe.variables.push(variable.text.to_owned());
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
        let mut words = Vec::new();
        let first = self.peek_word()?;
        loop {
            self.peek_word()?;
            if let Some(word) = self.operand()? {
                words.push(word);
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
        if words.is_empty() {
            return Err((first.at, SyntaxError::Syntax("empty command".into())));
        }
        Ok(Command { words })
    }

    /// Parses a term with the fields after it; `None` if there is no term.
    fn operand(&mut self) -> Parsed<Option<Word>> {
        let Some(Word { at, term }) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        while self.peek()?.kind == Kind::Field {
            let item = self.next()?;
            fields.push(item.text[1..].to_owned());
        }
        if fields.is_empty() {
            return Ok(Some(Word { at, term }));
        }
        let term = match term {
            Term::Field(mut all) => {
                all.append(&mut fields);
                Term::Field(all)
            }
            Term::Variable { name, fields: mut all } => {
                all.append(&mut fields);
                Term::Variable { name, fields: all }
            }
            Term::Bool(_) | Term::String(_) | Term::Int(_) | Term::Float(_) | Term::Nil | Term::Dot => {
                return Err((at, SyntaxError::Syntax("unexpected . after term".into())));
            }
            term => Term::Chain { term: Box::new(Word { at, term }), fields },
        };
        Ok(Some(Word { at, term }))
    }

    /// Parses one term; `None` if the next token cannot begin one.
    fn term(&mut self) -> Parsed<Option<Word>> {
        let item = self.next_word()?;
        let at = item.at;
        let fault = |why| (at, why);
        let term = match item.kind {
            Kind::Identifier => Term::Function(functions::find(item.text).map_err(fault)?),
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|name| name == item.text) {
                    return Err((at, SyntaxError::Syntax(format!("undefined variable {:?}", item.text))));
                }
                Term::Variable { name: item.text.to_owned(), fields: Vec::new() }
            }
            Kind::Field => Term::Field(vec![item.text[1..].to_owned()]),
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
