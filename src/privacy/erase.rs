//! Erases what may be erased about a person, on request and again after a restore.

use std::collections::BTreeMap;

use super::{
    report::{Failure, PersonalData, netblock_failure, relay_failure, ticket_failure},
    search::{Person, PersonalSubject},
};
use crate::{
    ledger::{AccountChange, LedgerError},
    model::Event,
};

/// How much was erased, by kind.
pub type ErasedCounts = BTreeMap<&'static str, u64>;

impl PersonalData {
    /// Erases what may be erased. Returns how much, by kind; a new report shows what stays. The
    /// erasure is repeated if an older backup is restored. Erasures run one at a time, and one that
    /// did not complete is repeated before the next. May block.
    ///
    /// # Errors
    ///
    /// The file of erasures cannot be written, the store cannot be read, or the ledger refuses a
    /// commit; the erasure can be repeated.
    pub fn erase(&self, who: &PersonalSubject) -> Result<ErasedCounts, Failure> {
        let _running = self.erasures.begin();
        self.repeat_unknown().map_err(|why| {
            LedgerError::Conflict(format!(
                "an earlier erasure may be incomplete, and cannot be repeated: {why}; nothing was erased, correct this and repeat it"
            ))
        })?;
        let known = self.tickets.last_erasure().map_err(ticket_failure)?;
        let number = self.erasures.add(who.text(), known, self.ledger.now());
        let number = number.map_err(|why| {
            LedgerError::Conflict(format!(
                "{why}; nothing was erased, correct this and repeat it"
            ))
        })?;
        let mut erased = self.erase_named(who)?;
        // The sample is in memory alone, so that no restore brings it back.
        if let Some(subject) = who.subject().filter(|s| s.is_address()) {
            let queried = self.query_sample.forget(subject);
            if queried > 0 {
                erased.insert("queried-addresses", queried);
            }
        }
        let recorded = self.tickets.set_last_erasure(number);
        recorded.map_err(ticket_failure)?;
        Ok(erased)
    }

    /// Repeats the erasures that the store does not know because it is an older one, or because the
    /// daemon stopped meanwhile. May block.
    ///
    /// # Errors
    ///
    /// The file of erasures or the store cannot be read, or the ledger refuses a commit; the text
    /// is for operators.
    pub fn repeat_erasures(&self) -> Result<ErasedCounts, String> {
        let _running = self.erasures.begin();
        self.repeat_unknown()
    }

    /// Repeats the erasures that the store does not know, while no other erasure runs.
    fn repeat_unknown(&self) -> Result<ErasedCounts, String> {
        let text = |e: Failure| {
            let path = self.erasures.path().display();
            let why = e.text(&self.ledger.store.dictionary());
            format!("the erasures of {path} cannot be carried out on the store: {why}")
        };
        let known = self.tickets.last_erasure();
        let known = known.map_err(|e| text(ticket_failure(e)))?;
        let Some((names, last)) = self.erasures.after(known)? else {
            return Ok(ErasedCounts::new());
        };
        let erased = self.erase_named(&names).map_err(text)?;
        let recorded = self.tickets.set_last_erasure(last);
        recorded.map_err(|e| text(ticket_failure(e)))?;
        let rows: u64 = erased.values().sum();
        tracing::warn!(
            rows,
            "repeated erasures on request that the store did not have"
        );
        Ok(erased)
    }

    fn erase_named(&self, who: &dyn Person) -> Result<ErasedCounts, Failure> {
        let mut erased = ErasedCounts::new();
        let mut count = |kind, n: u64| {
            if n > 0 {
                *erased.entry(kind).or_default() += n;
            }
        };
        let now = self.ledger.now();
        self.visit_tickets(who, &mut |ticket| {
            let done = self.tickets.erase(ticket.number, now);
            done.map_err(ticket_failure)?;
            count("tickets", 1);
            Ok(())
        })?;
        let named = |text: &str| who.is_named_by(text);
        let mails = self.tickets.erase_mail(&named).map_err(ticket_failure)?;
        count("ticket-mail", mails);
        let mut notes = Vec::new();
        self.ledger
            .store
            .visit_events(&mut |key, _, event: Event| {
                if event.evidence.is_some_and(|note| named(&note.text)) {
                    notes.push(key.to_vec());
                }
            })?;
        count("listings", self.ledger.erase_event_notes(notes)?);
        let mut notes = Vec::new();
        self.ledger.store.audit_from(0, &mut |number, record| {
            if record.note.is_some_and(|note| named(&note)) {
                notes.push(number);
            }
            true
        })?;
        count("audit-records", self.ledger.erase_audit_notes(notes)?);
        let texts = self.relay.erase_texts(&named);
        count("relay-evidence", texts.map_err(relay_failure)?);
        let texts = self.netblocks.erase_texts(&named);
        count("netblocks", texts.map_err(netblock_failure)?);
        let accounts = self.ledger.accounts();
        let imports = accounts.imports.iter();
        for (id, _) in imports.filter(|(_, (_, report))| named(report)) {
            let change = AccountChange::DeleteImport(id.clone());
            self.ledger.change_accounts_blocking(change, None)?;
            count("import-reports", 1);
        }
        let proposals = accounts.proposals.all().into_iter().filter(|p| {
            let note = p.change.evidence.as_ref();
            note.is_some_and(|note| named(&note.text))
        });
        let proposals: Vec<String> = proposals.map(|p| p.id.clone()).collect();
        if !proposals.is_empty() {
            count("proposals", proposals.len() as u64);
            let change = AccountChange::DeleteProposals(proposals);
            self.ledger.change_accounts_blocking(change, None)?;
        }
        let names = self.reverse_names.erase(&|addr, name| {
            who.is_subject(&crate::model::Subject::host(addr)) || name.is_some_and(&named)
        });
        count("reverse-names", names);
        Ok(erased)
    }
}
