//! Changes of users, tokens, webhooks and what else is kept by name.

use std::sync::Arc;

use super::Writer;
use crate::{
    ledger::{
        accounts::{Book, Keep, PERSON, PROPOSAL, TOKEN, USED, WEBHOOK},
        error::Refused,
        names::{NameOwner, check_free},
    },
    store::{Batch, schema},
};

impl Writer {
    /// The part of [`Writer::keep`] that is about proposals.
    fn keep_of_proposals(
        &self,
        keep: Keep,
        book: &mut Book,
        batch: &mut Batch,
    ) -> Result<(), Refused> {
        let key = |id: &str| format!("{PROPOSAL}{id}").into_bytes();
        match keep {
            Keep::Proposal(p) => {
                // Of two requests at the same time, the later replaces the earlier.
                if let Some(earlier) = book
                    .proposals
                    .same(&p.change)
                    .map(|e| e.id.clone())
                    .filter(|id| *id != p.id)
                {
                    batch.delete(schema::PEOPLE, key(&earlier));
                    book.proposals.remove(&earlier);
                }
                book.proposals.check(&p, self.settings.proposals)?;
                batch.put(schema::PEOPLE, key(&p.id), schema::encode(&p));
                book.proposals.add(p, true);
            }
            Keep::ReturnedProposal(p) => {
                batch.put(schema::PEOPLE, key(&p.id), schema::encode(&p));
                book.proposals.add(p, false);
            }
            Keep::NoProposals(ids) => {
                for id in ids {
                    batch.delete(schema::PEOPLE, key(&id));
                    if !book.proposals.remove(&id) {
                        return Err(Refused::Unknown(format!(
                            "there is no proposal `{id}` (any more)"
                        )));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn keep(&mut self, keep: Keep, line: Option<&schema::Audit>) -> Result<(), Refused> {
        line.map_or(Ok(()), |l| self.first(l))?;
        let mut book = Book::clone(&self.book.load());
        let mut batch = Batch::default();
        match keep {
            Keep::Person(was, p) => {
                if book.people.get(&p.name) != was.as_deref() {
                    return Err(Refused::Settings(format!(
                        "`{}` was changed meanwhile; look again",
                        p.name
                    )));
                }
                if was.is_none() {
                    check_free(&p.name, NameOwner::User, &book, &self.store.vocabulary())?;
                }
                batch.put(
                    schema::PEOPLE,
                    format!("{PERSON}{}", p.name).into_bytes(),
                    schema::encode(&p),
                );
                let owners = book.owners();
                book.people.insert_mut(p.name.clone(), p);
                if owners > 0 && book.owners() == 0 {
                    return Err(Refused::Settings(
                        "this is the last owner; make another one first".into(),
                    ));
                }
            }
            Keep::Token(t) => {
                // A token of an earlier store may have such a name, and is still revoked.
                if !t.person && !book.tokens.contains_key(&t.id) {
                    check_free(
                        &t.owner,
                        NameOwner::Program,
                        &book,
                        &self.store.vocabulary(),
                    )?;
                }
                batch.put(
                    schema::PEOPLE,
                    format!("{TOKEN}{}", t.id).into_bytes(),
                    schema::encode(&t),
                );
                book.tokens.insert_mut(t.id.clone(), t);
            }
            keep @ (Keep::Proposal(_) | Keep::ReturnedProposal(_) | Keep::NoProposals(_)) => {
                self.keep_of_proposals(keep, &mut book, &mut batch)?;
            }
            Keep::Webhook(h) => {
                batch.put(
                    schema::PEOPLE,
                    format!("{WEBHOOK}{}", h.id).into_bytes(),
                    schema::encode(&h),
                );
                book.webhooks.insert_mut(h.id.clone(), h);
            }
            Keep::NoWebhook(id) => {
                batch.delete(schema::PEOPLE, format!("{WEBHOOK}{id}").into_bytes());
                let prefix = [id.as_bytes(), &[0]].concat();
                batch.delete_range(schema::OUTBOX, prefix.clone(), schema::after(&prefix));
                book.webhooks.remove_mut(&id);
            }
            Keep::Nothing => {}
            Keep::Used(id, at) => {
                batch.put(
                    schema::PEOPLE,
                    format!("{USED}{id}").into_bytes(),
                    schema::encode(&at),
                );
                book.used.insert_mut(id, at);
            }
            Keep::Import(id, at, told) => book.remember(id, at, told, &mut batch),
            Keep::Answer(once, status, body) => {
                batch.put(
                    schema::ONCE,
                    schema::answer_key(self.clock.now(), &once.key),
                    schema::encode(&(once.body, status, body)),
                );
            }
            keep @ (Keep::HeldList(_) | Keep::NoHeldList(_) | Keep::ShapeReset(_)) => {
                self.keep_of_feed(keep, &mut book, &mut batch)?;
            }
        }
        if let Some(once) = line.and_then(|l| l.once) {
            let made = schema::Made {
                body: once.body,
                ..schema::Made::default()
            };
            batch.put(
                schema::ONCE,
                schema::once_key(self.clock.now(), &once.key),
                schema::encode(&made),
            );
        }
        line.into_iter().for_each(|l| {
            batch.put(
                schema::AUDIT,
                (self.audited + 1).to_be_bytes().to_vec(),
                schema::encode(l),
            );
        });
        self.commit_batch(batch)?;
        self.audited += u64::from(line.is_some());
        self.queues.retain(|id, _| book.webhooks.contains_key(id));
        self.report_queues();
        self.book.store(Arc::new(book));
        Ok(())
    }
}
