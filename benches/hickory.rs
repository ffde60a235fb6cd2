//! `hickory FOLDER PORT`: serves the zones of a folder over UDP by hickory-server's listener, with the
//! request handler of HTTP/3. `benches/compare.py` compares our own UDP workers with it.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use hickory_server::Server;
use orbsd::{
    config::Config,
    daemon,
    server::{ServerContext, http3::QueryHandler},
};

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap();
    let port: u16 = args.next().unwrap().parse().unwrap();
    std::env::set_current_dir(&folder).unwrap();
    let config = Config::load(Path::new("config.toml")).unwrap();
    let (ledger, _) = daemon::open_ledger(&config).unwrap();
    // One thread, because the orbsd of the comparison has one worker.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = orbsd::server::udp::bind(([127, 0, 0, 1], port).into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let handler = QueryHandler::new(ServerContext::new(&ledger, None), "hickory", None);
        let mut server = Server::new(handler);
        server.register_socket(tokio::net::UdpSocket::from_std(socket).unwrap());
        server.block_until_done().await.unwrap();
    });
}
