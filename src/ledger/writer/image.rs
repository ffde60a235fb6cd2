//! Writes the image of the tables, on a thread of its own.

use std::sync::atomic::Ordering;

use super::Writer;

/// The most ticks between two images if anything has changed. Only commits that are in the image
/// can be trimmed from the journal.
const IMAGE_TICKS: u64 = 3600;

impl Writer {
    /// Writes an image of the tables on a thread of its own, which then calls `then`. `flush` also
    /// empties the write-ahead log.
    pub(in crate::ledger) fn write_image(
        &mut self,
        flush: bool,
        then: Option<Box<dyn FnOnce() + Send>>,
    ) {
        if let Some(last) = self.image.take_if(|h| h.is_finished() || flush) {
            let _ = last.join();
        }
        if self.image.is_some() {
            return;
        }
        (self.since_image, self.next_image) = (0, self.ticks + IMAGE_TICKS);
        let (store, tables, derivations, seq, imaged) = (
            self.store.clone(),
            self.builder.tables().clone(),
            self.builder.derivations().clone(),
            self.seq,
            self.imaged.clone(),
        );
        let on_thread_start = self.on_thread_start;
        let write = move || {
            on_thread_start();
            match store.write_image(&tables, &derivations, seq) {
                Ok(()) => imaged.store(seq, Ordering::Relaxed),
                Err(e) => {
                    tracing::warn!(error = %e, "writing the image failed; the next start may have to read the store instead");
                }
            }
            if let Some(then) = then {
                then();
            }
            if flush && let Err(e) = store.flush() {
                tracing::warn!(error = %e, "flushing the write-ahead log failed");
            }
        };
        match std::thread::Builder::new()
            .name("image".into())
            .spawn(write)
        {
            Ok(thread) => self.image = Some(thread),
            Err(e) => {
                tracing::warn!(error = %e, "the thread that writes the image could not be started");
            }
        }
    }
}
