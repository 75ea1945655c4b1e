//! Python's grammar of expressions, by recursive descent: a function for each level of precedence, the loosest first.

use super::Fault;
use super::token::{Token, Word};
use super::value::{Compare, Operator, Value};
use crate::schedule::Schedule;

/// The deepest nesting of brackets, signs and conditions.
const MAX_DEPTH: usize = 32;

/// Names that Python keeps for itself: they never stand for a value.
const KEYWORDS: [&str; 8] = ["if", "else", "and", "or", "not", "lambda", "in", "is"];

/// The value of all of `tokens`, in which `variable` stands for `of`.
pub(super) fn parse(tokens: &[Token<'_>], variable: &str, of: &Schedule) -> Result<Value, Fault> {
    let mut parser = Parser { tokens, next: 0, depth: 0, variable, of };
    let value = parser.expression()?;
    match parser.peek() {
        Word::End => Ok(value),
        _ => Err(parser.fault("an operator or the end must stand")),
    }
}

struct Parser<'p> {
    tokens: &'p [Token<'p>],
    next: usize,
    depth: usize,
    variable: &'p str,
    of: &'p Schedule,
}

impl<'p> Parser<'p> {
    fn peek(&self) -> &'p Word<'p> {
        &self.tokens[self.next].word
    }

    fn at(&self) -> usize {
        self.tokens[self.next].at
    }

    fn fault(&self, rule: impl Into<String>) -> Fault {
        Fault::new(self.at(), rule)
    }

    /// Steps over the sign or keyword `text` if it is next, and says where it stood.
    fn take(&mut self, text: &str) -> Option<usize> {
        let at = self.at();
        let found = match self.peek() {
            Word::Sign(sign) => *sign == text,
            Word::Name(name) => *name == text,
            Word::Number { .. } | Word::End => false,
        };
        self.next += usize::from(found);
        found.then_some(at)
    }

    fn expect(&mut self, text: &str) -> Result<usize, Fault> {
        self.take(text).ok_or_else(|| self.fault(format!("`{text}` must stand")))
    }

    /// `parse` one level deeper.
    fn nested(&mut self, parse: impl Fn(&mut Self) -> Result<Value, Fault>) -> Result<Value, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(format!("an expression nests at most {MAX_DEPTH} levels, and goes deeper")));
        }
        let value = parse(self);
        self.depth -= 1;
        value
    }

    /// `a if c else b`.
    fn expression(&mut self) -> Result<Value, Fault> {
        let then = self.either()?;
        if self.take("if").is_none() {
            return Ok(then);
        }
        let condition = self.either()?;
        self.expect("else")?;
        let otherwise = self.nested(Self::expression)?;
        Ok(condition.truth(self.of).choose(then, otherwise))
    }

    /// `a or b`: the first that is true, or the last.
    fn either(&mut self) -> Result<Value, Fault> {
        let mut left = self.both()?;
        while self.take("or").is_some() {
            let right = self.both()?;
            left = left.clone().truth(self.of).choose(left, right);
        }
        Ok(left)
    }

    /// `a and b`: the first that is false, or the last.
    fn both(&mut self) -> Result<Value, Fault> {
        let mut left = self.negation()?;
        while self.take("and").is_some() {
            let right = self.negation()?;
            left = left.clone().truth(self.of).choose(right, left);
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Value, Fault> {
        match self.take("not") {
            None => self.comparison(),
            Some(_) => Ok(self.nested(Self::negation)?.truth(self.of).choose(Value::whole(0.0), Value::whole(1.0))),
        }
    }

    /// `a < b <= c`: each pair must hold.
    fn comparison(&mut self) -> Result<Value, Fault> {
        let mut left = self.sum()?;
        let mut all: Option<Value> = None;
        while let Some(compare) = self.compare() {
            let right = self.sum()?;
            let holds = left.compare(compare, right.clone(), self.of);
            all = Some(match all {
                None => holds,
                Some(before) => before.clone().truth(self.of).choose(holds, before),
            });
            left = right;
        }
        Ok(all.unwrap_or(left))
    }

    fn compare(&mut self) -> Option<Compare> {
        let Word::Sign(sign) = self.peek() else { return None };
        let compare = match *sign {
            "<" => Compare::Less,
            "<=" => Compare::LessEqual,
            ">" => Compare::Greater,
            ">=" => Compare::GreaterEqual,
            "==" => Compare::Equal,
            "!=" => Compare::NotEqual,
            _ => return None,
        };
        self.next += 1;
        Some(compare)
    }

    fn sum(&mut self) -> Result<Value, Fault> {
        self.chain(&[("+", Operator::Add), ("-", Operator::Sub)], Self::product)
    }

    fn product(&mut self) -> Result<Value, Fault> {
        let operators = [("*", Operator::Mul), ("//", Operator::FloorDiv), ("/", Operator::Div), ("%", Operator::Mod)];
        self.chain(&operators, Self::signed)
    }

    /// Operands with operators of one precedence between, from left to right.
    fn chain(
        &mut self,
        operators: &[(&str, Operator)],
        operand: impl Fn(&mut Self) -> Result<Value, Fault>,
    ) -> Result<Value, Fault> {
        let mut left = operand(self)?;
        loop {
            let found = operators.iter().find_map(|(sign, op)| self.take(sign).map(|at| (at, *op)));
            let Some((at, op)) = found else { return Ok(left) };
            let right = operand(self)?;
            left = left.operate(op, right).at(at);
        }
    }

    /// `-x`, which binds looser than `**`: `-2**2` is -4.
    fn signed(&mut self) -> Result<Value, Fault> {
        if let Some(at) = self.take("-") {
            let value = self.nested(Self::signed)?;
            return Ok(Value::whole(0.0).operate(Operator::Sub, value).at(at));
        }
        if self.take("+").is_some() {
            return self.nested(Self::signed);
        }
        self.power()
    }

    /// `x ** y`, from right to left; the exponent may have a sign.
    fn power(&mut self) -> Result<Value, Fault> {
        let base = self.atom()?;
        match self.take("**") {
            None => Ok(base),
            Some(at) => {
                let exponent = self.nested(Self::signed)?;
                Ok(base.operate(Operator::Pow, exponent).at(at))
            }
        }
    }

    fn atom(&mut self) -> Result<Value, Fault> {
        let at = self.at();
        match self.peek() {
            Word::Number { value, whole } => {
                self.next += 1;
                Ok(if *whole { Value::whole(*value) } else { Value::real(*value) })
            }
            Word::Name(name) if !KEYWORDS.contains(name) => {
                self.next += 1;
                self.named(name, at)
            }
            Word::Sign("(") => {
                self.next += 1;
                let value = self.nested(Self::expression)?;
                self.expect(")")?;
                Ok(value)
            }
            Word::Name(_) | Word::Sign(_) | Word::End => Err(self.fault("a value must stand")),
        }
    }

    /// The variable, a constant, or a call.
    fn named(&mut self, name: &str, at: usize) -> Result<Value, Fault> {
        if name == self.variable {
            return Ok(Value::variable(self.of));
        }
        let mut name = name.to_owned();
        if name == "math" {
            self.expect(".")?;
            let Word::Name(member) = self.peek() else { return Err(self.fault("a name must stand")) };
            self.next += 1;
            name = format!("math.{member}");
        }
        if let Some(constant) = Value::constant(&name) {
            return Ok(constant);
        }
        if self.take("(").is_none() {
            return Err(Fault::new(at, format!("{name} is not a name that has a translation,")));
        }
        let mut arguments = Vec::new();
        while self.take(")").is_none() {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.nested(Self::expression)?);
        }
        let value = Value::call(&name, arguments).map_err(|rule| Fault::new(at, rule))?;
        Ok(value.at(at))
    }
}
