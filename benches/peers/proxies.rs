//! The proxies under test: how each is configured and started, on a core of its own, and ended.
//! Peers are set as a careful operator would: upstream pools that stay, no access log unless the case
//! wants one, no temporary files, splicing where it helps.

use crate::net;
use crate::proc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a proxy shall be set.
#[derive(Clone, Copy)]
pub struct Setting {
    /// Access records to a file of JSON lines.
    pub log: bool,
    /// Worker processes (threads for HAProxy).
    pub workers: usize,
    /// Room for thousands of clients; pipes for splicing would not fit beside them.
    pub crowd: bool,
    /// Pin to core 0.
    pub pinned: bool,
}

/// A running proxy.
pub struct Proxy {
    /// Its name in the report.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

/// The names in the order of the report; the last is ours.
pub const NAMES: [&str; 3] = ["nginx", "haproxy", "cloudcup"];

/// A port that is free now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").port()
}

/// The program's path, if this machine has it.
pub fn program(name: &str) -> Option<PathBuf> {
    if name == "cloudcup" {
        return Some(PathBuf::from(env!("CARGO_BIN_EXE_cloudcup")));
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    folders.map(|f| Path::new(f).join(name)).find(|p| p.is_file())
}

impl Proxy {
    /// Starts the proxy called `name` before `backend`, with its files in `folder`.
    pub fn start(name: &'static str, setting: Setting, backend: u16, folder: &Path) -> Proxy {
        let program = program(name).expect("looked for before");
        let folder = folder.join(name);
        fs::create_dir_all(&folder).expect("folder");
        let port = free_port();
        let mut command = Command::new(program);
        let text = match name {
            "nginx" => nginx(setting, port, backend, &folder),
            "haproxy" => haproxy(setting, port, backend),
            _ => cloudcup(setting, port, backend, &folder),
        };
        let file = folder.join("config");
        fs::write(&file, text).expect("configuration");
        match name {
            "nginx" => command.arg("-p").arg(&folder).arg("-c").arg(&file),
            "haproxy" => command.arg("-db").arg("-f").arg(&file),
            _ => command
                .arg("--config")
                .arg(&file)
                .arg("--control")
                .arg(folder.join("control"))
                .args(["--log-target", "stderr", "--log-level", "warn"]),
        };
        let out = File::create(folder.join("out")).expect("output");
        let err = File::create(folder.join("err")).expect("output");
        if setting.pinned {
            // The child inherits it; the driver itself has nothing to do while a case runs.
            net::pin(0);
        }
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("start");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut proxy = Proxy { name, address, child };
        proxy.await_answer(&folder);
        proxy
    }

    fn await_answer(&mut self, folder: &Path) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if crate::ask_once(self.address).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
            {
                return;
            }
            let gone = self.child.try_wait().ok().flatten();
            if gone.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(folder.join("err")).unwrap_or_default();
                panic!("{} does not serve ({gone:?}):\n{said}", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its processes.
    pub fn pids(&self) -> Vec<u32> {
        proc::tree(self.child.id())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let pids = self.pids();
        let ours = Pid::from_raw(self.child.id() as i32);
        let _ = kill(ours, Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline && !matches!(self.child.try_wait(), Ok(Some(_))) {
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in pids {
            // Only what is still the process that was started: a number may have a new bearer.
            if proc::command(pid).contains(self.name) {
                let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
            }
        }
        let _ = self.child.wait();
    }
}

fn nginx(setting: Setting, port: u16, backend: u16, folder: &Path) -> String {
    let log = if setting.log {
        let path = folder.join("access.log");
        format!(
            "log_format json escape=json '{{\"t\":$msec,\"client\":\"$remote_addr\",\
             \"method\":\"$request_method\",\"host\":\"$host\",\"path\":\"$request_uri\",\
             \"status\":$status,\"bytes\":$body_bytes_sent,\"duration\":$request_time,\
             \"upstream\":\"$upstream_addr\",\"upstream_time\":\"$upstream_response_time\"}}';\n\
             access_log {} json buffer=64k flush=1s;",
            path.display()
        )
    } else {
        "access_log off;".to_string()
    };
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "{user}\nworker_processes {workers};\ndaemon off;\npid {folder}/pid;\nerror_log {folder}/err crit;\n\
         worker_rlimit_nofile 20000;\nevents {{ worker_connections 19000; }}\nhttp {{\n{log}\n\
         keepalive_requests 1000000000;\nkeepalive_timeout 1h;\nclient_body_buffer_size 128k;\n\
         client_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/f;\nuwsgi_temp_path {folder}/u;\nscgi_temp_path {folder}/s;\n\
         upstream b {{ server 127.0.0.1:{backend}; keepalive 512; keepalive_requests 1000000000; }}\n\
         server {{ listen 127.0.0.1:{port} reuseport backlog=4096; location / {{\n\
         proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;\n\
         proxy_max_temp_file_size 0; }} }}\n}}\n",
        workers = setting.workers,
        folder = folder.display(),
    )
}

fn haproxy(setting: Setting, port: u16, backend: u16) -> String {
    let log = if setting.log {
        "log stdout format raw local0\n log-format '{\"t\":%Ts.%ms,\"client\":\"%ci\",\
         \"method\":\"%HM\",\"path\":\"%HU\",\"status\":%ST,\"bytes\":%B,\"duration\":%Ta,\
         \"upstream\":\"%s\",\"connect\":%Tc,\"upstream_time\":%Tr}'"
    } else {
        ""
    };
    let (most, splice) = if setting.crowd { (9500, "") } else { (2000, "option splice-auto") };
    format!(
        "global\n nbthread {threads}\n maxconn {most}\ndefaults\n mode http\n timeout client 1h\n \
         timeout server 1h\n timeout connect 5s\n timeout http-keep-alive 1h\n http-reuse always\n \
         {splice}\n option forwardfor\n {log}\nfrontend f\n \
         bind 127.0.0.1:{port} backlog 4096\n \
         default_backend b\nbackend b\n server s 127.0.0.1:{backend} pool-max-conn 1000\n",
        threads = setting.workers,
    )
}

fn cloudcup(setting: Setting, port: u16, backend: u16, folder: &Path) -> String {
    let access = match setting.log {
        true => format!("file:{}", folder.join("access.log").display()),
        false => "off".to_string(),
    };
    format!(
        "{{ \"version\": 1,\n \"listeners\": {{ \"http\": {{ \"address\": \"127.0.0.1:{port}\" }} }},\n \
         \"routes\": {{ \"*\": {{ \"backends\": [ {{ \"address\": \"127.0.0.1:{backend}\" }} ] }} }},\n \
         \"timeouts\": {{ \"idle\": \"1h\" }},\n \
         \"log\": {{ \"access\": \"{access}\" }}, \"workers\": {{ \"count\": {} }} }}\n",
        setting.workers
    )
}
