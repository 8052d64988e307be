//! Builds the tree from tokens. A port of Go's `text/template/parse/parse.go`, with limits.

use super::ast::{Branch, Command, List, Node, Templates, Word};
use super::error::SyntaxError;
use super::functions::FunctionSet;
use super::lexer;
use super::literal;
use super::tokens::{Item, Kind, Tokens};

mod pipelines;

/// The deepest nesting of blocks and parentheses.
const DEPTH: usize = 100;
/// The most `else if` or `else with` branches that one place is nested in: they nest in the tree.
const CHAIN: usize = 500;
/// The most bytes of one template.
const TEXT: usize = 1 << 20;
/// The most variables in scope at one place: each use searches all of them.
const VARIABLES: usize = 200;

/// A result, or an error with its byte offset.
type Parsed<T> = Result<T, (usize, SyntaxError)>;

/// The syntax of a template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax<'t> {
    /// The opening delimiter.
    pub(super) left: &'t str,
    /// The closing delimiter.
    pub(super) right: &'t str,
    pub(super) functions: FunctionSet,
}

/// Parses `text` from the offset `start` on into the templates it defines; the main one gets the name `name`.
pub(super) fn parse(name: &str, text: &str, start: usize, syntax: Syntax<'_>) -> Parsed<Templates> {
    if text.len() > TEXT {
        return Err((0, SyntaxError::TooLarge("the template is larger than 1 MiB")));
    }
    let tokens = lexer::tokens(text, start, syntax.left, syntax.right);
    let variables = vec!["$".to_owned()];
    let mut parser = Parser {
        tokens,
        functions: syntax.functions,
        place: 0,
        variables,
        nesting: Nesting::default(),
        nodes: Vec::new(),
        commands: Vec::new(),
        words: Vec::new(),
        templates: Templates::new(),
    };
    loop {
        match parser.text_or_action(true)? {
            Step::Node(node) => parser.nodes.push(node),
            Step::Nothing => {}
            Step::End(item) | Step::Else(item) => return Err((item.at, unexpected(&item, "input"))),
            Step::Input => break,
        }
    }
    let main = parser.nodes.into();
    let mut templates = parser.templates;
    if !is_empty(&main) || !templates.contains_key(name) {
        templates.insert(name.to_owned(), main);
    }
    Ok(templates)
}

/// The state of the parser.
struct Parser<'t> {
    tokens: Tokens<'t>,
    functions: FunctionSet,
    /// The index of the next token.
    place: usize,
    variables: Vec<String>,
    nesting: Nesting,
    /// The nodes, stages and operands of what is being parsed, innermost last.
    nodes: Vec<Node>,
    commands: Vec<Command>,
    words: Vec<Word>,
    templates: Templates,
}

/// What surrounds the present position.
#[derive(Default)]
struct Nesting {
    loops: usize,
    depth: usize,
    /// The `else if` branches.
    chained: usize,
}

/// One step of a list of nodes.
enum Step<'t> {
    Node(Node),
    /// A definition, which produces no node.
    Nothing,
    End(Item<'t>),
    Else(Item<'t>),
    Input,
}

impl<'t> Parser<'t> {
    /// The next token, white space included.
    fn next(&mut self) -> Parsed<Item<'t>> {
        let item = self.peek()?;
        self.place += 1;
        Ok(item)
    }

    /// Puts the last token back.
    fn back(&mut self) {
        self.place -= 1;
    }

    /// The next token without consuming it.
    fn peek(&self) -> Parsed<Item<'t>> {
        self.tokens.item(self.place)
    }

    /// The next token that is not white space.
    fn next_word(&mut self) -> Parsed<Item<'t>> {
        let item = self.peek_word()?;
        self.place += 1;
        Ok(item)
    }

    /// The next token that is not white space, without consuming it; the white space before it is consumed.
    fn peek_word(&mut self) -> Parsed<Item<'t>> {
        while self.tokens.kind(self.place) == Some(Kind::Space) {
            self.place += 1;
        }
        self.peek()
    }

    /// The next token that is not white space, which must be of this kind.
    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Item<'t>> {
        let item = self.next_word()?;
        if item.kind == kind { Ok(item) } else { Err((item.at, unexpected(&item, context))) }
    }

    /// Runs `parse` one level deeper; fails at the limit of depth.
    fn deeper<T>(&mut self, at: usize, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting.depth == DEPTH {
            return Err((at, SyntaxError::TooLarge("blocks and parentheses are nested deeper than 100 levels")));
        }
        self.nesting.depth += 1;
        let result = parse(self);
        self.nesting.depth -= 1;
        result
    }

    /// Parses a text or an action; a definition only at the top level.
    fn text_or_action(&mut self, is_top: bool) -> Parsed<Step<'t>> {
        let item = self.next_word()?;
        match item.kind {
            Kind::End => Ok(Step::Input),
            Kind::Text => Ok(Step::Node(Node::Text(item.text.into()))),
            Kind::LeftDelimiter => {
                let word = self.next_word()?;
                if is_top && word.kind == Kind::Keyword && word.text == "define" {
                    self.definition(item.at)?;
                    return Ok(Step::Nothing);
                }
                self.back();
                self.action()
            }
            _ => Err((item.at, unexpected(&item, "input"))),
        }
    }

    /// Parses nodes up to `end` or `else`, which is returned. `opened` is the offset of the enclosing action.
    fn list(&mut self, opened: usize) -> Parsed<(List, Step<'t>)> {
        let mark = self.nodes.len();
        loop {
            match self.text_or_action(false)? {
                Step::Node(node) => self.nodes.push(node),
                Step::Nothing => {}
                Step::Input => return Err((opened, SyntaxError::Syntax("unexpected EOF: this has no {{end}}".into()))),
                end => return Ok((self.nodes.drain(mark..).collect(), end)),
            }
        }
    }

    /// Parses an action, from after its left delimiter.
    fn action(&mut self) -> Parsed<Step<'t>> {
        let item = self.next_word()?;
        let at = item.at;
        if item.kind != Kind::Keyword {
            self.back();
            let pipe = self.pipeline("command", Kind::RightDelimiter)?;
            return Ok(Step::Node(Node::Action(pipe)));
        }
        let node = match item.text {
            "end" => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Step::End(item));
            }
            "else" => {
                let next = self.peek_word()?;
                if !(next.kind == Kind::Keyword && matches!(next.text, "if" | "with")) {
                    self.expect(Kind::RightDelimiter, "else")?;
                }
                return Ok(Step::Else(item));
            }
            "break" | "continue" => {
                self.expect(Kind::RightDelimiter, item.text)?;
                if self.nesting.loops == 0 {
                    return Err((at, SyntaxError::Syntax(format!("{{{{{}}}}} outside {{{{range}}}}", item.text))));
                }
                if item.text == "break" { Node::Break } else { Node::Continue }
            }
            "if" => Node::If(self.deeper(at, |parser| parser.branch(at, "if"))?),
            "with" => Node::With(self.deeper(at, |parser| parser.branch(at, "with"))?),
            "range" => Node::Range(self.deeper(at, |parser| parser.branch(at, "range"))?),
            "template" => self.template(at)?,
            "block" => self.deeper(at, |parser| parser.block(at))?,
            _ => return Err((at, unexpected(&item, "command"))),
        };
        Ok(Step::Node(node))
    }

    /// Parses `if`, `with` or `range`, with its chain of `else` branches.
    fn branch(&mut self, at: usize, word: &'static str) -> Parsed<Branch> {
        let mark = self.variables.len();
        let is_range = usize::from(word == "range");
        let mut chain = Vec::with_capacity(1);
        let mut otherwise = None;
        loop {
            let pipe = self.pipeline(word, Kind::RightDelimiter)?;
            self.nesting.loops += is_range;
            let (then, end) = self.list(at)?;
            self.nesting.loops -= is_range;
            chain.push(Branch { pipe, then, otherwise: None });
            let Step::Else(_) = end else { break };
            let next = self.peek_word()?;
            if next.kind != Kind::Keyword {
                otherwise = Some(self.otherwise(at)?);
                break;
            }
            if next.text != word || word == "range" {
                return Err((next.at, unexpected(&next, "input")));
            }
            if self.nesting.chained == CHAIN {
                return Err((next.at, SyntaxError::TooLarge("it is below more than 500 \"else if\"")));
            }
            self.nesting.chained += 1;
            self.next_word()?;
        }
        self.variables.truncate(mark);
        self.nesting.chained -= chain.len() - 1;
        // Each branch becomes the `otherwise` of the one before.
        let mut chain = chain.into_iter().rev();
        let mut branch = chain.next().expect("there is a first one");
        branch.otherwise = otherwise;
        Ok(chain.fold(branch, |behind, before| {
            let node = if word == "if" { Node::If(behind) } else { Node::With(behind) };
            Branch { otherwise: Some(Box::new([node])), ..before }
        }))
    }

    /// Parses the list after `else`, up to its `end`.
    fn otherwise(&mut self, at: usize) -> Parsed<List> {
        match self.list(at)? {
            (_, Step::Else(item)) => {
                Err((item.at, SyntaxError::Syntax(format!("expected end; found {{{{{}}}}}", item.text))))
            }
            (list, _) => Ok(list),
        }
    }

    /// Parses a template's name, a string literal.
    fn name(&mut self, context: &str) -> Parsed<String> {
        let item = self.next_word()?;
        if !matches!(item.kind, Kind::String | Kind::RawString) {
            return Err((item.at, unexpected(&item, context)));
        }
        Ok(String::from_utf8_lossy(&literal::string(item.text).map_err(|why| (item.at, why))?).into_owned())
    }

    /// Parses the rest of `template`.
    fn template(&mut self, at: usize) -> Parsed<Node> {
        let name = self.name("template clause")?;
        let next = self.next_word()?;
        if next.kind == Kind::RightDelimiter {
            return Ok(Node::Template { at, name: name.into(), pipe: None });
        }
        self.back();
        Ok(Node::Template {
            at,
            name: name.into(),
            pipe: Some(self.pipeline("template clause", Kind::RightDelimiter)?),
        })
    }

    /// Parses the rest of `block`: a definition, and a call in its place.
    fn block(&mut self, at: usize) -> Parsed<Node> {
        let name = self.name("block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelimiter)?;
        self.body(at, &name, "block clause")?;
        Ok(Node::Template { at, name: name.into(), pipe: Some(pipe) })
    }

    /// Parses the rest of `define`.
    fn definition(&mut self, at: usize) -> Parsed<()> {
        let name = self.name("define clause")?;
        self.expect(Kind::RightDelimiter, "define clause")?;
        self.body(at, &name, "define clause")
    }

    /// Parses the body of a definition, in which outer variables and loops are not visible.
    fn body(&mut self, at: usize, name: &str, context: &str) -> Parsed<()> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.nesting.loops);
        let (list, end) = self.list(at)?;
        (self.variables, self.nesting.loops) = (variables, loops);
        if let Step::Else(item) = end {
            return Err((item.at, unexpected(&item, context)));
        }
        match self.templates.get(name) {
            Some(other) if !is_empty(other) => {
                if !is_empty(&list) {
                    return Err((at, SyntaxError::Syntax(format!("multiple definition of template {name:?}"))));
                }
            }
            _ => drop(self.templates.insert(name.to_owned(), list)),
        }
        Ok(())
    }
}

/// Whether a template is only white space, so that another definition may replace it.
fn is_empty(list: &List) -> bool {
    list.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}

/// The error of an unexpected token.
fn unexpected(item: &Item<'_>, context: &str) -> SyntaxError {
    let found = match item.kind {
        Kind::End => "EOF".to_owned(),
        Kind::Keyword => format!("<{}>", item.text),
        _ => {
            let text: String = item.text.chars().take(20).collect();
            format!("{text:?}")
        }
    };
    SyntaxError::Syntax(format!("unexpected {found} in {context}"))
}
