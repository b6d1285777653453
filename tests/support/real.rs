//! Real origins: nginx, Python and Node, each on a port of its own choosing, each optional: a machine
//! without one skips the tests that need it.

use super::wait::{self, PATIENCE};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running origin of somebody else's making.
pub struct Real {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// The path of a program, if this machine has it.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.map(|f| Path::new(f).join(name)).find(|p| p.is_file())
}

/// Echoes what it received as JSON: method, target, fields, length and sum of the body. Python's own.
const PYTHON: &str = r#"
import hashlib, json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return data
                data += self.rfile.read(size)
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self):
        body = self.body()
        seen = {"origin": "python", "method": self.command, "target": self.path,
                "fields": [[k, v] for k, v in self.headers.items()], "length": len(body),
                "sum": hashlib.sha256(body).hexdigest()}
        data = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer

server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// The same by Node's server, which answers in chunks.
const NODE: &str = r#"
const server = require("http").createServer((request, response) => {
  let length = 0;
  const sum = require("crypto").createHash("sha256");
  request.on("data", (part) => { length += part.length; sum.update(part); });
  request.on("end", () => {
    const fields = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2)
      fields.push([request.rawHeaders[i], request.rawHeaders[i + 1]]);
    response.setHeader("Content-Type", "application/json");
    response.write(JSON.stringify({ origin: "node", method: request.method,
      target: request.url, fields, length, sum: sum.digest("hex") }));
    response.end();
  });
});
server.keepAliveTimeout = 60000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

impl Real {
    /// Python's http.server, echoing; `None` without python3.
    pub fn python() -> Option<Real> {
        Real::script(&program("python3")?, "origin.py", PYTHON)
    }

    /// Node's http server, echoing; `None` without node.
    pub fn node() -> Option<Real> {
        Real::script(&program("node")?, "origin.js", NODE)
    }

    fn script(program: &Path, name: &str, text: &str) -> Option<Real> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(program);
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().expect("the origin prints its port");
        Some(Real { child, address: SocketAddr::from(([127, 0, 0, 1], port)), _folder: folder })
    }

    /// nginx, serving `files` (name and content) and answering `/echo` with what it received;
    /// `None` without nginx.
    pub fn nginx(files: &[(&str, &[u8])]) -> Option<Real> {
        let program = program("nginx")?;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        for (name, content) in files {
            std::fs::write(root.join(name), content).unwrap();
        }
        // nginx cannot tell which port it got, so it is given one that was free a moment ago; when
        // somebody else was quicker it says so by ending, and the next one is tried.
        for _ in 0..10 {
            let probe = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = probe.local_addr().unwrap();
            drop(probe);
            let config = folder.path().join("nginx.conf");
            std::fs::write(&config, nginx(folder.path(), address)).unwrap();
            let mut command = Command::new(&program);
            command.arg("-p").arg(folder.path()).arg("-c").arg(&config);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().ok()?;
            let up = wait::within(PATIENCE, || {
                if TcpStream::connect(address).is_ok() {
                    return Some(true);
                }
                child.try_wait().unwrap().map(|_| false)
            });
            if up == Some(true) {
                return Some(Real { child, address, _folder: folder });
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        None
    }
}

fn nginx(folder: &Path, address: SocketAddr) -> String {
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    format!(
        "{user}\ndaemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error;\n\
         events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n{temp}\
         client_max_body_size 0;\nserver {{ listen {address}; root {folder}/root;\n\
         location = /echo {{ default_type text/plain;\n\
         return 200 \"nginx $request_method $request_uri $http_host $http_x_forwarded_for\"; }}\n\
         }} }}\n",
        folder = folder.display(),
    )
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
