//! Python's grammar of expressions, by recursive descent: a function for each level of precedence, the loosest first.

use super::Fault;
use super::token::{Token, Word};
use super::value::{Compare, Operator, Value};
use crate::schedule::Schedule;

/// The deepest nesting of brackets, signs and conditions.
const MAX_DEPTH: usize = 32;

/// Names that Python keeps for itself: they never stand for a value.
const KEYWORDS: [&str; 8] = ["if", "else", "and", "or", "not", "lambda", "in", "is"];

/// The modules whose members have a translation, and what they are called here.
const MODULES: [(&str, &str); 3] = [("math", "math"), ("np", "np"), ("numpy", "np")];

/// The value of all of `tokens`, in which `variable` stands for `of`, and the name of `given` for its number; of a lambda of one
/// argument, that stands for the variable instead.
pub(super) fn parse(
    tokens: &[Token<'_>],
    (variable, of): (&str, &Schedule),
    given: Option<(&str, f64)>,
) -> Result<Value, Fault> {
    let mut parser = Parser { tokens, next: 0, depth: 0, variable, of, given };
    parser.lambda()?;
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
    given: Option<(&'p str, f64)>,
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
        let at = self.at();
        let value = parse(self)?.bounded(at);
        self.depth -= 1;
        value
    }

    /// `lambda x:`, whose body is read, and whose argument is the variable.
    fn lambda(&mut self) -> Result<(), Fault> {
        if self.take("lambda").is_none() {
            return Ok(());
        }
        match self.peek() {
            Word::Name(name) if !KEYWORDS.contains(name) => self.variable = name,
            _ => return Err(self.fault("the one argument of the lambda must stand")),
        }
        self.next += 1;
        self.expect(":").map(|_| ())
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
        while let Some(at) = self.take("or") {
            let right = self.both()?;
            left = left.clone().truth(self.of).choose(left, right).bounded(at)?;
        }
        Ok(left)
    }

    /// `a and b`: the first that is false, or the last.
    fn both(&mut self) -> Result<Value, Fault> {
        let mut left = self.negation()?;
        while let Some(at) = self.take("and") {
            let right = self.negation()?;
            left = left.clone().truth(self.of).choose(right, left).bounded(at)?;
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
            let at = self.at();
            let right = self.sum()?;
            let holds = left.compare(compare, right.clone(), self.of);
            let both = match all {
                None => holds,
                Some(before) => before.clone().truth(self.of).choose(holds, before),
            };
            all = Some(both.bounded(at)?);
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
            left = left.operate(op, right).at(at).bounded(at)?;
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
        if let Some((_, number)) = self.given.filter(|(given, _)| *given == name) {
            return Ok(Value::real(number));
        }
        let mut name = name.to_owned();
        if let Some((_, module)) = MODULES.iter().find(|(module, _)| *module == name) {
            self.expect(".")?;
            let Word::Name(member) = self.peek() else { return Err(self.fault("a name must stand")) };
            self.next += 1;
            name = format!("{module}.{member}");
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
        let value = match (name.as_str(), <[Value; 3]>::try_from(arguments)) {
            ("np.where", Ok([condition, then, otherwise])) => condition.truth(self.of).choose(then, otherwise),
            (_, Ok(three)) => Value::call(&name, three.into()).map_err(|rule| Fault::new(at, rule))?,
            (_, Err(arguments)) => Value::call(&name, arguments).map_err(|rule| Fault::new(at, rule))?,
        };
        value.at(at).bounded(at)
    }
}
