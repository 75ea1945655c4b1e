//! The words of a Python expression.

use super::Fault;

/// A word, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'t> {
    pub at: usize,
    pub word: Word<'t>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word<'t> {
    /// A number, and whether it is an integer to Python.
    Number {
        value: f64,
        whole: bool,
    },
    Name(&'t str),
    /// An operator or a bracket.
    Sign(&'t str),
    End,
}

/// Longer ones first: `**` is not two `*`.
const SIGNS: [&str; 19] =
    ["**", "//", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")", ",", ".", "=", ":"];

pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Fault> {
    if let Some(at) = text.find(|c: char| !c.is_ascii()) {
        return Err(Fault::new(at, "only ASCII has a translation, not what stands"));
    }
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let rest = &text[at..];
        let first = rest.as_bytes()[0];
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let starts_number =
            first.is_ascii_digit() || (first == b'.' && rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit));
        let (word, len) = if starts_number {
            number(rest).ok_or_else(|| Fault::new(at, "there is no number that Python would read"))?
        } else if first.is_ascii_alphabetic() || first == b'_' {
            let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Word::Name(&rest[..len]), len)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Word::Sign(&rest[..sign.len()]), sign.len())
        } else {
            return Err(Fault::new(at, "there is no operator that has a translation"));
        };
        tokens.push(Token { at, word });
        at += len;
    }
    tokens.push(Token { at: text.len(), word: Word::End });
    Ok(tokens)
}

/// The decimal number at the start of `text` and its length.
fn number(text: &str) -> Option<(Word<'_>, usize)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes[from..].iter().position(|c| !c.is_ascii_digit() && *c != b'_').map_or(bytes.len(), |n| from + n)
    };
    let mut end = digits(0);
    let mut whole = true;
    if bytes.get(end) == Some(&b'.') {
        whole = false;
        end = digits(end + 1);
    }
    if bytes.get(end).is_some_and(|c| *c == b'e' || *c == b'E') {
        let sign = usize::from(bytes.get(end + 1).is_some_and(|c| *c == b'+' || *c == b'-'));
        let exponent = end + 1 + sign;
        if bytes.get(exponent).is_some_and(u8::is_ascii_digit) {
            whole = false;
            end = digits(exponent);
        }
    }
    let written = &text[..end];
    // Python's underscores stand between two digits.
    let misplaced = written.match_indices('_').any(|(i, _)| {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        !digit(i.checked_sub(1)) || !digit((i + 1 < end).then_some(i + 1))
    });
    let follows = bytes.get(end).is_some_and(|c| c.is_ascii_alphanumeric() || *c == b'_');
    let leading_zero = whole && end > 1 && bytes[0] == b'0' && written.bytes().any(|c| (b'1'..=b'9').contains(&c));
    if misplaced || follows || leading_zero {
        return None;
    }
    let value: f64 = written.replace('_', "").parse().ok()?;
    value.is_finite().then_some((Word::Number { value, whole }, end))
}
