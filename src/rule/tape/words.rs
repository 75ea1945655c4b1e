//! The words of a tape's text, each said once for writing and reading.

use super::{Binary, Compare, Unary};
use crate::rule::parts::{Of, Over};

pub(super) const UNARY: [(&str, Unary); 5] =
    [("neg", Unary::Neg), ("sqrt", Unary::Sqrt), ("abs", Unary::Abs), ("exp", Unary::Exp), ("ln", Unary::Ln)];
pub(super) const BINARY: [(&str, Binary); 7] = [
    ("add", Binary::Add),
    ("sub", Binary::Sub),
    ("mul", Binary::Mul),
    ("div", Binary::Div),
    ("min", Binary::Min),
    ("max", Binary::Max),
    ("pow", Binary::Pow),
];
pub(super) const COMPARE: [(&str, Compare); 3] =
    [("less", Compare::Less), ("less_equal", Compare::LessEqual), ("equal", Compare::Equal)];
pub(super) const OVER: [(&str, Over); 3] = [("tensor", Over::Tensor), ("group", Over::Group), ("all", Over::All)];
pub(super) const OF: [(&str, Of); 3] = [("cohort", Of::Cohort), ("group", Of::Group), ("tensor", Of::Tensor)];

/// What else names a value, and what the kernel's text calls.
const OTHERS: [&str; 34] = [
    "updates",
    "param",
    "grad",
    "len",
    "inf",
    "nan",
    "p",
    "g",
    "x",
    "s",
    "r",
    "in",
    "own",
    "first",
    "known",
    "sum",
    "fma",
    "fabs",
    "fabsf",
    "larger_or_nan",
    "smaller_or_nan",
    "exp_spec",
    "ln_spec",
    "pow_spec",
    "bias_correction",
    "u8",
    "u16",
    "u32",
    "u64",
    "i32",
    "i64",
    "bits_to_double",
    "linux",
    "unix",
];

/// Words of C++ that would otherwise be names.
const CPP: [&str; 92] = [
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "compl",
    "concept",
    "const",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "requires",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "template",
    "this",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "while",
    "xor",
    "xor_eq",
    "wchar_t",
    "char8_t",
    "char16_t",
    "char32_t",
    "const_cast",
    "co_await",
    "co_return",
    "co_yield",
    "dynamic_cast",
    "reinterpret_cast",
    "static_assert",
    "static_cast",
    "thread_local",
];

/// Whether `name` may name something of a rule's own.
pub(crate) fn is_name(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    let value = name.strip_prefix('x').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
    let word = |words: &[&str]| words.contains(&name);
    let operation = UNARY.iter().any(|(known, _)| *known == name)
        || BINARY.iter().any(|(known, _)| *known == name)
        || COMPARE.iter().any(|(known, _)| *known == name);
    // Two underscores belong to the compiler, and a value of the kernel's text may end in one or begin like this.
    let kernels = name.starts_with("len_of_") || name.starts_with("bias_correction_of_");
    let plain = !name.contains("__") && !name.ends_with('_') && !kernels && name.len() <= 48;
    begins && name.chars().all(letters) && plain && !value && !operation && !word(&OTHERS) && !word(&CPP)
}

/// The word for `value`.
pub(super) fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    let found = words.iter().find(|(_, known)| known == value);
    found.map_or("?", |(word, _)| word)
}

/// What `word` means.
pub(super) fn meaning<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
    words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
}
