//! What could be wrong with the protocol: each of these is put in, and must be found.

/// One thing done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing: the protocol as it is.
    None,
    /// Buckets fill up behind outstanding slices.
    NoFloor,
    /// A slice that drops out, or is handed back, takes its floor along at once, as though the bucket
    /// had been free to fill up behind it.
    FloorOnlyNow,
    /// What is handed back arrives twice.
    SettledTwice,
    /// What is handed back is sent again where no answer came.
    SettledAgain,
    /// A slice is handed back, and spent all the same.
    SpentAndSettled,
    /// A slice is good from when its answer came.
    GoodFromAnswer,
    /// The store forgets slices an epoch early.
    OneEpoch,
    /// A clock that stepped back leaves slices that are counted by the epochs of before.
    ForgottenByStepBack,
}

impl Flaw {
    pub(crate) const ALL: [Flaw; 8] = [
        Flaw::NoFloor,
        Flaw::FloorOnlyNow,
        Flaw::SettledTwice,
        Flaw::SettledAgain,
        Flaw::SpentAndSettled,
        Flaw::GoodFromAnswer,
        Flaw::OneEpoch,
        Flaw::ForgottenByStepBack,
    ];
}
