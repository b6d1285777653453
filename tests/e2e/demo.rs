//! `cloudcup --demo`, as somebody sees it who has never met the program.

use crate::support::client::get;
use crate::support::wait::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// The running demo; ended with the test.
struct Demo {
    child: Child,
    words: String,
}

impl Demo {
    fn start() -> Demo {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cloudcup"))
            .args(["--demo", "--log-target", "stderr"])
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start cloudcup");
        let mut words = Vec::new();
        let mut out = child.stdout.take().expect("a pipe");
        let mut byte = [0];
        while !words.ends_with(b"Ctrl-C stops it.") && out.read(&mut byte).expect("words") == 1 {
            words.push(byte[0]);
        }
        Demo { child, words: String::from_utf8(words).expect("UTF-8") }
    }

    /// The word behind the first occurrence of `mark`, up to a space.
    fn after(&self, mark: &str) -> &str {
        let (_, rest) = self.words.split_once(mark).expect(mark);
        rest.split_whitespace().next().expect("a word")
    }

    fn address(&self) -> SocketAddr {
        self.after("demo: http://").parse().expect("an address")
    }

    fn cupctl(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_cupctl"))
            .args(["--address", self.after("--address ")])
            .args(arguments)
            .output()
            .expect("run cupctl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT);
        let _ = self.child.wait();
    }
}

#[test]
fn it_shows_balancing_failover_and_an_orderly_end() {
    let mut demo = Demo::start();
    let address = demo.address();
    assert!(address.ip().is_loopback());
    let answers: Vec<String> = (0..6).map(|_| get(address, "/").text().to_string()).collect();
    for name in ["green", "blue"] {
        assert!(answers.iter().any(|text| text.contains(name)), "{answers:?}");
    }
    assert_eq!(get(address, "/teapot").status(), 418);
    assert_eq!(get(address, "/old/").field("location"), Some("/green/"));
    assert!(demo.cupctl(&["show", "backends"]).contains("up"));
    assert!(demo.cupctl(&["why", "/green/"]).contains("/green/*"));
    let green = demo.after("kill ").parse().expect("a process");
    kill(Pid::from_raw(green), Signal::SIGKILL).unwrap();
    until("the end of green", || {
        crate::support::proxy::state(green as u32).is_none_or(|s| s == 'Z').then_some(())
    });
    for _ in 0..10 {
        assert!(get(address, "/").text().contains("blue"), "every request goes to blue");
    }
    kill(Pid::from_raw(demo.child.id() as i32), Signal::SIGINT).unwrap();
    let status = until("the end", || demo.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(std::net::TcpStream::connect(address).is_err());
}
