//! Where the tip of the cluster is, when its witnesses do not agree.

/// Slots of one epoch of a public cluster, about two days: a validator that calls itself healthy is no farther from the tip.
const EPOCH_SLOTS: u64 = 432_000;
/// Slots between an RPC and the others, or a validator that is well, that are worth a word: about three minutes.
const FAR_SLOTS: u64 = 500;

/// A slot that at least half of the witnesses have reached: no single one of several moves it far. `None`: no witness.
pub(super) fn agreed(witnesses: &[u64]) -> Option<u64> {
    let mut slots = witnesses.to_vec();
    slots.sort_unstable_by(|a, b| b.cmp(a));
    slots.get(slots.len() / 2).copied()
}

/// Leaves out what cannot be of the same cluster as a validator that calls itself healthy at this slot.
pub(super) fn plausible(witnesses: &[u64], healthy_at: Option<u64>) -> Vec<u64> {
    let is_plausible = |slot: &u64| healthy_at.is_none_or(|own| own.abs_diff(*slot) <= EPOCH_SLOTS);
    witnesses.iter().copied().filter(is_plausible).collect()
}

/// The slot that `told` is far from: that of the other witnesses, or of a validator that calls itself healthy where there is
/// no other.
pub(super) fn far_from(told: u64, witnesses: &[u64], healthy_at: Option<u64>) -> Option<u64> {
    let others = if witnesses.len() > 1 {
        agreed(&plausible(witnesses, healthy_at))
    } else {
        None
    };
    let reference = others.or(healthy_at)?;
    (reference.abs_diff(told) > FAR_SLOTS).then_some(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_does_not_move_the_tip() {
        let bogus = 400_000_000;
        for (witnesses, tip) in [
            (&[][..], None),
            (&[1_000], Some(1_000)),
            (&[1_000, bogus], Some(1_000)),
            (&[1_000, bogus, 1_001], Some(1_001)),
            (&[1_000, 3, 1_001], Some(1_000)),
            (&[bogus, 1_000, 1_002, 1_001], Some(1_001)),
        ] {
            assert_eq!(agreed(witnesses), tip, "{witnesses:?}");
        }
    }

    #[test]
    fn a_healthy_validator_is_not_an_epoch_away_from_its_cluster() {
        assert_eq!(plausible(&[400_000_000], Some(1_040)), [0; 0]);
        assert_eq!(plausible(&[400_000_000], None), [400_000_000]);
        assert_eq!(plausible(&[5_000], Some(1_040)), [5_000]);
    }

    #[test]
    fn who_disagrees_is_found_with_what_the_others_say() {
        let bogus = 400_000_000;
        assert_eq!(far_from(bogus, &[bogus, 1_000, 1_001], None), Some(1_001));
        assert_eq!(far_from(1_000, &[bogus, 1_000, 1_001], None), None);
        assert_eq!(far_from(bogus, &[bogus], Some(1_000)), Some(1_000));
        assert_eq!(far_from(bogus, &[bogus], None), None);
        assert_eq!(far_from(1_001, &[1_001], Some(1_000)), None);
    }
}
