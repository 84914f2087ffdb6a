//! What the sections report their problems to.

use super::{entry, origin, schema::Schema};
use crate::{Mode, Problem, values::Endpoint};
use figment::Figment;

/// Collects what is wrong between settings that are right one by one.
pub(crate) struct Check<'a> {
    figment: &'a Figment,
    schema: &'a Schema,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(super) fn new(figment: &'a Figment, schema: &'a Schema, problems: &'a mut Vec<Problem>) -> Self {
        Self { figment, schema, problems }
    }

    /// Reports one setting; the first problem of a setting is enough.
    pub(crate) fn refuse(&mut self, setting: &str, what: impl Into<String>) {
        if !self.is_reported(setting) {
            self.problems.push(Problem { setting: setting.into(), origin: origin(self.figment, setting), what: what.into() });
        }
    }

    /// Reports a store's URL that is none, or that leads beyond this machine in plain text or to nobody knows whom.
    pub(crate) fn endpoint(&mut self, setting: &str, endpoint: Result<Endpoint, String>, way_out: &str) {
        let allowed = self.figment.extract_inner("allow_plaintext").unwrap_or(false);
        match endpoint {
            Err(what) => self.refuse(setting, what),
            Ok(Endpoint::Plain) if !allowed => {
                self.refuse(
                    setting,
                    format!("is plain text beyond loopback: {way_out}, or set allow_plaintext = true where the network is trusted"),
                );
            }
            Ok(Endpoint::Unverified) if !allowed => {
                let what = "does not check whose certificate a server beyond loopback shows";
                self.refuse(setting, format!("{what}: {way_out}, or set allow_plaintext = true where the network is trusted"));
            }
            Ok(Endpoint::Plain | Endpoint::Unverified | Endpoint::Private) => {}
        }
    }

    /// Reports every setting that somebody gave and that `mode` does not have.
    pub(crate) fn settings_of_other_mode(&mut self, mode: Mode) {
        if self.is_reported("mode") {
            return; // which mode was meant is not known
        }
        let why = format!("but mode is {:?} ({})", mode.as_str(), origin(self.figment, "mode"));
        let (figment, schema) = (self.figment, self.schema);
        for name in schema.defaults().map(|default| &default.name) {
            if let Some(theirs) = Mode::only_one_with(name).filter(|theirs| *theirs != mode)
                && origin(figment, name) != entry::DEFAULT
            {
                self.refuse(name, format!("is a setting of mode {:?}, {why}; set the mode or take this out", theirs.as_str()));
            }
        }
    }

    fn is_reported(&self, setting: &str) -> bool {
        self.problems.iter().any(|problem| problem.setting == setting)
    }
}
