//! Resident
fn main() {}
