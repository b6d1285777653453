//! The surfaces through which operators reach the master: bus, control socket, compat socket.
//!
//! A surface that can't be opened is told and left out: the traffic doesn't depend on it.

use super::bus::{self, Bus, Settings};
use super::compat::{self, Compat};
use super::options::Options;
use super::run::Master;
use crate::control::names;
use crate::sys::process;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The open surfaces; they close when this is dropped.
#[derive(Debug)]
pub struct Surfaces {
    _bus: Option<Bus>,
    _compat: Option<Compat>,
}

impl Surfaces {
    /// Opens what the command line and the surroundings ask for.
    pub fn open(master: &mut Master, control: PathBuf, managed: bool) -> Surfaces {
        let compat = master.options.compat_socket.clone();
        make_folder(&control);
        let mut with_socket = Settings::from_environment(Some(control));
        if !managed {
            // A program run from a shell is no service: it takes no name on a bus.
            with_socket.bus = None;
        }
        let opened = bus::start(&with_socket, master.door.clone(), master.hub.listen());
        let bus = opened.or_else(|error| {
            let path = with_socket.control.as_deref().unwrap_or(Path::new(""));
            tracing::warn!(%error, "cannot open the control socket {}", path.display());
            let without = Settings { control: None, ..with_socket.clone() };
            bus::start(&without, master.door.clone(), master.hub.listen())
        });
        if let Err(error) = &bus {
            tracing::error!(%error, "cannot open the control surface");
        }
        let compat = compat.and_then(|path| {
            let opened = compat::start(&path, with_socket.mode, master.door.clone());
            let why = |error: &_| {
                tracing::error!(%error, "cannot open the compatibility socket {}", path.display());
            };
            opened.inspect_err(why).ok()
        });
        Surfaces { _bus: bus.ok(), _compat: compat }
    }
}

/// Makes the folder of the control socket, for its owner only, where there is none.
fn make_folder(path: &Path) {
    if let Some(folder) = path.parent()
        && !folder.exists()
        && let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    {
        tracing::debug!(%error, "cannot make the folder {}", folder.display());
    }
}

/// Where the control socket goes.
pub fn control_path(options: &Options, managed: bool) -> PathBuf {
    if let Some(path) = &options.control {
        return path.clone();
    }
    let runtime = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match (runtime, user) {
        (Some(folder), _) => folder.join("control"),
        (None, _) if options.demo => std::env::temp_dir()
            .join(format!("cloudcup-demo-{}", std::process::id()))
            .join("control"),
        (None, Some(folder)) if !managed || process::effective_uid() != 0 => {
            folder.join(names::USER_CONTROL_SOCKET)
        }
        _ => PathBuf::from(names::SYSTEM_CONTROL_SOCKET),
    }
}
