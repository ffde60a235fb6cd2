//! Multipart bodies that attack their parser.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::Api;

const HEAD: &str = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"";

/// Sends an import in chunks of 16 KiB until the server stops reading. Returns the number of sent
/// bytes and the response.
fn send(api: &Api, first: &str, block: &[u8], blocks: usize, last: &str) -> (usize, String) {
    let mut s = TcpStream::connect(api.addr).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    s.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /v1/imports?source=xbl&reason=relay HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\ncontent-type: multipart/form-data; boundary=b\r\ntransfer-encoding: chunked\r\n\r\n",
        api.owner
    );
    s.write_all(head.as_bytes()).unwrap();
    let mut chunk = |data: &[u8]| -> bool {
        let framed = [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat();
        s.write_all(&framed).is_ok()
    };
    let mut sent = 0;
    let mut open = first.is_empty() || chunk(first.as_bytes());
    for _ in 0..blocks {
        open = open && chunk(block);
        sent += if open { block.len() } else { 0 };
    }
    if open && !last.is_empty() {
        chunk(last.as_bytes());
        let _ = s.write_all(b"0\r\n\r\n");
    }
    let mut answer = Vec::new();
    let _ = s.read_to_end(&mut answer);
    (sent, String::from_utf8_lossy(&answer).into_owned())
}

/// Returns the daemon's resident memory in bytes.
fn memory(api: &Api) -> usize {
    let id = api.daemon.as_ref().unwrap().0.id();
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = text.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

/// Once, the parser kept such a header in memory to its end, and searched it again for each block.
#[test]
fn part_header_without_an_end_is_refused_early() {
    let api = Api::new();
    let before = memory(&api);
    for first in [format!("{HEAD}x\"\r\nx: "), "no boundary".into()] {
        let (_, answer) = send(&api, &first, &[b'x'; 16 * 1024], 4096, "");
        assert!(
            answer.is_empty() || answer.contains("413") && answer.contains("16384 bytes"),
            "{answer}"
        );
    }
    let grown = memory(&api).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    // A client that sends no more gets the response.
    let (_, answer) = send(
        &api,
        &format!("{HEAD}x\"\r\nx: "),
        &[b'x'; 16 * 1024],
        5,
        "",
    );
    assert!(
        answer.contains(" 413 ") && answer.contains("/problems/content-too-large"),
        "{answer}"
    );
}

#[test]
fn number_and_names_of_parts_are_limited() {
    let api = Api::new();
    let name = "n".repeat(1 << 20);
    let (_, answer) = send(
        &api,
        HEAD,
        name.as_bytes(),
        1,
        "\"\r\n\r\n45.51.1.1\r\n--b--\r\n",
    );
    assert!(answer.contains(" 413 "), "the answer is lost: {answer}");
    let (_, answer) = send(
        &api,
        HEAD,
        &[b'n'; 256],
        1,
        "\"\r\n\r\n45.51.1.1\r\n--b--\r\n",
    );
    assert!(
        answer.contains(" 413 ") && answer.contains("255 bytes"),
        "{answer}"
    );
    let (_, answer) = send(
        &api,
        HEAD,
        &[b'n'; 255],
        1,
        "\"\r\n\r\n45.51.1.1\r\n--b--\r\n",
    );
    assert!(answer.contains(" 200 "), "{answer}");
    let part = format!("{HEAD}x\"\r\n\r\n45.51.1.1\r\n");
    let (_, answer) = send(&api, "", part.repeat(100).as_bytes(), 1, "--b--\r\n");
    assert!(answer.contains(" 200 "), "{answer}");
    let (_, answer) = send(&api, "", part.repeat(101).as_bytes(), 1, "--b--\r\n");
    assert!(
        answer.contains(" 413 ") && answer.contains("100 files"),
        "{answer}"
    );
}

/// The header of a part, its data and the next boundary arrive byte by byte or all at once.
#[test]
fn parts_are_parsed_however_their_bytes_are_divided() {
    let api = Api::new();
    let lines: String = (0..20_000)
        .map(|i| format!("45.52.{}.{}\n", i >> 8, i & 255))
        .collect();
    let body = format!("{HEAD}a\"\r\n\r\n{lines}\r\n{HEAD}b\"\r\n\r\n45.51.1.1\r\n--b--\r\n");
    let (_, answer) = send(&api, &body, b"", 0, " ");
    assert!(
        answer.contains(" 200 ") && answer.contains("\"taken\":20001"),
        "{answer}"
    );
    let small =
        format!("{HEAD}a\"\r\n\r\n45.51.1.2\n45.51.1.3\r\n{HEAD}b\"\r\n\r\n45.51.1.1\r\n--b--\r\n");
    let mut s = TcpStream::connect(api.addr).unwrap();
    s.set_nodelay(true).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /v1/imports?source=ybl&reason=relay HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n",
        api.owner,
        small.len()
    );
    s.write_all(head.as_bytes()).unwrap();
    for byte in small.bytes() {
        s.write_all(&[byte]).unwrap();
    }
    let mut answer = String::new();
    s.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains(" 200 ") && answer.contains("\"taken\":3"),
        "{answer}"
    );
}
