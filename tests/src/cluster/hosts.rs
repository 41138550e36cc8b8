//! Each validator on a host of its own: a network namespace, joined to the others by a router in the namespace of this program.
//!
//! ```text
//! [v0: 10.77.0.2] ── 10.77.0.1 ─┐
//! [v1: 10.77.1.2] ── 10.77.1.1 ─┤  the router forwards, and drops what a cut forbids: packets vanish, nobody is told
//! ```
//!
//! So connections meet what they meet in a broken network: no answer and no reset, repeated packets, time-outs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::enclose::tool;

/// The hosts, in a network namespace of this program's own, with which they end.
#[derive(Debug)]
pub(super) struct Hosts {
    /// Drops that are in force: from, to.
    cuts: Vec<(usize, usize)>,
}

fn address(host: usize, of: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, u8::try_from(host).unwrap_or(u8::MAX), of)
}

/// The namespace of a host.
pub(super) fn name(host: usize) -> String {
    format!("v{host}")
}

/// The same port on a host.
pub(super) fn on(host: usize, at: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(address(host, 2)), at.port())
}

impl Hosts {
    /// Makes `count` of them. This process must be in a network and a mount namespace of its own.
    ///
    /// # Errors
    /// What this machine does not allow.
    pub(super) fn new(count: usize) -> Result<Self, String> {
        tool!("ip", "link", "set", "lo", "up")?;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(|error| error.to_string())?;
        // The names of namespaces are files here; other programs' are left alone.
        let names = "/run/netns";
        std::fs::create_dir_all(names).map_err(|error| error.to_string())?;
        tool!("mount", "-t", "tmpfs", "tmpfs", names)?;
        for host in 0..count {
            let (space, near) = (name(host), format!("host{host}"));
            let (router, own) = (address(host, 1), address(host, 2));
            tool!("ip", "netns", "add", &space)?;
            tool!(
                "ip", "link", "add", &near, "type", "veth", "peer", "name", "eth0", "netns", &space
            )?;
            tool!("ip", "addr", "add", format!("{router}/24"), "dev", &near)?;
            tool!("ip", "link", "set", &near, "up")?;
            tool!("ip", "-n", &space, "link", "set", "lo", "up")?;
            tool!("ip", "-n", &space, "addr", "add", format!("{own}/24"), "dev", "eth0")?;
            tool!("ip", "-n", &space, "link", "set", "eth0", "up")?;
            tool!("ip", "-n", &space, "route", "add", "default", "via", router.to_string())?;
        }
        let probe = Self { cuts: vec![(0, 1)] };
        probe.rule("add", (0, 1))?;
        probe.rule("del", (0, 1))?;
        Ok(Self { cuts: Vec::new() })
    }

    fn rule(&self, action: &str, (from, to): (usize, usize)) -> Result<(), String> {
        let (from, to) = (address(from, 2).to_string(), address(to, 2).to_string());
        tool!("ip", "rule", action, "from", from, "to", to, "blackhole").map(drop)
    }

    /// Drops packets that way, if they are not dropped already.
    pub(super) fn cut(&mut self, from: usize, to: usize) -> Result<(), String> {
        if self.cuts.contains(&(from, to)) {
            return Ok(());
        }
        self.rule("add", (from, to))?;
        self.cuts.push((from, to));
        Ok(())
    }

    /// Forwards everything again.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        while let Some(cut) = self.cuts.pop() {
            self.rule("del", cut)?;
        }
        Ok(())
    }
}
