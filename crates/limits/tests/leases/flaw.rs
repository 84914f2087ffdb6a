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
    /// A record goes when its buckets are full, though slices are out.
    ForgottenWithSlices,
    /// What slices that are over have held is computed under the figures that were changed since.
    HeldUnderNewFigures,
    /// A reset fills buckets though slices are out.
    ResetInFull,
    /// The wait is read off the buckets as though they were free.
    WaitOfBucketsAlone,
    /// Who is refused while the epoch of slices lies ahead leaves it there.
    StepBackNotNoted,
}

impl Flaw {
    pub(crate) const ALL: [Flaw; 13] = [
        Flaw::NoFloor,
        Flaw::FloorOnlyNow,
        Flaw::SettledTwice,
        Flaw::SettledAgain,
        Flaw::SpentAndSettled,
        Flaw::GoodFromAnswer,
        Flaw::OneEpoch,
        Flaw::ForgottenByStepBack,
        Flaw::ForgottenWithSlices,
        Flaw::HeldUnderNewFigures,
        Flaw::ResetInFull,
        Flaw::WaitOfBucketsAlone,
        Flaw::StepBackNotNoted,
    ];
}
