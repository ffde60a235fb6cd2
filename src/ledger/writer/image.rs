//! Writes the image of the tables, beside the work.

use std::sync::atomic::Ordering;

use super::Writer;

/// How often an image is written however little has changed, in ticks: what is trimmed from the
/// journal has to be in it.
const IMAGE_TICKS: u64 = 3600;

impl Writer {
    /// Writes an image of what is published, beside the work; then does `then`. `flush` empties the
    /// log too.
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
        let (store, tables, seq, imaged) = (
            self.store.clone(),
            self.builder.tables().clone(),
            self.seq,
            self.imaged.clone(),
        );
        self.image = Some(std::thread::spawn(move || {
            match store.write_image(&tables, seq) {
                Ok(()) => imaged.store(seq, Ordering::Relaxed),
                Err(e) => {
                    tracing::warn!(error = %e, "the image could not be written; the next start may have to read the store instead");
                }
            }
            if let Some(then) = then {
                then();
            }
            if flush && let Err(e) = store.flush() {
                tracing::warn!(error = %e, "the log could not be flushed");
            }
        }));
    }
}
