//! The figures of a verdict's limits: its own, or shared by all verdicts that one slice pays for.

use std::{ops::Deref, sync::Arc};

use crate::ports::SubjectStanding;

/// One standing per limit, the key's first. Cheap to clone where they are shared.
#[derive(Debug, Clone)]
pub enum Standings {
    /// Of this verdict.
    Own(Vec<SubjectStanding>),
    /// As they stood when the tokens were taken ahead that this verdict has spent.
    Shared(Arc<Vec<SubjectStanding>>),
}

impl Default for Standings {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Deref for Standings {
    type Target = [SubjectStanding];

    fn deref(&self) -> &[SubjectStanding] {
        match self {
            Self::Own(standings) => standings,
            Self::Shared(standings) => standings,
        }
    }
}

impl From<Vec<SubjectStanding>> for Standings {
    fn from(standings: Vec<SubjectStanding>) -> Self {
        Self::Own(standings)
    }
}

impl PartialEq for Standings {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Standings {}

impl<'a> IntoIterator for &'a Standings {
    type Item = &'a SubjectStanding;
    type IntoIter = std::slice::Iter<'a, SubjectStanding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
