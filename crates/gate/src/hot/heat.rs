//! Which keys are in steady use, without anything kept of those that are not.
//!
//! A table of counters that keys share by chance. Two keys that meet in one only look busier than
//! they are, and then something is made for them that they did not need.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counters, 256 KiB of them.
const SLOTS: usize = 1 << 16;
/// Decisions are counted for so long.
const WINDOW_US: u64 = 50_000;
/// So many of them in one window are worth a closer look.
const HOT: u32 = 4;
/// The lower bits of a counter count, the others tell the window.
const COUNT_BITS: u32 = 8;
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;

/// Odd, its bits evenly spread: the upper half of a product with it depends on all bits.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Debug)]
pub(super) struct Heat(Vec<AtomicU32>);

impl Heat {
    pub(super) fn new() -> Self {
        Self(std::iter::repeat_with(AtomicU32::default).take(SLOTS).collect())
    }

    /// Counts a decision on what lies at `address`. Whether there were several lately.
    ///
    /// Two threads may count as one: a key in use is noticed a moment later.
    #[allow(clippy::cast_possible_truncation, reason = "windows may come round again after days, and places are bits of a hash")]
    pub(super) fn note(&self, address: usize, now_us: u64) -> bool {
        let place = (address as u64).wrapping_mul(SPREAD) >> (64 - SLOTS.trailing_zeros());
        let Some(slot) = self.0.get(place as usize) else { return false };
        let (window, counted) = ((now_us / WINDOW_US) as u32, slot.load(Ordering::Relaxed));
        let is_same = counted >> COUNT_BITS == window << COUNT_BITS >> COUNT_BITS;
        let count = if is_same { (counted & COUNT_MAX).saturating_add(1).min(COUNT_MAX) } else { 1 };
        slot.store(window << COUNT_BITS | count, Ordering::Relaxed);
        count >= HOT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_several_times_within_one_window_is_hot() {
        let heat = Heat::new();
        let noted: Vec<bool> = (0..6).map(|nth| heat.note(0x1000, 100_000 + nth)).collect();
        assert_eq!(noted, [false, false, false, true, true, true]);
        assert!(!heat.note(0x1000, 160_000), "another window");
        assert!((0..1000).all(|_| !heat.note(0x1000, 200_000) || heat.note(0x1000, 200_000)));
    }

    #[test]
    fn what_is_used_now_and_then_never_is() {
        let heat = Heat::new();
        // 2000 keys, each a few times a second: no slot of the table sees four in one window.
        for turn in 0..100_u64 {
            let hot = (0..2000).filter(|key| heat.note(0x7f00_0000_0000 + key * 320, turn * WINDOW_US)).count();
            assert_eq!(hot, 0, "{turn}");
        }
    }
}
