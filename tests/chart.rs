//! The chart of `deploy/helm`: rendered by helm, held against the rules of Kubernetes' own types, against what
//! a hardened pod is, and against what the binary says of its settings.
//!
//! There is no cluster here: what is proved is that the manifests are what was meant, not that a cluster runs them.

mod fitting;
mod hardened;
mod program;
mod rendered;
mod settings;
