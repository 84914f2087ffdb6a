use super::*;

#[test]
fn defaults_load() {
    let loaded = Settings::load(&LoadFrom::default());
    assert!(loaded.is_ok(), "{loaded:?}");
}
