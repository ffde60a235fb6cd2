//! TEMPORARY: Knot as primary
use std::{fs, net::SocketAddr, process::{Child, Command, Stdio}};
use super::servers::{program, SECRET};
use crate::lab::{Folder, free_port};
pub struct Standin { pub addr: SocketAddr, dir: tempfile::TempDir, child: Option<Child> }
impl Drop for Standin { fn drop(&mut self) { if let Some(mut c) = self.child.take() { let _ = c.kill(); let _ = c.wait(); } } }
impl Standin {
    pub fn new() -> Standin { Standin { addr: ([127,0,0,1], free_port()).into(), dir: tempfile::tempdir().unwrap(), child: None } }
    pub fn load(&mut self, f: &Folder, zones: &[&str], mirrors: &[SocketAddr]) {
        let d = self.dir.path();
        for z in zones { f.ok(&["export", z, "--format", "master", "--output", d.join(format!("{z}.zone")).to_str().unwrap()]); }
        if self.child.is_none() {
            let mut c = format!("server:\n  rundir: {0}\n  listen: 127.0.0.1@{1}\n  udp-workers: 1\n  tcp-workers: 1\nlog:\n  - target: stderr\n    any: info\ncontrol:\n  listen: {0}/sock\ndatabase:\n  storage: {0}\n  journal-db-max-size: 200M\nkey:\n  - id: mirror\n    algorithm: hmac-sha256\n    secret: {SECRET}\nremote:\n", d.display(), self.addr.port());
            for (i, m) in mirrors.iter().enumerate() { c += &format!("  - id: m{i}\n    address: 127.0.0.1@{}\n    key: mirror\n", m.port()); }
            let list = (0..mirrors.len()).map(|i| format!("m{i}")).collect::<Vec<_>>().join(",");
            c += &format!("acl:\n  - id: t\n    address: 127.0.0.1\n    action: transfer\n  - id: k\n    key: mirror\n    action: transfer\ntemplate:\n  - id: default\n    storage: {}\n    zonefile-load: difference\n    journal-content: changes\n    zonefile-sync: -1\n    semantic-checks: off\n    acl: [t,k]\n    notify: [{list}]\nzone:\n", d.display());
            for z in zones { c += &format!("  - domain: {z}\n    file: {z}.zone\n"); }
            fs::write(d.join("knot.conf"), c).unwrap();
            let log = fs::File::create(d.join("log")).unwrap();
            self.child = Some(program("knotd").arg("-c").arg(d.join("knot.conf")).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        } else {
            let out: std::process::Output = program("knotc").arg("-s").arg(d.join("sock")).args(["-b", "zone-reload"]).output().unwrap();
            if !out.status.success() { eprintln!("knotc: {}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)); }
        }
        for z in zones {
            let want = super::wire::serial(f.addr(), z);
            let mut n = 0;
            while super::wire::serial(self.addr, z) != want { n += 1; if n > 500 { panic!("{z} {want:?} {:?}: {}", super::wire::serial(self.addr, z), fs::read_to_string(d.join("log")).unwrap()) } std::thread::sleep(std::time::Duration::from_millis(20)); }
        }
        let _ = Command::new("true");
    }
}
