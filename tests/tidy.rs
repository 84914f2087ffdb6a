//! The house rules that no compiler holds: floors, sizes, names, licences, the book.
//!
//! Each module has a function that returns what it found wrong in what it was given, a test that
//! nothing is wrong here, and tests that a seeded fault is found.

mod book;
mod built_book;
pub(crate) mod dashboards;
mod floors;
mod gate;
mod image;
mod licences;
mod metadata;
mod names;
mod proofs;
mod rebuilt;
mod root;
mod runbooks;
mod scripts;
mod shared;
mod sizes;
mod supply;
mod tables;
mod toolchain;
pub(crate) mod tree;
mod words;
