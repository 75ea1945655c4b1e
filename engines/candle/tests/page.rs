//! `docs/guide/candle.md` shows what the program does.

const PAGE: &str = include_str!("../../../docs/guide/candle.md");
const PROGRAM: &str = include_str!("../src/main.rs");

#[test]
fn every_line_of_code_on_the_page_is_in_the_program() {
    let blocks: Vec<&str> =
        PAGE.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("rust")).collect();
    assert!(!blocks.is_empty());
    let program: Vec<&str> = PROGRAM.lines().map(str::trim).collect();
    for line in blocks.iter().flat_map(|block| block.lines().skip(1)).map(str::trim).filter(|line| !line.is_empty()) {
        assert!(program.contains(&line), "the program has no line `{line}`");
    }
}
