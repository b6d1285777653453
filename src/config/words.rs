//! Texts of the configuration that mean an address. The errors say what is wrong, for people.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::route::{host, unprintable};

use super::plan::{Address, ListenAddress};

/// What is wrong, and what to write.
pub(super) type Wrong = (String, Option<String>);

/// Port of an address that names none.
const PORT: u16 = 80;
/// Bytes of a unix socket's path (`sun_path` without its NUL).
const UNIX_MAX: usize = 107;

fn wrong<T>(message: impl Into<String>, hint: impl Into<Option<String>>) -> Result<T, Wrong> {
    Err((message.into(), hint.into()))
}

/// A listening address. `port_needed`: the seed's `root` may leave it out.
pub(super) fn listen(text: &str, port_needed: bool) -> Result<ListenAddress, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(ListenAddress::Unix);
    }
    let (host, port) = split_port(text)?;
    let Some(port) = port.or((!port_needed).then_some(PORT)) else {
        return wrong("the port is missing", format!("write \"{text}:80\""));
    };
    if matches!(host, "" | "*") {
        return wrong(
            "an address is needed before the port",
            format!("write both \"0.0.0.0:{port}\" and \"[::]:{port}\" for every address"),
        );
    }
    match ip(host) {
        Some(ip) => Ok(ListenAddress::Tcp(SocketAddr::new(ip, port))),
        None => wrong(
            format!("{host:?} is no IP address"),
            "a listener needs an IP address; names are for backends".to_owned(),
        ),
    }
}

/// A backend's address.
pub(super) fn backend(text: &str) -> Result<Address, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(Address::Unix);
    }
    if text.starts_with("unit:") {
        return wrong("backends by unit are not supported in this version", None);
    }
    if let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) {
        let bare = rest.split('/').next().unwrap_or_default();
        return wrong("an address is no URL", format!("write {bare:?}"));
    }
    let (name, port) = split_port(text)?;
    let port = port.unwrap_or(PORT);
    if port == 0 {
        return wrong("port 0 can't be connected to", None);
    }
    if let Some(ip) = ip(name) {
        if ip.is_unspecified() {
            let hint = "for a backend on this machine write 127.0.0.1 or [::1]".to_owned();
            return wrong(format!("{ip} is no address of a backend"), hint);
        }
        return Ok(Address::Ip(SocketAddr::new(ip, port)));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if let Some(fault) = host::name_fault(name) {
        return wrong(format!("{name:?} is neither an IP address nor a host name: {fault}"), None);
    }
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return wrong(format!("{name:?} is not a valid IPv4 address"), None);
    }
    Ok(Address::Name { host: name.to_ascii_lowercase(), port })
}

/// The one spelling of a backend's address.
pub(super) fn backend_text(address: &Address) -> String {
    match address {
        Address::Ip(address) => address.to_string(),
        Address::Name { host, port } => format!("{host}:{port}"),
        Address::Unix(path) => format!("unix:{path}"),
    }
}

/// The one spelling of a listening address.
pub(super) fn listen_text(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{path}"),
    }
}

/// An address or network; host bits are cut off.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    match text.parse::<IpNet>() {
        Ok(net) if net.addr() == net.network() => Ok(net),
        Ok(net) => {
            let trunc = net.trunc();
            wrong(format!("{text:?} has bits set behind its prefix"), format!("write \"{trunc}\""))
        }
        Err(_) => wrong(format!("{text:?} is no address or network"), None),
    }
}

fn ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Host and port of `host[:port]`.
fn split_port(text: &str) -> Result<(&str, Option<u16>), Wrong> {
    if text.is_empty() {
        return wrong("the address is empty", None);
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return wrong("an IPv6 address stands in brackets", format!("write \"[{text}]:80\""));
    }
    let behind = match text.starts_with('[') {
        true => match text.find(']') {
            Some(close) => close + 1,
            None => return wrong("'[' without its ']'", None),
        },
        false => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(behind);
    if text.starts_with('[') && ip(host).is_none() {
        return wrong(format!("{host:?} is no IPv6 address"), None);
    }
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').unwrap_or_default();
    let number = crate::base::ascii::parse_decimal(digits.as_bytes());
    match number.and_then(|port| u16::try_from(port).ok()) {
        Some(port) => Ok((host, Some(port))),
        None => {
            wrong(format!("{:?} is no port", digits), "a port is a number up to 65535".to_owned())
        }
    }
}

fn unix(path: &str) -> Result<String, Wrong> {
    if !path.starts_with('/') {
        return wrong("the path of a unix socket must be absolute", None);
    }
    if path.len() > UNIX_MAX {
        return wrong(format!("the path of a unix socket has at most {UNIX_MAX} bytes"), None);
    }
    if path.chars().any(unprintable) || path.ends_with('/') {
        return wrong("this is no path of a socket", None);
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends() {
        for (text, wanted) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1:8081", "127.0.0.1:8081"),
            ("[::1]", "[::1]:80"),
            ("[fd00:0::1]:81", "[fd00::1]:81"),
            ("App.internal.", "app.internal:80"),
            ("my_app:8080", "my_app:8080"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ] {
            let address = backend(text).expect(text);
            assert_eq!(backend_text(&address), wanted);
            assert_eq!(backend(wanted).expect(wanted), address);
        }
        for text in [
            "",
            ":80",
            "::1",
            "[::1",
            "[x]:1",
            "256.1.1.1",
            "1.2.3",
            "a:",
            "a:x",
            "a:65536",
            "a:0",
            "a b",
            "http://a/b",
            "unix:a",
            "unix:/",
            "unix:/a\n",
            "unit:a.service",
            "0.0.0.0:1",
            "a:+1",
            "a:1:2",
            "[::1]1",
        ] {
            assert!(backend(text).is_err(), "{text}");
        }
    }

    #[test]
    fn listeners() {
        assert_eq!(
            listen("[::]:80", true),
            Ok(ListenAddress::Tcp(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 80)))
        );
        assert!(listen("127.0.0.1", false).is_ok());
        for text in ["127.0.0.1", ":80", "*:80", "localhost:80", "80", "unix:x"] {
            assert!(listen(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn networks() {
        assert_eq!(network("10.0.0.0/8").expect("a network").to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").expect("an address").to_string(), "::1/128");
        for text in ["10.0.0.1/8", "10.0.0.0/33", "x", ""] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
