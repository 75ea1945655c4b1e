//! The words of a command, or of a shell script that builds one: arrays and texts of flags that it assigns, and variables.
//!
//! Nothing is run. A flag may stand anywhere; a variable has the value that the script last gives it before, and one that the script does
//! not give stays as it is written.

use std::collections::{BTreeMap, BTreeSet};

/// Texts of flags within texts of flags are read so deep.
const MAX_DEPTH: usize = 8;
/// The most bytes that variables may become.
const MAX_EXPANDED: usize = 1 << 20;

/// The words of `text`; an error says why there are none. What ends an array, or a command, is `None` among them.
pub(super) fn words(text: &str) -> Result<Vec<Option<String>>, &'static str> {
    let mut shell = Shell::default();
    shell.read(text, MAX_DEPTH)?;
    Ok(shell.words)
}

#[derive(Default)]
struct Shell {
    variables: BTreeMap<String, String>,
    /// Variables that hold flags, which are read where they are assigned.
    lists: BTreeSet<String>,
    words: Vec<Option<String>>,
    /// How many bytes variables have become.
    expanded: usize,
}

/// What may stand before an assignment.
const DECLARATIONS: [&str; 5] = ["export", "declare", "local", "readonly", "env"];

impl Shell {
    fn read(&mut self, text: &str, depth: usize) -> Result<(), &'static str> {
        let mut is_start = true;
        for word in shlex::split(&ends_apart(text)).ok_or("a quotation mark is not closed")? {
            match assignment(&word).filter(|_| is_start) {
                _ if matches!(word.as_str(), ")" | ";" | "&&" | "||" | "|" | "&") => {
                    is_start = true;
                    self.words.push(None);
                }
                Some((name, "(")) => {
                    self.lists.insert(name.to_owned());
                    self.words.push(None);
                }
                Some((name, value)) if has_flags(value) && depth > 0 => {
                    self.lists.insert(name.to_owned());
                    self.words.push(None);
                    self.read(value, depth - 1)?;
                    self.words.push(None);
                }
                Some((name, value)) => {
                    let value = self.expanded(value)?;
                    self.variables.insert(name.to_owned(), value);
                    self.words.push(None);
                }
                None if self.is_list(&word) => self.words.push(None),
                None => {
                    is_start = DECLARATIONS.contains(&word.as_str());
                    let expanded = self.expanded(&word)?;
                    // A variable that is empty is no word.
                    if !(expanded.is_empty() && word.starts_with('$')) {
                        self.words.push(Some(expanded));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether `word` is an array, or a variable that holds flags.
    fn is_list(&self, word: &str) -> bool {
        let Some(name) = word.strip_prefix('$') else { return false };
        let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
        name.ends_with("[@]") || name.ends_with("[*]") || self.lists.contains(name)
    }

    /// `word` with the variables that are known in place of `$NAME`, `${NAME}` and `${NAME:-default}`.
    fn expanded(&mut self, word: &str) -> Result<String, &'static str> {
        let (mut done, mut rest) = (String::new(), word);
        while let Some((before, after)) = rest.split_once('$') {
            done += before;
            let (name, default, written, left) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
                Some((inside, left)) => {
                    let (name, default) = inside.split_once(":-").map_or((inside, None), |(n, d)| (n, Some(d)));
                    (name, default, &rest[before.len()..rest.len() - left.len()], left)
                }
                None => {
                    let len = after.find(|c: char| !is_of_name(c)).unwrap_or(after.len());
                    (&after[..len], None, &rest[before.len()..=before.len() + len], &after[len..])
                }
            };
            match self.variables.get(name).map(String::as_str).or(default) {
                Some(value) => {
                    self.expanded = self.expanded.saturating_add(value.len());
                    if self.expanded > MAX_EXPANDED {
                        return Err("its variables come to more than 2^20 bytes");
                    }
                    done += value;
                }
                None => done += written,
            }
            rest = left;
        }
        Ok(done + rest)
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `NAME=value` in two.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_of_name);
    is_name.then_some((name, value))
}

/// Whether a word of `text` is a flag.
fn has_flags(text: &str) -> bool {
    text.split_whitespace().any(|word| word.starts_with("--"))
}

/// `text` with brackets and semicolons that stand at the end of a word apart from it, outside of quotes; and a command's end at the end of
/// each line that no backslash continues, outside of brackets.
fn ends_apart(text: &str) -> String {
    let (mut out, mut quote, mut before) = (String::new(), None, ' ');
    let (mut is_comment, mut brackets) = (false, 0usize);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            _ if is_comment && c != '\n' => {}
            (None, '#') if before.is_whitespace() => is_comment = true,
            (None, '\n') => {
                is_comment = false;
                out += if brackets == 0 { " ; " } else { "\n" };
            }
            (Some('\''), '\\') => out.push(c),
            (_, '\\') => {
                let next = chars.next();
                // A line that goes on.
                if next == Some('\r') && chars.peek() == Some(&'\n') {
                    chars.next();
                    out.push(' ');
                } else if next == Some('\n') {
                    out.push(' ');
                } else {
                    out.push(c);
                    out.extend(next);
                }
                before = 'x';
                continue;
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                out.push(c);
            }
            (Some(open), _) if open == c => {
                quote = None;
                out.push(c);
            }
            (None, '(') if before == '=' => {
                brackets += 1;
                out += "( ";
            }
            (None, ')') if brackets > 0 => {
                brackets -= 1;
                out += " ) ";
            }
            (None, ';') => out += " ; ",
            _ => out.push(c),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words, with `|` where something ends.
    fn flat(text: &str) -> String {
        let mut words: Vec<String> = words(text).unwrap().into_iter().map(|word| word.unwrap_or("|".into())).collect();
        words.dedup_by(|next, before| next == "|" && before == "|");
        words.join(" ").trim_matches(['|', ' ']).to_owned()
    }

    #[test]
    fn flags_are_found_wherever_a_script_has_them() {
        let cases = [
            ("run.py --lr 1e-4 \\\n  --bf16 # half\nls", "run.py --lr 1e-4 --bf16 | ls"),
            (
                "A=(\n  --lr 1 # first\n  --betas 0.9 0.95\n)\nrun --x ${A[@]} y",
                "--lr 1 --betas 0.9 0.95 | run --x | y",
            ),
            ("ARGS=\"\n --lr 1 \\\n --fp16\"\nrun $ARGS", "--lr 1 --fp16 | run"),
            (
                "LR=3e-4; MIN=${LR}\nrun --lr $LR --min ${MIN} --x ${X:-5} --y $Y",
                "run --lr 3e-4 --min 3e-4 --x 5 --y $Y",
            ),
            ("run --split '98,2 0' --name \"a)b;c\" --of a=b", "run --split 98,2 0 --name a)b;c --of a=b"),
            ("A=(--lr 1)\nA+=(--fp16)", "--lr 1 | --fp16"),
            ("MORE=\"\"\nexport N=2\nrun --bf16 $MORE --n $N --m $(nproc)", "export | run --bf16 --n 2 --m $(nproc)"),
        ];
        for (text, expected) in cases {
            assert_eq!(flat(text), expected, "{text}");
        }
        assert_eq!(words("run 'a"), Err("a quotation mark is not closed"));
    }

    #[test]
    fn variables_that_double_are_refused() {
        let text = format!("A=xxxx\n{}run --lr 1", "A=$A$A\n".repeat(40));
        assert_eq!(words(&text), Err("its variables come to more than 2^20 bytes"));
    }
}
