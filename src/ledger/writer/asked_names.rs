//! Turns stored names by which clients ask for addresses into these addresses, where a domain zone
//! publishes addresses besides names. Earlier versions stored `7.100.51.45` from a `dnset` as a
//! name; a zone with `addresses` has 45.51.100.7 there, and no names of digits.
//!
//! An entry of a name keeps its reason, its source, its text and its end. Entries whose reason is
//! not published by such a zone stay as they are.

use std::collections::HashMap;

use super::Writer;
use crate::{
    ledger::{error::LedgerError, receipt::Receipt, transaction::Transaction},
    model::{
        Domain, Entry, SourceId, Subject, Verdict, ZoneAddresses, event::EventKind,
        special::unlistable, subject::tag,
    },
    store::{
        Batch,
        configured::{TurnedZones, put_turned_zones},
        schema::{self, FeedEntry},
        stage::{ChangedRow, ROW_COMMIT_MAX},
    },
};

/// The author of the events.
const AUTHOR: &str = "operator";
/// How many names are logged that cannot be turned.
const MAX_EXAMPLES: usize = 5;

/// The names that were turned, and those that were not.
#[derive(Debug, Default)]
pub(in crate::ledger) struct TurnedNames {
    /// How many listings are those of addresses now.
    pub(in crate::ledger) turned: usize,
    /// Names that are listed and stay names, each with the cause.
    pub(in crate::ledger) kept: Vec<(Subject, String)>,
    /// The last commit, and the serials after it.
    pub(in crate::ledger) receipt: Receipt,
}

impl Writer {
    /// Turns names as [`Writer::turn_asked_names`] does, unless the zones are those of the last turn
    /// and it has left no name: then there is nothing to turn, because intake lists no such names,
    /// and the store is not searched.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written. What is committed by then stays.
    pub(in crate::ledger) fn turn_asked_names_once(&mut self) -> Result<TurnedNames, LedgerError> {
        let dictionary = self.store.dictionary();
        let all = self
            .zones
            .all()
            .iter()
            .filter(|z| !z.spec.addresses.is_none());
        let zones: TurnedZones = all
            .map(|z| {
                let names = z.spec.publish.iter().flat_map(|p| p.reasons());
                let reasons = names.filter_map(|name| dictionary.reasons.get(name));
                let has_ip6 = z.spec.addresses == ZoneAddresses::Both;
                (z.name.to_string(), (has_ip6, reasons.collect()))
            })
            .collect();
        let stored = self.store.turned_zones()?;
        if stored.as_ref() == Some(&zones) || stored.is_none() && zones.is_empty() {
            return Ok(TurnedNames::default());
        }
        let out = self.turn_asked_names()?;
        let turned = Some(&zones).filter(|_| out.kept.is_empty());
        if turned != stored.as_ref() {
            let mut batch = Batch::default();
            put_turned_zones(&mut batch, turned);
            self.commit_batch(batch)?;
        }
        Ok(out)
    }

    /// Turns names into the addresses for which clients ask by them, and logs what it cannot turn.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written. What is committed by then stays.
    pub(in crate::ledger) fn turn_asked_names(&mut self) -> Result<TurnedNames, LedgerError> {
        let mut out = TurnedNames::default();
        let zones = self.zones.all().iter();
        let addresses = zones.fold(ZoneAddresses::None, |all, z| all.or(z.spec.addresses));
        let letters = "abcdef".chars().map(String::from);
        let tops = (0..=u8::MAX).map(|o| o.to_string()).chain(letters);
        for top in tops.filter(|top| addresses.is_label(top.as_bytes())) {
            for names in self.names_below(&top)?.chunks(ROW_COMMIT_MAX) {
                self.turn(names, &mut out)?;
            }
        }
        if out.turned > 0 {
            let listings = out.turned;
            tracing::info!(
                listings,
                "turned listed names by which clients ask for addresses into these addresses"
            );
        }
        if !out.kept.is_empty() {
            let first = out.kept.iter().take(MAX_EXAMPLES);
            let first: Vec<String> = first.map(|(name, why)| format!("{name}: {why}")).collect();
            tracing::warn!(
                names = out.kept.len(),
                first = first.join("; "),
                "listed names of digits are not published by the zones with `addresses`; list the addresses instead, and delist the names"
            );
        }
        Ok(out)
    }

    /// The names at and below a label next to the root, with their verdicts.
    fn names_below(&self, top: &str) -> Result<Vec<(Domain, Verdict)>, LedgerError> {
        let prefix = [&[tag::DOMAIN], top.as_bytes(), &[0]].concat();
        let mut out = Vec::new();
        self.store.scan_range(
            &self.store.dictionary(),
            &prefix,
            &schema::after(&prefix),
            &mut |subject, verdict| {
                if let Subject::Domain(domain) = subject {
                    out.push((domain, verdict));
                }
                Ok(true)
            },
        )?;
        Ok(out)
    }

    /// Turns names in one commit.
    fn turn(
        &mut self,
        names: &[(Domain, Verdict)],
        out: &mut TurnedNames,
    ) -> Result<(), LedgerError> {
        let mut turn = Turn {
            writer: self,
            transaction: Transaction::new(self.clock.now()),
            rows: HashMap::new(),
            out,
        };
        names.iter().try_for_each(|(name, v)| turn.name(name, v))?;
        let Turn {
            mut transaction,
            rows,
            out,
            ..
        } = turn;
        let dictionary = self.store.dictionary();
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        for ((source, subject), (old, new)) in rows {
            let record = &dictionary.records[usize::from(source.0)];
            let row = ChangedRow { subject, old, new };
            let of = (source, record.generation);
            transaction.feed_row(&self.store, of, AUTHOR, row, false)?;
        }
        if !transaction.is_empty() {
            let receipt = self.commit_changes(&mut transaction)?;
            out.receipt.commit = receipt.commit;
            out.receipt.serials.extend(receipt.serials);
        }
        Ok(())
    }
}

/// The row of a source before and after.
type Row = (Vec<FeedEntry>, Vec<FeedEntry>);

/// One commit of the turn.
struct Turn<'w, 'o> {
    writer: &'w Writer,
    transaction: Transaction,
    /// The changed rows of feeds.
    rows: HashMap<(SourceId, Subject), Row>,
    out: &'o mut TurnedNames,
}

impl Turn<'_, '_> {
    /// Turns the entries of a name.
    fn name(&mut self, domain: &Domain, verdict: &Verdict) -> Result<(), LedgerError> {
        let subject = Subject::Domain(domain.clone());
        let top = domain.name().rsplit('.').next().unwrap_or_default();
        let mut why = None;
        for e in &verdict.entries {
            let addresses = self.writer.zones.domain_addresses(e.reason);
            if !addresses.is_label(top.as_bytes()) {
                continue;
            }
            match self.target(addresses, domain, verdict) {
                Ok(address) => self.entry(&subject, &address, e)?,
                Err(cause) if !e.exclusion => why = Some(cause),
                Err(_) => {}
            }
        }
        self.out.kept.extend(why.map(|why| (subject, why)));
        Ok(())
    }

    /// The address that takes the entries of a name; the error says why there is none.
    fn target(
        &self,
        addresses: ZoneAddresses,
        domain: &Domain,
        verdict: &Verdict,
    ) -> Result<Subject, String> {
        let Some(address) = addresses.asked_subject(domain) else {
            return Err("no client asks for an address by this name".into());
        };
        // They would suppress the address in other zones too, so an operator decides.
        if verdict.exempt.is_some() || !verdict.holds.is_empty() {
            return Err(format!("it is exempt or held; decide about {address}"));
        }
        match unlistable(&address, &self.writer.settings.special) {
            Some(why) => Err(format!("{address} cannot be listed: {why}")),
            None => Ok(address),
        }
    }

    /// Gives an entry to an address, unless the source has one for the same reason there.
    fn entry(&mut self, name: &Subject, address: &Subject, e: &Entry) -> Result<(), LedgerError> {
        self.out.turned += usize::from(!e.exclusion);
        let (reason, source) = (e.reason, e.source);
        if source.is_feed() {
            let (_, new) = self.row(source, name)?;
            let at = new.iter().position(|f| f.reason == reason);
            let entry = at.map(|at| new.remove(at));
            let (_, there) = self.row(source, address)?;
            if !there.iter().any(|f| f.reason == reason) {
                there.extend(entry);
            }
            return Ok(());
        }
        let store = &self.writer.store;
        let now = self.writer.clock.now();
        let dropped = EventKind::Dropped { reason, source };
        self.transaction
            .apply_event(store, name, AUTHOR, dropped, now)?;
        let listed = EventKind::Listed {
            reason,
            source,
            until: e.until,
            exclusion: e.exclusion,
            text: e.text.clone(),
        };
        if self
            .transaction
            .present(store, address)?
            .entry(reason, source)
            .is_none()
        {
            self.transaction
                .apply_event(store, address, AUTHOR, listed, now)?;
        }
        Ok(())
    }

    /// The row of a source for a subject, after the changes so far.
    fn row(&mut self, source: SourceId, subject: &Subject) -> Result<&mut Row, LedgerError> {
        let key = (source, subject.clone());
        if !self.rows.contains_key(&key) {
            let store = &self.writer.store;
            let generation = store.dictionary().records[usize::from(source.0)].generation;
            let entries = store.feed_row(source, generation, subject)?;
            self.rows.insert(key.clone(), (entries.clone(), entries));
        }
        self.rows.get_mut(&key).ok_or(LedgerError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{
            Import, LedgerSettings, ReasonSettings,
            tests::{Bench, DAY, RELAY, commit},
        },
        model::{Change, Time, Zone, history::Command, time::Seconds},
    };

    fn numeric(name: &str) -> Subject {
        Subject::Domain(Domain::parse_any(name).unwrap())
    }

    /// A domain zone with further keys, whose name is that of the bench's zone.
    fn configure(b: &Bench, extra: &str) -> crate::ledger::Receipt {
        let text = format!(
            "origin = 'bl.orbs.example'\nkind = 'domain'\nns = ['ns1.orbs.example']\ncontact = 'h@orbs.example'\n\
             publish = [{{ reason = 'relay', code = '127.0.0.2' }}]\n{extra}"
        );
        let zone: Zone = toml::from_str(&text).unwrap();
        let relay = ReasonSettings {
            name: "relay".into(),
            text: "x".into(),
            lifetime: Some(Seconds(90 * DAY)),
            two_persons: false,
        };
        let settings = LedgerSettings {
            reasons: vec![relay],
            zones: vec![zone],
            ..LedgerSettings::default()
        };
        b.ledger().configure(settings).unwrap()
    }

    fn list(b: &Bench, name: &str, days: u64) {
        let command = Command::List {
            reason: RELAY,
            source: SourceId::OPERATOR,
            until: Some(b.ledger().now().plus(Seconds(days * DAY))),
            text: "own".into(),
        };
        commit(b.ledger(), Change::new(numeric(name), "anna", command)).unwrap();
    }

    fn import(b: &Bench, names: &[&str]) -> SourceId {
        let source = b.ledger().source("old").unwrap();
        let entry = |exclusion| FeedEntry {
            reason: RELAY,
            exclusion,
            implied: false,
            since: Time(0),
            text: Default::default(),
            note: Some("from a dnset".into()),
        };
        let mut import = Import::replace(source);
        let imported = b.ledger().import_with(&mut import, |_, sink| {
            names.iter().try_for_each(|n| match n.strip_prefix('!') {
                Some(n) => sink(numeric(n), entry(true)),
                None => sink(numeric(n), entry(false)),
            })
        });
        assert!(imported.is_ok(), "{imported:?}");
        source
    }

    #[test]
    fn stored_names_become_the_addresses_that_clients_ask_for() {
        let b = Bench::new();
        configure(&b, "");
        list(&b, "7.100.51.45", 30);
        let feed = ["9.100.51.45", "*.101.51.45", "!4.101.51.45", "bad.example"];
        let source = import(&b, &feed);
        assert!(b.listed("45.51.100.7") && b.listed("45.51.100.9"));
        let receipt = configure(&b, "addresses = true");
        for (address, listed) in [
            ("45.51.100.7", true),
            ("45.51.100.8", false),
            ("45.51.100.9", true),
            ("45.51.101.3", true),
            ("45.51.101.4", false),
            ("example.bad", true), // labels from the left
        ] {
            assert_eq!(b.listed(address), listed, "{address}");
        }
        let serial = b.ledger().published.snapshot().serials[0];
        assert_eq!(receipt.serials["bl.orbs.example"], serial);
        let store = &b.ledger().store;
        for name in ["7.100.51.45", "9.100.51.45", "*.101.51.45", "4.101.51.45"] {
            assert!(store.verdict(&numeric(name)).unwrap().is_empty(), "{name}");
        }
        let own = store.verdict(&"45.51.100.7".parse().unwrap()).unwrap();
        let entry = own.entry(RELAY, SourceId::OPERATOR).unwrap();
        let end = b.ledger().now().plus(Seconds(30 * DAY));
        assert_eq!(
            (entry.until, entry.text.text.as_deref()),
            (Some(end), Some("own"))
        );
        let generation = store.dictionary().records[usize::from(source.0)].generation;
        let row = store.feed_row(source, generation, &"45.51.100.9".parse().unwrap());
        assert_eq!(row.unwrap()[0].note.as_deref(), Some("from a dnset"));
        // There is nothing left to turn.
        let again = b.ledger().call(Writer::turn_asked_names).unwrap();
        assert_eq!((again.turned, again.kept), (0, vec![]));
    }

    #[test]
    fn names_that_are_exempt_or_not_addresses_stay_names() {
        let b = Bench::new();
        configure(&b, "");
        for name in ["7.100.51.45", "1.2.3.10", "5.51.45", "bad.example"] {
            list(&b, name, 30);
        }
        let exempt = Command::Exempt { until: None };
        let change = Change::new(numeric("7.100.51.45"), "anna", exempt);
        commit(b.ledger(), change).unwrap();
        configure(&b, "addresses = true");
        let kept = b.ledger().call(Writer::turn_asked_names).unwrap().kept;
        let kept: Vec<String> = kept
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        assert_eq!(kept.len(), 3, "{kept:?}");
        for (name, part) in [
            ("7.100.51.45", "exempt"),
            ("1.2.3.10", "special-purpose"),
            ("5.51.45", "no client asks"),
        ] {
            assert!(
                kept.iter().any(|k| k.starts_with(name) && k.contains(part)),
                "{kept:?}"
            );
        }
        assert!(!b.listed("45.51.100.7") && !b.listed("10.3.2.1"));
    }

    #[test]
    fn start_turns_names_and_zones_without_addresses_keep_them() {
        let b = Bench::new();
        configure(&b, "");
        list(&b, "7.100.51.45", 30);
        let turned = b.ledger().call(Writer::turn_asked_names).unwrap();
        assert_eq!((turned.turned, turned.kept), (0, vec![]));
        assert!(b.listed("45.51.100.7"));
    }

    #[test]
    fn zones_whose_names_were_all_turned_are_not_searched_again() {
        let b = Bench::new();
        configure(&b, "");
        list(&b, "7.100.51.45", 30);
        let turned = |b: &Bench| b.ledger().store.turned_zones().unwrap();
        assert_eq!(turned(&b), None);
        configure(&b, "addresses = true");
        assert_eq!(turned(&b).unwrap().len(), 1);
        let again = b.ledger().call(Writer::turn_asked_names_once).unwrap();
        assert_eq!(again.turned, 0);
        // Without addresses, names of digits can be listed, and are turned by the next zone.
        configure(&b, "");
        assert_eq!(turned(&b), Some(Default::default()));
        list(&b, "8.100.51.45", 30);
        configure(&b, "addresses = true");
        assert!(b.listed("45.51.100.8"));
        // A name that stays a name is reported at every start.
        configure(&b, "");
        list(&b, "1.2.3.10", 30);
        configure(&b, "addresses = true");
        assert_eq!(turned(&b), None);
    }
}
