//! The entries of a zone as subjects, for comparisons with other lists.

use std::io;

use super::{Export, names::names};
use crate::{
    index::prefix_cover::CoverMode,
    model::{Domain, Scope, Subject},
};

impl Export<'_> {
    /// Visits the listed subjects, and the names that are excluded from a wildcard above them. A
    /// name that is listed together with all names below it is one entry.
    ///
    /// # Errors
    ///
    /// The sink has failed.
    pub fn entries(
        &self,
        sink: &mut dyn FnMut(&Subject, bool) -> io::Result<()>,
    ) -> io::Result<()> {
        self.prefix_cover(
            CoverMode::Subjects,
            None,
            &mut |subject, items| match items.is_empty() {
                true => Ok(()),
                false => sink(subject, true),
            },
        )?;
        if self.view.spec.kind != crate::model::ZoneKind::Domain {
            return Ok(());
        }
        let mut last: Option<(Domain, bool)> = None;
        names(self, &mut |domain, items| {
            let listed = !items.is_empty();
            let joined = last.take_if(|(above, was_listed)| {
                *was_listed == listed
                    && (above.scope(), domain.scope()) == (Scope::Name, Scope::Below)
                    && above.name() == domain.name()
            });
            let next = match joined {
                Some((name, _)) => Domain::from_canonical(name.name(), Scope::Tree),
                None => domain.clone(),
            };
            match last.replace((next, listed)) {
                Some((domain, listed)) => sink(&Subject::Domain(domain), listed),
                None => Ok(()),
            }
        })?;
        match last {
            Some((domain, listed)) => sink(&Subject::Domain(domain), listed),
            None => Ok(()),
        }
    }
}
