//! Receives a zone transfer as fast as it arrives, and measures its duration: `drain ADDR ZONE
//! [SERIAL]`. With a serial, the transfer is an IXFR. Prints one line of JSON. With `--repeat`
//! instead of a serial, it transfers the zone again and again until it is killed, and prints a line
//! for each transfer.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, addr, zone, rest @ ..] = &args[..] else {
        return Err("drain ADDR ZONE [SERIAL]".into());
    };
    let repeat = rest.first().is_some_and(|s| s == "--repeat");
    let serial = rest.first().filter(|_| !repeat);
    let from = serial.map(|s| s.parse::<u32>()).transpose()?;
    let mut query = vec![
        0xdb,
        0x7f,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        u8::from(from.is_some()),
        0,
        0,
    ];
    for label in zone.trim_end_matches('.').split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, if from.is_some() { 251 } else { 252 }, 0, 1]);
    if let Some(serial) = from {
        query.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        query.extend(serial.to_be_bytes());
        query.extend([0; 16]);
    }
    loop {
        receive(addr, &query)?;
        if !repeat {
            return Ok(());
        }
    }
}

/// Receives one transfer, and prints its line.
fn receive(addr: &str, query: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let mut stream = TcpStream::connect(addr)?;
    // Else the kernel takes up to 32 MB from the server while this process is stopped.
    socket2::SockRef::from(&stream).set_recv_buffer_size(256 << 10)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat())?;
    let mut transfer = Transfer::default();
    let mut buffer = vec![0; 1 << 18];
    let (mut start, mut end) = (0, 0);
    while !transfer.is_complete() {
        if end - start >= 2 {
            let len = usize::from(u16::from_be_bytes([buffer[start], buffer[start + 1]]));
            if end - start >= 2 + len {
                transfer.add_message(&buffer[start + 2..start + 2 + len]);
                start += 2 + len;
                continue;
            }
        }
        if buffer.len() - start < 1 << 16 {
            buffer.copy_within(start..end, 0);
            (start, end) = (0, end - start);
        }
        match stream.read(&mut buffer[end..]) {
            Ok(n) if n > 0 => end += n,
            _ => break,
        }
    }
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    println!(
        "{{\"ms\": {ms:.3}, \"records\": {}, \"bytes\": {}, \"messages\": {}, \"complete\": {}}}",
        transfer.records,
        transfer.bytes,
        transfer.messages,
        transfer.is_complete()
    );
    Ok(())
}

/// The counts of a transfer, and what shows that it is complete.
#[derive(Default)]
struct Transfer {
    records: u64,
    bytes: u64,
    messages: u64,
    /// The serial of the first SOA.
    first_serial: Option<u32>,
    /// The number of SOA records with that serial.
    first_serial_count: u32,
    second_is_soa: bool,
    failed: bool,
}

impl Transfer {
    fn add_message(&mut self, m: &[u8]) {
        self.messages += 1;
        self.bytes += m.len() as u64;
        self.failed |= m[3] & 15 != 0;
        let mut at = 12;
        for _ in 0..u16::from_be_bytes([m[4], m[5]]) {
            at = skip(m, at) + 4;
        }
        for _ in 0..u16::from_be_bytes([m[6], m[7]]) {
            at = skip(m, at);
            let len = usize::from(u16::from_be_bytes([m[at + 8], m[at + 9]]));
            self.records += 1;
            if m[at..at + 2] == [0, 6] {
                let data = skip(m, skip(m, at + 10));
                let serial = u32::from_be_bytes([m[data], m[data + 1], m[data + 2], m[data + 3]]);
                self.second_is_soa |= self.records == 2;
                self.first_serial_count +=
                    u32::from(*self.first_serial.get_or_insert(serial) == serial);
            }
            at += 10 + len;
        }
    }

    /// Whether the transfer has ended. It ends with the SOA with which it began: in an AXFR that is
    /// the second SOA with this serial, in an IXFR with one difference the third.
    fn is_complete(&self) -> bool {
        self.failed || self.first_serial_count == if self.second_is_soa { 3 } else { 2 }
    }
}

/// Returns the position after a name.
fn skip(m: &[u8], mut at: usize) -> usize {
    loop {
        match m[at] {
            0 => return at + 1,
            n if n >= 0xc0 => return at + 2,
            n => at += usize::from(n) + 1,
        }
    }
}
