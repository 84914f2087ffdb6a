//! Builds the crate anew when a migration is added: the directory is embedded.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
