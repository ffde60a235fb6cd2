//! # orbsd: the map
//!
//! An authoritative DNS blocklist server that keeps evidence and history for what it lists. One
//! package, five layers; imports point up this list only.
//!
//! | layer | rooms | rule |
//! | --- | --- | --- |
//! | 1 words | [`model`], [`metrics`] | values and rules; no I/O, no clock |
//! | 2 protocol | [`index`], [`dns`], [`lists`], [`smtp`] | bytes in, values out; values in, bytes out; still no I/O |
//! | 3 memory | [`clock`], [`store`], [`ledger`], [`imports`], [`net`] | what outlives a request; `store` alone knows RocksDB, `clock` alone the time, and `net` knows what all listeners share |
//! | 4 doors | [`server`], [`http`], [`feeds`], [`exports`], [`webhooks`], [`mail`], [`resolver`], [`probe`], [`collect`], [`schedule`] | sockets and timers; doors do not import doors, but `schedule` opens `probe` |
//! | 5 whole | [`config`], [`daemon`], [`cli`] | composes; nobody below imports `config` |
//!
//! Two enforcers: layers 3 to 5 (but for the stored forms, [`store::schema`], which are only bytes)
//! are behind the feature `daemon`, so a pure layer that reaches for them does not compile without
//! it; and `tests/tidy.rs` reads the sources and holds the import table and lengths. `config`'s own
//! tests hold that every key is in `config.toml` with its default.
//!
//! ## How a query flows
//!
//! `server::udp` (or `tcp`, `tls`, `https`, `quic`) → [`dns::respond`] → `dns::query` (parsed once)
//! → [`index::ZoneSet::find`] (zone) → [`index::Asked`] (labels to octets, nibbles or a name) →
//! [`index::find`] (what stands there) → `dns::answer` (a value) → `dns::encode` (bytes). Nothing
//! is locked, allocated (but for a signature), logged or read from a clock.
//!
//! ## How a request flows
//!
//! `http::listen` ([`net::ConnectionLimiter`], a proxy's word, TLS) → [`http::access`] (a number, who
//! calls, whether he may: one table) → a handler of `http::routes` → [`ledger`] or [`store`] → a
//! typed shape, or a problem document (`http::error`). People, tokens, proposals and webhooks are a
//! [`ledger::Book`] that the writer changes and everybody reads.
//!
//! ## How a change flows
//!
//! `web` → [`ledger::Ledger::submit`] → the writer's turn: check → decide
//! ([`model::history::decide`]) → one synced batch ([`store::Store::commit`]) → apply
//! ([`index::Builder`]) → publish ([`index::Published`]) → receipt. The command line is a client of
//! the same API, through the daemon's socket or, where none runs, served for the time of the
//! command on the store itself.
//!
//! In the same batch go the line of the audit log, the receipt of a request that must not be done
//! twice, and the messages of the outbox ([`ledger::outbox`] → [`webhooks`], which sends by HTTP or
//! through [`mail`]). Before it, what was taken off goes to the log of removals
//! ([`ledger::removals`]), which a restored store is brought up to.
//!
//! The last step is to tell: [`ledger::Ledger::commits`] wakes [`server::notify`], which sends each
//! mirror a NOTIFY of the newest serial; [`server::Mirrors`] knows what each was told, asked for and
//! has.
//!
//! ## How a transfer flows
//!
//! A front → [`dns::respond`], which grants it ([`dns::transfer::decide`]: prefix, key or
//! certificate) → [`server::transfer::Transfers`] on a thread of its own:
//! * the whole zone: [`dns::transfer::axfr`] renders the snapshot into messages, a few chunks ahead
//!   of the mirror;
//! * what changed: [`store::Store::past`] reads where the changed subjects stood at the mirror's
//!   serial → the writer puts that into a copy of its tables ([`ledger::Ledger::past`]), which
//!   shares all else → [`mod@index::difference`] looks, only where subjects changed, at both
//!   renderings → [`dns::transfer::Difference`] keeps the records that differ, for the next mirrors
//!   too.
//!
//! Both exist in two faces: owner names for name servers, and under `_rows.` of the origin *rows*
//! ([`index::rows`]: a prefix is one record) for an orbsd that follows this one ([`feeds`], kind
//! `orbsd`). Rows use the machinery of transfers and not a way of their own because TSIG, TLS,
//! NOTIFY, IXFR and the check of every difference against what was there before come with it, any
//! name server can hand them on, and what is kept of them is resumed by serial.
//!
//! ## How an import flows
//!
//! [`lists::plain`] (unpacked, UTF-8) → [`lists::guess`] (the format, or a refusal by name) → a
//! reader in `format`, with [`lists::word`] for what an entry names → entries and a
//! [`lists::Report`] → [`store::stage`] (sorted, compared with what the source has) → *prepared*
//! on the import's own thread: the before-images of few rows, or, for many, rows ingested under a
//! generation that nobody names yet and a copy of the tables with them in it → handed to the writer
//! with the number of the commit it was prepared on → the writer looks again at what changed after
//! that commit, names the generation in one small batch, and puts the tables in place. So others
//! write and read on while it is made, and nothing of it is seen before it is whole.
//!
//! Between the comparison and the writing, [`ledger::guard`] decides whether the list may replace
//! the last one: it compares the extents that the stage has counted ([`store::extent`]) and the
//! shape of the list with those of the last accepted list, which the store keeps for each source.
//! An import that is refused there ends with exit code 3; a feed's list is held (`feeds::look`,
//! `feeds::held`, [`ledger::held`]) until a person decides or the feed has brought such lists for
//! long enough.
//!
//! ## How a feed flows
//!
//! [`feeds`] waits → [`feeds::wire`] asks → [`dns::incoming`] (messages to rows) → for a whole zone a
//! new copy of its records ([`store::copy`]), for a difference a net that is held against the copy
//! → [`lists::records`] (all rows to a list) or [`lists::patch`] (what a few rows change in it) →
//! an import like any other, in whose commit the serial and the copy stand. Files take the way of
//! `orbsd import`, by [`imports`].
//!
//! ## How a relay test flows
//!
//! `web` → [`ledger::desk::Desk::nominate`] (a job: held, deferred or queued) → [`schedule`] has a
//! turn → `Desk::begin` (messages of [`smtp::catalogue`] with tokens of [`smtp::token`], their rows
//! kept) → [`probe`] sends them ([`smtp::relay_test`]) → `Desk::finish` (outcomes; acceptance is no
//! verdict; for a claim [`model::control::row`]). What comes through: [`collect`]
//! ([`smtp::session`]) → `Desk::arrived` → [`model::probing::proves`] → one batch: the proof, the
//! job's outcome, and the listing, which [`model::history::proven`] lets the source `prober` make
//! on a delivery alone. `Desk::claim` and `Desk::tick` lead out again, by [`model::retest`].
//!
//! ## How a zone leaves as a file
//!
//! [`lists::write::Export`] streams a snapshot's zone; its first line names zone, serial and
//! format. It returns a [`lists::write::ExportReport`]: what the file leaves out or changes. `web`
//! sends both, [`exports`] keeps files current by the first line, and both replace files through
//! [`exports::replace`].
//!
//! ## How time passes
//!
//! [`clock::Clock`] gives trusted time ([`ledger::Ledger::now`]); nothing else reads the wall
//! clock, but for the few files that call [`clock::wall`]. The writer's tick ends what is due by
//! it: listings and sources first, exemptions and holds after them, published as one
//! (`ledger::expiry`).
//!
//! ## How a zone ends
//!
//! [`model::retire`] in its file; the writer's tick takes the configuration over again when its day
//! has come, and [`index::ZoneView::at`] then publishes no reason: an empty mask, so no rule of its
//! own could list anybody.
//!
//! ## Invariants
//!
//! * `model`, `index`, `dns` and `format` never see a socket, a file or the clock.
//! * Only `ledger` writes the store, and it answers after the change is published.
//! * A [`index::Snapshot`] never changes after it is published; a reader keeps the one it loaded,
//!   and the writer frees it.
//! * Names of a zone file never stand where a listing could be looked for; a zone below another
//!   one's origin is a delegation there.
//! * A failed commit poisons the ledger: no writes, answers go on, and the tail of the store
//!   decides what was true.
//! * The tables never lack a commit that the sequence number counts: they are whole before a batch
//!   makes anything true.
//! * What a source that follows a zone lists is what reading the copy of that zone's records gives,
//!   whichever way it came; a property test holds patches to that.
//! * A zone's rendering ([`index::render`]) and the answers ([`index::find`]) follow one set of
//!   rules (`index::space`); a property test holds the one to an RFC 4592 look-up in the other.
//! * A zone's old rendering with the difference applied is its new one, for any history and both
//!   faces; a property test holds IXFR to AXFR record for record.
//! * No replies of a host that refuses the tester alone release it; a property test tries all
//!   steps, codes and texts.
//! * No sequence of events lists a host for the source `prober` without a message that was sent to
//!   it after its last release and delivered; a property test tries.
//! * `unsafe` is in `server::udp` and `server::sys` alone.
//!
//! ## Where this differs from the first design, and why
//!
//! * A host's *exception* (a hole, an exemption, what is held down) is a run of length one in the
//!   covering table instead of a mark on the host: so a prefix can come and go without touching
//!   plain hosts, and what varies below a node is computed from one function of the address.
//! * IPv6 and domains share one trie over bytes (nibbles; reversed labels) whose nodes keep the
//!   facts and the compiled value; a prefix change recompiles its own sub-tree.
//! * A feed's rows lie apart from verdicts, under source and generation: an import of any size
//!   becomes true by naming the new generation. Small differences are committed row by row, with
//!   before-images in the journal; large ones are a barrier there.
//! * rbldnsd files keep the whole-value meaning of the longest match also when their values become
//!   several reasons: an entry is then an exception for the reasons it does not have, where
//!   something wider in the same source lists them.
//! * A source other than the operator, the prober and the trap is a feed from its first day: single
//!   listings under its name are refused, so that an import owns all that its source says.
//! * The end of a feed that was not refreshed is an event for each subject where they are few;
//!   where they are many it is one entry with the source, from which each subject's history tells
//!   it. It drops nothing, so it ends no hold.
//! * An image ahead of its store (a copy from an older day) makes all serials jump: mirrors may
//!   have seen them. Every jump is decided by [`model::serial::jump`].
//! * A zone that is not served loses its hash in the store, so that it comes back with another
//!   serial.
//! * A large import is acknowledged when its image is on disk, so that a start right after it is as
//!   quick as any.
//! * Nothing that overlaps 127.0.0.0/24 and nothing wider than /8 (IPv6 /19) can be listed,
//!   whatever is said: test points and the rule against apex wildcards need no special case then.
//! * The snapshot carries the TSIG keys, so that [`dns::respond`] stays one function of its
//!   arguments; only a signed query costs an allocation.
//! * A difference is read from two sets of tables, and not from before-images alone: whether a node
//!   needs a name depends on its neighbours, and both sides follow the one set of rules then.
//! * A removal that names no source holds the reason down for every source, until its time is over:
//!   a feed that has dropped the entry once and brings it back would otherwise undo what was
//!   granted. Only a removal of one source's word ends when that feed drops the entry. A hold on a
//!   subject without an entry keeps it out of what is wider.
//! * A large import keeps the rows that it replaced until the source's next import, so that it can
//!   be undone.
//! * What is kept of relay tests is JSON under one family (`ledger::desk`), and is decided on one
//!   at a time in front of the writer: the rows are few, long-lived and get new fields, and a
//!   decision reads several hosts' rows.
//! * Names for a test's forms come from DNS and from the evidence (`names` of a nomination), each
//!   only where it points at the target: a resolver may know better what an address is called
//!   (127/8), and an owner may take his PTR away.
//! * What a claim's test leads to is one table of rows ([`model::control`]): a refusal counts only
//!   against a control, for which the host's own postmaster is named and no message sent. A host
//!   that refuses the tester alone is *blocked*: listed until its own end, and tested again from
//!   another address. What our own stop cuts off is no try.
//! * A host that opted out does not claim: who lets nobody look cannot say that it is closed. On
//!   request are only claims that we did not test.
//! * An undo knows by the audit log which commits were taken back: verdicts that look alike can be
//!   another's word.
//! * `output` is listed once, after the notice; the sample zones `outputs` and `delayed-outputs`
//!   are two codes for it.
//! * A catalog answers queries only to those who may transfer it (RFC 9432 section 6).
//! * DoH and DoQ are hyper and quinn under our own limits, and not hickory-server: its version 0.26
//!   knows no GET, which RFC 8484 section 4.1 wants of every server, has no limit for each client
//!   and leaves no room for one, waits for one QUIC handshake before it takes the next, and answers
//!   with records. So every front sends the bytes of [`dns::respond`] as they are, and what is
//!   malformed is answered by the same rules everywhere.

pub mod metrics;
pub mod model;

pub mod dns;
pub mod index;
pub mod lists;
pub mod smtp;

#[cfg(feature = "daemon")]
pub mod clock;
#[cfg(feature = "daemon")]
pub mod exports;
#[cfg(feature = "daemon")]
pub mod imports;
#[cfg(feature = "daemon")]
pub mod ledger;
pub mod store;

#[cfg(feature = "daemon")]
pub mod api;
#[cfg(feature = "daemon")]
pub mod collect;
#[cfg(feature = "daemon")]
pub mod feeds;
#[cfg(feature = "daemon")]
pub mod http;
#[cfg(feature = "daemon")]
pub mod mail;
#[cfg(feature = "daemon")]
pub mod net;
#[cfg(feature = "daemon")]
pub mod probe;
#[cfg(feature = "daemon")]
pub mod resolver;
#[cfg(feature = "daemon")]
pub mod schedule;
#[cfg(feature = "daemon")]
pub mod server;
#[cfg(feature = "daemon")]
pub mod webhooks;

#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod daemon;
