//! A zone of another server as the text of a master file, which is read while it is transferred.

use std::{
    fmt::Write as _,
    io::{self, Read},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use parking_lot::Mutex;

use super::wire::{Server, TransferSink};
use crate::{
    dns::incoming::{RecordChange, TransferQuery},
    lists::records::master_line,
};

/// The size of a piece of text, in bytes.
const PIECE: usize = 128 * 1024;
/// The most pieces that wait to be read.
const WAITING: usize = 8;

/// Receives the number of bytes of each message.
pub type OnBytes = Box<dyn FnMut(usize) + Send>;

/// The text of a zone while it is transferred. An end without the empty piece is an error.
pub struct ZoneText {
    rx: Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
    ended: bool,
    failure: Arc<Mutex<Option<String>>>,
}

impl ZoneText {
    /// Starts a thread that transfers the zone (AXFR). It ends with the transfer, or when the text
    /// is dropped, and returns why the transfer failed.
    pub fn start(server: Server, on_bytes: OnBytes) -> (ZoneText, JoinHandle<Result<(), String>>) {
        let (tx, rx) = sync_channel(WAITING);
        let failure = Arc::new(Mutex::new(None));
        let text = ZoneText {
            rx,
            piece: io::Cursor::default(),
            ended: false,
            failure: failure.clone(),
        };
        let thread = std::thread::spawn(move || {
            let mut lines = Lines {
                tx,
                text: String::with_capacity(2 * PIECE),
                on_bytes,
            };
            // The failure has to be there before the reader finds the end of the channel.
            lines
                .fetch(&server)
                .inspect_err(|why| *failure.lock() = Some(why.clone()))
        });
        (text, thread)
    }
}

/// Receives the records of a zone, and sends them as lines of a master file.
struct Lines {
    tx: SyncSender<Vec<u8>>,
    text: String,
    on_bytes: OnBytes,
}

impl Lines {
    /// Fetches the zone and sends its text in pieces; an empty piece is the end.
    fn fetch(&mut self, server: &Server) -> Result<(), String> {
        // Writing into a string cannot fail.
        let _ = write!(self.text, "$ORIGIN {}.\n$TTL 3600\n", server.zone);
        server
            .transfer(TransferQuery::Axfr, self)
            .map_err(|e| e.text())?;
        self.send()?;
        self.send() // the empty piece
    }

    fn send(&mut self) -> Result<(), String> {
        let piece = std::mem::take(&mut self.text).into_bytes();
        self.tx
            .send(piece)
            .map_err(|_| "the reader of the zone has ended".into())
    }
}

impl TransferSink for Lines {
    fn apex(&self) -> bool {
        true
    }
    fn bytes(&mut self, n: usize) -> Result<(), String> {
        (self.on_bytes)(n);
        Ok(())
    }
    fn change(&mut self, change: RecordChange) -> Result<(), String> {
        master_line(change.row, &mut self.text);
        match self.text.len() >= PIECE {
            true => self.send(),
            false => Ok(()),
        }
    }
}

impl Read for ZoneText {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.piece.read(buf)?;
        if n > 0 || self.ended || buf.is_empty() {
            return Ok(n);
        }
        let piece = self.rx.recv().map_err(|_| {
            let why = self.failure.lock().take();
            let why = why.unwrap_or_else(|| "the transfer did not come to its end".into());
            io::Error::new(io::ErrorKind::UnexpectedEof, why)
        })?;
        self.ended = piece.is_empty();
        self.piece = io::Cursor::new(piece);
        self.piece.read(buf)
    }
}
