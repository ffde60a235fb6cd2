//! `echo PORT`: answers every datagram with a constant record, by recvmmsg and sendmmsg, without
//! parsing it. It measures the cost of the kernel alone.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{mem::zeroed, net::UdpSocket, os::fd::AsRawFd};

const BATCH: usize = 64;
const RECORD: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 0, 0, 2];

fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    for option in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
        let size: libc::c_int = 4 << 20;
        // SAFETY: the option's value is one int that lives until the call returns.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const size).cast(),
                4,
            )
        };
    }
    let mut buffers = vec![[0u8; 1344]; BATCH];
    // SAFETY: all zeros is a valid value of these plain C structures; every pointer below lives as
    // long as the loop.
    let (mut from, mut vectors, mut headers): (
        [libc::sockaddr_storage; BATCH],
        [libc::iovec; BATCH],
        [libc::mmsghdr; BATCH],
    ) = unsafe { (zeroed(), zeroed(), zeroed()) };
    loop {
        for i in 0..BATCH {
            vectors[i] = libc::iovec {
                iov_base: buffers[i].as_mut_ptr().cast(),
                iov_len: 1200,
            };
            let h = &mut headers[i].msg_hdr;
            h.msg_iov = &mut vectors[i];
            h.msg_iovlen = 1;
            h.msg_name = (&raw mut from[i]).cast();
            h.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
        }
        // SAFETY: as above.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        for i in 0..n.max(0) as usize {
            let len = headers[i].msg_len as usize;
            let b = &mut buffers[i];
            (b[2], b[3], b[7], b[11]) = (0x84, 0, 1, 0);
            b[len..len + 16].copy_from_slice(&RECORD);
            vectors[i].iov_len = len + 16;
        }
        let mut done = 0;
        while done < n.max(0) as usize {
            // SAFETY: as above.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers.as_mut_ptr().add(done),
                    n as u32 - done as u32,
                    0,
                )
            };
            done += sent.max(1) as usize;
        }
    }
}
