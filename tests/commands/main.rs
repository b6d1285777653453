//! Manual pages and completions are generated from the command lines' definitions and compared with
//! the files in the tree: UPDATE_GOLDEN=1 writes them anew.

use clap::{Arg, Command, CommandFactory};
use clap_complete::{Shell, generate};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[path = "../support/mod.rs"]
mod support;
use support::skip;

/// Sections that the definition doesn't hold, in roff.
struct Rest {
    section: &'static str,
    text: &'static str,
}

const CUPCTL: Rest = Rest {
    section: "1",
    text: r#".SH EXIT STATUS
0 done; 1 refused or failed, the reason is on standard error; 2 wrong use; 3 the service does not
answer; 4 not authorised.
.PP
\fBstatus\fR exits with 1 unless the service is fully well, \fBcheck\fR when a backend is unhealthy,
\fBvalidate\fR and \fBplan\fR when the document is not valid.
.SH RIGHTS
Root and members of the group \fBcloudcup\-admin\fR may do everything. Others are asked for by polkit,
on the system bus only: \fIorg.cloudcup1.inspect\fR for state and counters without addresses,
\fIorg.cloudcup1.manage\fR for the rest. The service's own user may \fBreload\fR and nothing more. A
service of a user obeys that user, and root.
.SH VALIDATE
\fBvalidate\fR asks the service that runs, so that its version decides. Where none answers, or the
caller may not ask, the same rules are applied by cupctl itself, which then says so; \fB\-\-offline\fR
does that from the start.
.SH EXAMPLES
.nf
cupctl status
cupctl validate site.json && cupctl plan site.json && cupctl apply site.json
cupctl why POST https://api.example.com/v1/users \-H 'X\-Beta: 1'
cupctl check \-r /about.html '/game/*'
cupctl show backends \-\-json | jq '.pools[].backends[] | select(.state == "down")'
cupctl events \-\-json
cupctl \-\-address unix:/run/cloudcup/control log\-level debug
.fi
.SH FILES
.TP
\fI/run/cloudcup/control\fR
The control socket: the same D\-Bus interface as on the bus, peer to peer.
.TP
\fI$XDG_RUNTIME_DIR/cloudcup/control\fR
That of a user's service.
.SH ENVIRONMENT
.TP
\fBPAGER\fR
The pager for long output on a terminal; \fBless\fR by default, \fBcat\fR for none.
.TP
\fBNO_COLOR\fR
No colour, even on a terminal.
.SH SEE ALSO
\fBcloudcup\fR(8), \fBcloudcup.json\fR(5), \fBbusctl\fR(1), \fBjournalctl\fR(1)
"#,
};

const CLOUDCUP: Rest = Rest {
    section: "8",
    text: r#".SH SOCKETS
Sockets that systemd passes belong to the listener of the configuration whose key is their
\fIFileDescriptorName=\fR; a listener without a passed socket binds its own address. A passed socket that
no listener names is closed, with a warning that tells the key to add.
.SH SIGNALS
.TP
\fBSIGHUP\fR
Read the configuration file again and apply it.
.TP
\fBSIGTERM\fR, \fBSIGINT\fR
Stop: take no new connections, finish what is under way within a deadline.
.TP
\fBSIGQUIT\fR
Stop at once.
.TP
\fBSIGUSR1\fR
Open log files anew.
.SH EXIT STATUS
0 done; 1 refused or failed; 2 wrong use.
.SH D\-BUS
\fIorg.cloudcup1\fR at \fI/org/cloudcup1\fR, on the system bus for a system service and on the user's bus
for a user's, and peer to peer at the control socket. The interface is in
\fI/usr/share/dbus\-1/interfaces/org.cloudcup1.xml\fR; \fBbusctl tree org.cloudcup1\fR shows the live proxy.
.SH FILES
.TP
\fI/etc/cloudcup/cloudcup.json\fR
The configuration.
.TP
\fI/run/cloudcup/control\fR
The control socket, of mode 0660 and the group \fBcloudcup\-admin\fR where there is one.
.TP
\fI/var/lib/cloudcup\fR
The history of accepted configurations.
.SH SEE ALSO
\fBcupctl\fR(1), \fBcloudcup.json\fR(5), \fBsystemd.socket\fR(5), \fBbusctl\fR(1)
"#,
};

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    let lines = text.lines().map(|line| {
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn synopsis(path: &str, command: &Command) -> String {
    let mut out = format!("\\fB{}\\fR", escape(path));
    let builtin = |arg: &Arg| ["help", "version"].contains(&arg.get_id().as_str());
    let own = |arg: &&Arg| !arg.is_hide_set() && !arg.is_global_set() && !arg.is_positional();
    if command.get_arguments().filter(own).any(|arg| !builtin(arg)) {
        out.push_str(" [\\fIOPTIONS\\fR]");
    }
    for arg in command.get_positionals() {
        let names = match arg.get_value_names() {
            Some(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            None => vec![arg.get_id().to_string()],
        };
        for (at, name) in names.iter().enumerate() {
            // Of several values only the last is required: [METHOD] URL.
            let optional = !arg.is_required_set() || at + 1 < names.len();
            let name = format!("\\fI{}\\fR", escape(name));
            let _ = if optional { write!(out, " [{name}]") } else { write!(out, " {name}") };
        }
    }
    out
}

fn option(out: &mut String, arg: &Arg) {
    let mut names = Vec::new();
    if let Some(short) = arg.get_short() {
        names.push(format!("\\fB\\-{short}\\fR"));
    }
    if let Some(long) = arg.get_long() {
        names.push(format!("\\fB\\-\\-{}\\fR", escape(long)));
    }
    let mut line = names.join(", ");
    if arg.get_action().takes_values() {
        for name in arg.get_value_names().unwrap_or_default() {
            let _ = write!(line, " \\fI{}\\fR", escape(name));
        }
        if arg.get_num_args().is_some_and(|range| range.max_values() > 1) {
            line.push_str("...");
        }
    }
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| match value.get_help() {
            Some(help) => format!("{} ({help})", value.get_name()),
            None => value.get_name().to_owned(),
        })
        .collect();
    if arg.get_action().takes_values() && !values.is_empty() {
        let _ = write!(help, ": {}", values.join(", "));
    }
    let defaults = arg.get_default_values();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        let _ = write!(help, " [default: {}]", defaults[0].to_string_lossy());
    }
    let _ = write!(out, ".TP\n{line}\n{}\n", escape(&help));
}

fn options(out: &mut String, command: &Command, global: bool) {
    let mine = |arg: &&Arg| !arg.is_hide_set() && arg.is_global_set() == global;
    for arg in command.get_positionals().filter(mine) {
        let Some(help) = arg.get_help() else { continue };
        let names = arg.get_value_names().unwrap_or_default();
        let names: Vec<String> = names.iter().map(|name| escape(name)).collect();
        let _ = write!(out, ".TP\n\\fI{}\\fR\n{}\n", names.join(" "), escape(&help.to_string()));
    }
    let mut all: Vec<&Arg> = command.get_opts().filter(mine).collect();
    let flags = |arg: &&Arg| !arg.get_action().takes_values() && !arg.is_positional();
    all.extend(command.get_arguments().filter(mine).filter(flags));
    for arg in all {
        if !["help", "version"].contains(&arg.get_id().as_str()) {
            option(out, arg);
        }
    }
}

fn verbs(out: &mut String, path: &str, command: &Command) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let path = format!("{path} {}", verb.get_name());
        if verb.has_subcommands() {
            verbs(out, &path, verb);
            continue;
        }
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = write!(out, ".SS {}\n{}.\n", synopsis(&path, verb), escape(&about));
        options(out, verb, false);
    }
}

/// The manual page of `command`, all of its verbs included.
fn page(mut command: Command, rest: &Rest) -> String {
    command.build();
    let name = command.get_name().to_owned();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let short = about.trim_start_matches("Cloud Cup: ").trim_end_matches('.');
    let mut out = format!(
        ".\\\" Generated from the definition of the command line; see tests/commands.\n\
         .TH {} {} \"\" \"Cloud Cup\"\n.SH NAME\n{name} \\- {}\n.SH SYNOPSIS\n",
        name.to_uppercase(),
        rest.section,
        escape(&short.to_lowercase().replace("cloud cup", "Cloud Cup").replace("http", "HTTP")),
    );
    if command.has_subcommands() {
        let _ = write!(out, "\\fB{name}\\fR [\\fIOPTIONS\\fR] \\fIVERB\\fR ...\n");
    } else {
        let _ = write!(out, "{}\n", synopsis(&name, &command));
    }
    let long = command.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
    let _ = write!(out, ".SH DESCRIPTION\n{}\n", escape(&long).replace("\n\n", "\n.PP\n"));
    out.push_str(".SH OPTIONS\n");
    options(&mut out, &command, false);
    options(&mut out, &command, true);
    out.push_str(".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nPrint help\n");
    out.push_str(".TP\n\\fB\\-V\\fR, \\fB\\-\\-version\\fR\nPrint the version\n");
    if command.has_subcommands() {
        out.push_str(".SH VERBS\n");
        verbs(&mut out, &name, &command);
    }
    out.push_str(rest.text);
    out
}

fn tree() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn compare(path: &Path, made: &str) {
    let path = tree().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(made == golden, "{} differs: UPDATE_GOLDEN=1 writes it anew", path.display());
}

fn completions(mut command: Command) {
    let name = command.get_name().to_owned();
    for (shell, file) in [
        (Shell::Bash, format!("{name}.bash")),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ] {
        let mut made = Vec::new();
        generate(shell, &mut command, name.as_str(), &mut made);
        let made = String::from_utf8(made).unwrap();
        compare(&Path::new("contrib/completions").join(file), &made);
    }
}

fn cupctl() -> Command {
    cloudcup::ctl::args::Cli::command()
}

fn service() -> Command {
    cloudcup::master::options::Options::command()
}

#[test]
fn the_manual_pages_are_the_definitions() {
    compare(Path::new("docs/man/cupctl.1"), &page(cupctl(), &CUPCTL));
    compare(Path::new("docs/man/cloudcup.8"), &page(service(), &CLOUDCUP));
}

#[test]
fn the_completions_are_the_definitions() {
    completions(cupctl());
    completions(service());
}

#[test]
fn manual_pages_render_without_complaint() {
    let folder = tree().join("docs/man");
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        let path = entry.path();
        let groff = std::process::Command::new("groff")
            .args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"])
            .arg(&path)
            .output();
        let Ok(output) = groff else {
            skip("manual_pages_render_without_complaint", "groff is missing");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", path.display());
    }
}
