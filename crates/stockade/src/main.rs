//! Stockade, by whatever name it was called.

fn main() {}
