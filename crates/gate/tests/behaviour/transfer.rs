//! Export of a store that changes meanwhile.

use tollgate_gate::{ports::StoredSigningKey, transfer::export};

use crate::support::{World, rules};

#[tokio::test(start_paused = true)]
async fn a_signing_key_that_is_added_meanwhile_comes_last() {
    let world = World::new().await;
    for _ in 0..3 {
        world.key(rules()).await;
    }
    let late = StoredSigningKey { ring: 'z', origin: String::new(), sealed: vec![0; 33], added_at_ms: 1, retired_at_ms: None };
    let mut lines: Vec<String> = Vec::new();
    let mut write = |line: &str| {
        lines.push(line.to_owned());
        if line.contains("\"key_id\"") && !world.keys.has_signing_key('z') {
            world.keys.put_signing_key(late.clone());
        }
        Ok(())
    };
    let count = export(&*world.keys, &mut write).await.expect("written");
    assert_eq!((count.signing_keys, count.keys, lines.len()), (2, 3, 5));
    let is_signing = |line: &String| line.contains("signing_key");
    assert_eq!(lines.iter().map(is_signing).collect::<Vec<_>>(), [true, false, false, false, true]);
    assert!(lines[4].contains("\"z\""), "{}", lines[4].len());
}
