//! A private message bus that anybody on the machine may use, so that rights are the service's own.

use crate::support::wait::{PATIENCE, until, within};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// Whether a program can be run here.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

const CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
"#;

/// A running bus; it ends with the test.
pub struct Bus {
    folder: tempfile::TempDir,
    child: Child,
}

impl Bus {
    /// Starts one.
    pub fn start() -> Bus {
        let folder = tempfile::Builder::new().prefix("cloudcup-bus-").tempdir().unwrap();
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let socket = folder.path().join("bus");
        let config = CONFIG.replace("SOCKET", &socket.display().to_string());
        std::fs::write(folder.path().join("bus.conf"), config).unwrap();
        let child = run(&folder);
        let bus = Bus { folder, child };
        bus.await_socket();
        bus
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    fn await_socket(&self) {
        let socket = self.socket();
        until("the bus", || std::os::unix::net::UnixStream::connect(&socket).ok());
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket().display())
    }

    /// Ends it, as if it had crashed.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it at the same address.
    pub fn start_again(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        self.child = run(&self.folder);
        self.await_socket();
    }

    /// Waits until somebody (or nobody) has our name.
    #[track_caller]
    pub fn await_name(&self, owned: bool) {
        let word = if owned { "b true" } else { "b false" };
        let has = within(PATIENCE, || {
            let output = busctl(
                self,
                &[
                    "call",
                    "org.freedesktop.DBus",
                    "/org/freedesktop/DBus",
                    "org.freedesktop.DBus",
                    "NameHasOwner",
                    "s",
                    "org.cloudcup1",
                ],
            );
            String::from_utf8_lossy(&output.stdout).contains(word).then_some(())
        });
        assert!(has.is_some(), "the name is not owned: {word}");
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(folder: &tempfile::TempDir) -> Child {
    Command::new("dbus-daemon")
        .arg("--config-file")
        .arg(folder.path().join("bus.conf"))
        .args(["--nofork", "--nopidfile", "--nosyslog"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start dbus-daemon")
}

/// Runs busctl on this bus.
pub fn busctl(bus: &Bus, arguments: &[&str]) -> Output {
    Command::new("busctl")
        .arg(format!("--address={}", bus.address()))
        .arg("--no-pager")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("run busctl")
}
