//! What the kernel says of the proxies' processes: CPU time, memory, sockets. Read from /proc.

use std::collections::HashSet;
use std::fs;

/// A process and all that descend from it.
pub fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| Some((pid, parent(pid)?)))
        .collect();
    let mut at = 0;
    while at < found.len() {
        let of = found[at];
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// User and system time of these processes in microseconds: what the scheduler accounted to each
/// thread, which is exact where the ticks of /proc/PID/stat are samples.
pub fn cpu_micros(pids: &[u32]) -> f64 {
    let mut nanos = 0.0;
    for pid in pids {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let path = task.path().join("schedstat");
            let text = fs::read_to_string(path).unwrap_or_default();
            nanos += text.split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        }
    }
    nanos / 1000.0
}

/// Proportional share of memory of these processes, in bytes.
pub fn memory(pids: &[u32]) -> f64 {
    let one = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with("Pss:")).unwrap_or("");
        line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
    };
    pids.iter().map(one).sum()
}

/// How many established connections on local `port` each of these processes holds.
pub fn held(pids: &[u32], port: u16) -> Vec<usize> {
    let mut inodes: HashSet<String> = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let local = words.get(1).and_then(|a| a.rsplit_once(':'));
            let here = local.is_some_and(|(_, p)| u16::from_str_radix(p, 16) == Ok(port));
            if here && words.get(3) == Some(&"01") && words.len() > 9 {
                inodes.insert(format!("socket:[{}]", words[9]));
            }
        }
    }
    let count = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let links = files.filter_map(|f| fs::read_link(f.path()).ok());
        links.filter(|l| l.to_str().is_some_and(|l| inodes.contains(l))).count()
    };
    pids.iter().map(count).collect()
}

/// The arguments of a process, joined.
pub fn command(pid: u32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).replace('\0', " ")
}

/// Is somebody tracing this process?
pub fn traced(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|l| l.starts_with("TracerPid:") && !l.ends_with("\t0"))
}
