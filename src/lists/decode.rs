//! Decodes a file to lines of UTF-8: unpacks it, and converts its encoding and its line ends.

use std::io::{self, BufRead, BufReader, Cursor, Read};

/// The byte order mark that some editors put before UTF-8.
pub(super) const BOM: &str = "\u{feff}";
/// How much of a file is read to recognise its format.
pub const MAX_HEAD: usize = 64 * 1024;
/// The most bytes of an unpacked file: ten times the largest known list.
pub const MAX_UNPACKED: u64 = 16 << 30;
/// The most memory for unpacking, in bytes: enough for xz and zstd at their usual levels.
const MAX_DICTIONARY: usize = 96 << 20;
/// The size of the read buffer.
const BUFFER_BYTES: usize = 1 << 17;

/// A compression: its name, the first bytes of its files, and its reader.
type Packing<'a> = (
    &'static str,
    &'static [u8],
    fn(Packed<'a>) -> Box<dyn Read + 'a>,
);

/// A compressed file.
type Packed<'a> = Box<dyn BufRead + 'a>;

/// The compressions that are unpacked.
fn packings<'a>() -> [Packing<'a>; 4] {
    const XZ_KIB: u32 = (MAX_DICTIONARY >> 10) as u32;
    [
        ("gzip", &[0x1f, 0x8b], |file| {
            Box::new(flate2::bufread::MultiGzDecoder::new(file))
        }),
        ("bzip2", b"BZh", |file| {
            Box::new(bzip2::bufread::MultiBzDecoder::new(file))
        }),
        ("xz", b"\xfd7zXZ\0", |file| {
            Box::new(lzma_rust2::XzReader::new_mem_limit(file, true, XZ_KIB))
        }),
        ("zstd", &[0x28, 0xb5, 0x2f, 0xfd], |packed| {
            Box::new(Frames {
                packed,
                frame: None,
            })
        }),
    ]
}

/// Decodes a file: unpacks gzip, bzip2, xz and zstd, converts UTF-16 to UTF-8, and carriage returns
/// alone to line feeds.
///
/// The first `fill_buf` of the returned reader gives up to [`MAX_HEAD`] bytes, or the whole file.
///
/// # Errors
///
/// The input cannot be read. If the file is truncated, damaged or larger than [`MAX_UNPACKED`], a
/// later read fails.
pub fn plain<'a>(input: Box<dyn Read + 'a>) -> io::Result<Box<dyn BufRead + 'a>> {
    let (start, rest) = head(input)?;
    let packing = packings()
        .into_iter()
        .find(|(_, magic, _)| start.starts_with(magic));
    let file = Cursor::new(start).chain(rest);
    let Some((name, _, open)) = packing else {
        return text(file);
    };
    let inner = open(Box::new(file));
    let (start, rest) = head(Box::new(LimitedReader {
        inner,
        left: MAX_UNPACKED,
        name,
    }))?;
    text(Cursor::new(start).chain(rest))
}

/// The first bytes of an input, up to the limit, and the rest of the input.
type Opened<'a> = (Vec<u8>, BufReader<Box<dyn Read + 'a>>);

fn head<'a>(mut input: Box<dyn Read + 'a>) -> io::Result<Opened<'a>> {
    let mut head = Vec::new();
    (&mut input).take(MAX_HEAD as u64).read_to_end(&mut head)?;
    Ok((head, BufReader::with_capacity(BUFFER_BYTES, input)))
}

/// UTF-8 with line feeds.
fn text<'a>(mut input: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let start = input.fill_buf()?;
    let Some(encoding) = utf16(start) else {
        return match start.contains(&b'\r') && !start.contains(&b'\n') {
            true => reopen(Returns { inner: input }),
            false => Ok(Box::new(input)),
        };
    };
    let decoder = encoding.new_decoder_with_bom_removal();
    let inner = Utf8Reader {
        inner: input,
        decoder,
        pending: Cursor::default(),
        ended: false,
    };
    reopen(Returns { inner })
}

/// A reader whose first `fill_buf` gives the head again.
fn reopen<'a>(input: impl Read + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
    let (head, rest) = head(Box::new(input))?;
    Ok(Box::new(Cursor::new(head).chain(rest)))
}

/// Whether bytes are UTF-16, by the byte order mark or by zeros in every second byte.
fn utf16(start: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    use encoding_rs::{UTF_16BE, UTF_16LE};
    match start {
        [0xff, 0xfe, ..] => return Some(UTF_16LE),
        [0xfe, 0xff, ..] => return Some(UTF_16BE),
        _ => {}
    }
    let pairs = start.get(..start.len().min(512) & !1).unwrap_or_default();
    if pairs.len() < 8 {
        return None;
    }
    let zeros = |odd: usize| {
        pairs
            .iter()
            .skip(odd)
            .step_by(2)
            .filter(|b| **b == 0)
            .count()
    };
    let (even, odd, half) = (zeros(0), zeros(1), pairs.len() / 2);
    match () {
        () if odd * 10 >= half * 9 && even == 0 => Some(UTF_16LE),
        () if even * 10 >= half * 9 && odd == 0 => Some(UTF_16BE),
        () => None,
    }
}

/// A reader that fails after [`MAX_UNPACKED`] bytes, and names the compression in errors.
struct LimitedReader<R> {
    inner: R,
    left: u64,
    /// How the file is packed.
    name: &'static str,
}

impl<R: Read> Read for LimitedReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf).map_err(|e| {
            let what = format!("the {} file is damaged or truncated: {e}", self.name);
            io::Error::new(e.kind(), what)
        })?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            io::Error::other(format!(
                "the file unpacks to more than {} GiB; split the list into several files",
                MAX_UNPACKED >> 30
            ))
        })?;
        Ok(n)
    }
}

/// The frames of a zstd file, one after the other.
struct Frames<R: BufRead> {
    packed: R,
    frame: Option<ruzstd::decoding::FrameDecoder>,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
        loop {
            if let Some(frame) = &mut self.frame {
                if !frame.is_finished() && frame.can_collect() < buf.len() {
                    let strategy = BlockDecodingStrategy::UptoBytes(buf.len());
                    frame
                        .decode_blocks(&mut self.packed, strategy)
                        .map_err(broken)?;
                }
                let n = frame.read(buf)?;
                if n > 0 || buf.is_empty() {
                    return Ok(n);
                }
                if !frame.is_finished() {
                    continue;
                }
                check_sum(frame)?;
            }
            if self.packed.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let mut next = FrameDecoder::new();
            next.set_max_window_size(MAX_DICTIONARY as u64);
            match next.init(&mut self.packed) {
                Ok(()) => self.frame = Some(next),
                Err(ruzstd::decoding::errors::FrameDecoderError::ReadFrameHeaderError(
                    ruzstd::decoding::errors::ReadFrameHeaderError::SkipFrame { length, .. },
                )) => {
                    let length = u64::from(length);
                    let mut skipped = (&mut self.packed).take(length);
                    if io::copy(&mut skipped, &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(broken(e)),
            }
        }
    }
}

fn check_sum(frame: &ruzstd::decoding::FrameDecoder) -> io::Result<()> {
    match (
        frame.get_checksum_from_data(),
        frame.get_calculated_checksum(),
    ) {
        (Some(stored), Some(computed)) if stored != computed => {
            Err(broken("its checksum is wrong"))
        }
        _ => Ok(()),
    }
}

fn broken(e: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e.to_string())
}

/// A reader that converts UTF-16 to UTF-8.
struct Utf8Reader<R> {
    inner: R,
    decoder: encoding_rs::Decoder,
    pending: Cursor<Vec<u8>>,
    ended: bool,
}

impl<R: BufRead> Read for Utf8Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.pending.fill_buf()?.is_empty() && !self.ended {
            let input = self.inner.fill_buf()?;
            self.ended = input.is_empty();
            let mut text = vec![0; input.len() * 3 + 16];
            let (_, read, written, _) = self.decoder.decode_to_utf8(input, &mut text, self.ended);
            text.truncate(written);
            self.pending = Cursor::new(text);
            self.inner.consume(read);
        }
        self.pending.read(buf)
    }
}

/// A reader that converts carriage returns to line feeds. A line that ends in both is followed by
/// an empty line, which readers skip.
struct Returns<R> {
    inner: R,
}

impl<R: Read> Read for Returns<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        buf[..n]
            .iter_mut()
            .filter(|b| **b == b'\r')
            .for_each(|b| *b = b'\n');
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut out = String::new();
        plain(Box::new(bytes))?
            .read_to_string(&mut out)
            .map(|_| out)
    }

    const TEXT: &str = "45.51.100.1\n45.51.100.2\nb\u{fc}cher.example\n";

    #[test]
    fn utf_16_is_read_with_and_without_its_mark() {
        let units: Vec<u16> = TEXT.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|u| u.to_be_bytes()).collect();
        for (mark, bytes) in [
            (&[][..], &little),
            (&[0xff, 0xfe], &little),
            (&[], &big),
            (&[0xfe, 0xff], &big),
        ] {
            assert_eq!(read(&[mark, bytes].concat()).unwrap(), TEXT);
        }
    }

    #[test]
    fn carriage_returns_alone_end_lines() {
        assert_eq!(
            read(b"45.51.100.1\r45.51.100.2\r").unwrap(),
            "45.51.100.1\n45.51.100.2\n"
        );
        assert_eq!(
            read(b"45.51.100.1\r\n45.51.100.2\r\n").unwrap(),
            "45.51.100.1\r\n45.51.100.2\r\n"
        );
    }

    #[test]
    fn packed_files_are_unpacked_and_truncated_ones_are_errors() {
        let long = TEXT.repeat(10_000);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        gz.write_all(long.as_bytes()).unwrap();
        let mut bz = bzip2::write::BzEncoder::new(Vec::new(), Default::default());
        bz.write_all(long.as_bytes()).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(
            long.as_bytes(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        for packed in [
            gz.finish().unwrap(),
            bz.finish().unwrap(),
            zstd.clone(),
            [&zstd[..], &zstd].concat(),
        ] {
            let text = read(&packed).unwrap();
            assert!(
                text == long || text == long.repeat(2),
                "{} bytes",
                text.len()
            );
            assert!(read(&packed[..packed.len() * 2 / 3]).is_err(), "truncated");
        }
    }

    #[test]
    fn first_buffer_is_the_head() {
        struct Slow<'a>(&'a [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let n = buf.len().min(self.0.len()).min(3);
                buf[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        let long = TEXT.repeat(5_000);
        let mut lines = plain(Box::new(Slow(long.as_bytes()))).unwrap();
        assert_eq!(lines.fill_buf().unwrap().len(), MAX_HEAD);
    }
}
