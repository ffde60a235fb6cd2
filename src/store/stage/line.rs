//! A line of an import before it is sorted. It is compact, because a million lines are in memory at
//! a time.

use std::io::BufRead;

use super::super::schema::{self, FeedEntry};
use crate::model::{EntryText, FeedPath, ReasonId, Subject, Time};

/// A line without its time, which is that of the import.
pub(super) struct Line {
    pub(super) subject: Subject,
    /// The text, followed by the note.
    text_and_note: Box<str>,
    /// The length of the text in these bytes.
    text_bytes: u16,
    /// The path of the entry; `None` for [`FeedPath::Own`], which most lines have.
    path: Option<Box<FeedPath>>,
    reason: ReasonId,
    flags: u8,
}

const EXCLUSION: u8 = 1;
const IMPLIED: u8 = 1 << 1;
const HAS_TEXT: u8 = 1 << 2;
const HAS_NOTE: u8 = 1 << 3;

impl Line {
    pub(super) fn new(subject: Subject, entry: FeedEntry) -> Line {
        let FeedEntry {
            reason,
            exclusion,
            implied,
            text,
            note,
            ..
        } = entry;
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(exclusion, EXCLUSION)
            | flag(implied, IMPLIED)
            | flag(text.is_some(), HAS_TEXT)
            | flag(note.is_some(), HAS_NOTE);
        let EntryText { text, path } = text;
        let text = text.unwrap_or_default();
        // Readers truncate texts to far less than this.
        let text_bytes = text.floor_char_boundary(usize::from(u16::MAX));
        let text = if text_bytes < text.len() {
            text[..text_bytes].into()
        } else {
            text
        };
        let text_and_note = match note {
            None => text,
            Some(note) => [&*text, &*note].concat().into(),
        };
        let path = (path != FeedPath::Own).then(|| Box::new(path));
        Line {
            subject,
            text_and_note,
            text_bytes: text_bytes as u16,
            path,
            reason,
            flags,
        }
    }

    fn has(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }

    /// The entry of the line in an import at the time `since`.
    pub(super) fn entry(&self, since: Time) -> FeedEntry {
        let (text, note) = self.text_and_note.split_at(usize::from(self.text_bytes));
        FeedEntry {
            reason: self.reason,
            exclusion: self.has(EXCLUSION),
            implied: self.has(IMPLIED),
            since,
            text: EntryText {
                text: self.has(HAS_TEXT).then(|| text.into()),
                path: self.path.as_deref().cloned().unwrap_or(FeedPath::Own),
            },
            note: self.has(HAS_NOTE).then(|| note.into()),
        }
    }

    /// Writes the line as in a run: the lengths of the key and of the row in two bytes each, the
    /// key, and the row.
    pub(super) fn write(&self, since: Time, out: &mut Vec<u8>) {
        out.clear();
        out.extend([0; 4]);
        self.subject.write_key(out);
        let key = (out.len() - 4) as u16;
        schema::write_feed(&[self.entry(since)], out);
        let row = (out.len() - 4) as u16 - key;
        out[..2].copy_from_slice(&key.to_be_bytes());
        out[2..4].copy_from_slice(&row.to_be_bytes());
    }
}

/// The next line of a run; `None` at its end.
pub(super) fn read_line(file: &mut impl BufRead) -> std::io::Result<Option<(Subject, FeedEntry)>> {
    if file.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut head = [0; 4];
    file.read_exact(&mut head)?;
    let [key, row] =
        [[head[0], head[1]], [head[2], head[3]]].map(|b| usize::from(u16::from_be_bytes(b)));
    let mut buf = vec![0; key + row];
    file.read_exact(&mut buf)?;
    let line = Subject::from_key(&buf[..key])
        .zip(schema::read_feed(&buf[key..]).and_then(|mut row| row.pop()));
    line.map(Some)
        .ok_or_else(|| std::io::Error::other("a temporary file of the import cannot be read back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_a_run_reads_back() {
        let since = Time(1_800_000_000);
        let mut run = Vec::new();
        let entry = |text: Option<&str>, note: Option<&str>| FeedEntry {
            reason: ReasonId(3),
            exclusion: false,
            implied: true,
            since,
            text: text.into(),
            note: note.map(Into::into),
        };
        let lines = [
            ("45.1.1.1", entry(None, None)),
            ("2001:db8::/32", entry(Some("see $"), None)),
            ("*.bad.example", entry(None, Some("SBL1"))),
            ("bad.example", entry(Some("a"), Some("b"))),
        ];
        for (subject, entry) in &lines {
            let line = Line::new(subject.parse().unwrap(), entry.clone());
            assert_eq!(line.entry(since), *entry);
            let mut buf = Vec::new();
            line.write(since, &mut buf);
            run.extend(buf);
        }
        let mut file = &run[..];
        for (subject, entry) in lines {
            assert_eq!(
                read_line(&mut file).unwrap(),
                Some((subject.parse().unwrap(), entry))
            );
        }
        assert_eq!(read_line(&mut file).unwrap(), None);
        assert!(
            size_of::<Line>() <= 80,
            "{} bytes a line",
            size_of::<Line>()
        );
    }
}
