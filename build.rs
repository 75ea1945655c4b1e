//! Puts the text of `kernels/` into the crate: a table of file names and contents, in the order of their names.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=kernels");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("kernels");
    let mut files: Vec<_> = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();

    let mut table = String::from("&[\n");
    for file in &files {
        let name = file.file_name().expect("a file").to_str().expect("kernel files have plain names");
        writeln!(table, "    ({name:?}, include_str!({file:?})),").expect("writing to a String does not fail");
    }
    table.push(']');
    fs::write(Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("kernels.rs"), table)
}
