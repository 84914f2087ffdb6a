//! A gateway as `deploy/gateways` sets it up: the real program under the very files that are shipped,
//! on other ports, and for tests of HTTP/2 without TLS.

use std::ffi::OsString;
use std::fs::DirEntry;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use crate::process::{Launch, find_program};
use crate::{Port, Process, Scratch, eventually, nginx, repository};

const UP_WITHIN: Duration = Duration::from_mins(1);
/// Names the folder where `tests/run` has put the programs that no package has.
const PROGRAMS: &str = "TOLLGATE_GATEWAYS";

/// A gateway that there is a recipe for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// nginx with `auth_request`.
    Nginx,
    /// `HAProxy` with a script.
    Haproxy,
    /// Caddy with `forward_auth`.
    Caddy,
    /// Traefik with `ForwardAuth`.
    Traefik,
    /// Envoy with `ext_authz`.
    Envoy,
}

/// A running gateway; killed on drop.
#[derive(Debug)]
pub struct TestRecipe {
    gateway: Gateway,
    process: Process,
    ports: Ports,
    _folder: Scratch,
}

#[derive(Debug)]
struct Ports {
    http1: Port,
    /// Of those that do not tell the versions apart by what a client says first.
    http2: Port,
    /// `HAProxy`'s for itself.
    inner: Port,
}

impl Gateway {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Nginx, Self::Haproxy, Self::Caddy, Self::Traefik, Self::Envoy];

    /// The name of its program and of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }

    fn folder(self) -> PathBuf {
        repository().join("deploy/gateways").join(self.name())
    }

    /// Names and texts of what it is set up by.
    fn files(self) -> Result<Vec<(OsString, String)>> {
        let read = |file: std::io::Result<DirEntry>| file.and_then(|file| Ok((file.file_name(), std::fs::read_to_string(file.path())?)));
        let files: std::io::Result<Vec<_>> = std::fs::read_dir(self.folder())?.map(read).collect();
        files.with_context(|| format!("the recipe of {}", self.name()))
    }

    /// Whether it needs a port for HTTP/2 alone.
    fn has_two_ports(self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy)
    }

    fn program(self) -> Result<PathBuf> {
        let told = std::env::var_os(PROGRAMS).map_or_else(|| repository().join("target/gateways/bin"), PathBuf::from);
        let fetched = told.join(self.name());
        if fetched.is_file() { Ok(fetched) } else { find_program(self.name()) }
    }

    /// The shipped text under other addresses, with HTTP/2 where it would not be spoken without TLS.
    fn set_up(self, text: &str, addresses: &[(&str, String)], http2: &Port) -> String {
        // All at once: a new port may have an old one in it.
        let marked = addresses.iter().enumerate().fold(text.to_owned(), |text, (at, (old, _))| text.replace(old, &format!("<{at}>")));
        let text = addresses.iter().enumerate().fold(marked, |text, (at, (_, new))| text.replace(&format!("<{at}>"), new));
        let more = |line: &str, second: String| text.replacen(line, &format!("{line}\n{second}\n"), 1);
        match self {
            Self::Nginx => more("server {\n", format!("listen {} http2;", http2.address())),
            Self::Haproxy => more("frontend clients\n", format!("    bind {} proto h2", http2.address())),
            Self::Caddy => more("admin off", "servers {\nprotocols h1 h2 h2c\n}".into()),
            Self::Traefik | Self::Envoy => text,
        }
    }

    fn command(self, program: &Path, folder: &Path) -> Result<Command> {
        let mut command = Command::new(program);
        let file = |name: &str| folder.join(name);
        match self {
            Self::Nginx => {
                let whole = file("nginx.conf");
                let path = folder.display().to_string();
                std::fs::write(&whole, nginx::around(&format!("include {path}/tollgate.conf;"), &path, "error"))?;
                command.arg("-p").arg(folder).arg("-c").arg(whole).args(["-e", "stderr"])
            }
            Self::Haproxy => command.arg("-db").arg("-f").arg(file("haproxy.cfg")),
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file("Caddyfile")),
            Self::Traefik => command.arg("--configFile").arg(file("traefik.yaml")),
            Self::Envoy => {
                command.arg("-c").arg(file("envoy.yaml")).args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"])
            }
        };
        command.current_dir(folder).env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
        Ok(command)
    }
}

impl TestRecipe {
    /// Starts it between clients and an app, with the node at `tollgate` as its gate.
    pub async fn start(gateway: Gateway, tollgate: SocketAddr, app: SocketAddr) -> Result<Self> {
        Self::start_changed(gateway, tollgate, app, str::to_owned).await
    }

    /// The same under files that are changed first, as users may change them.
    pub async fn start_changed(gateway: Gateway, tollgate: SocketAddr, app: SocketAddr, change: impl Fn(&str) -> String) -> Result<Self> {
        let folder = Scratch::new(gateway.name())?;
        let ports = Ports { http1: Port::take()?, http2: Port::take()?, inner: Port::take()? };
        let addresses = addresses(&ports, tollgate, app, folder.path());
        for (name, text) in gateway.files()? {
            std::fs::write(folder.path().join(name), gateway.set_up(&change(&text), &addresses, &ports.http2))?;
        }
        let command = gateway.command(&gateway.program()?, folder.path())?;
        let process = Launch::new(command, folder.path()).start()?;
        let recipe = Self { gateway, process, ports, _folder: folder };
        recipe.wait_until_up().await.with_context(|| recipe.log_tail())?;
        Ok(recipe)
    }

    /// Which it is.
    pub fn gateway(&self) -> Gateway {
        self.gateway
    }

    /// Where clients of HTTP/1.1 connect to.
    pub fn http1(&self) -> SocketAddr {
        self.ports.http1.address()
    }

    /// Where clients of HTTP/2 connect to, who know beforehand that it is spoken there.
    pub fn http2(&self) -> SocketAddr {
        if self.gateway.has_two_ports() { self.ports.http2.address() } else { self.http1() }
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    async fn wait_until_up(&self) -> Result<()> {
        eventually("a gateway listens", UP_WITHIN, async || {
            anyhow::ensure!(self.process.is_running(), "{} has ended", self.gateway.name());
            TcpStream::connect(self.http2()).await?;
            // Traefik listens before it knows what to do.
            let status = crate::status(self.http1(), "/").await?;
            anyhow::ensure!(status != 404, "{} knows no way", self.gateway.name());
            Ok(())
        })
        .await
    }
}

/// What of the shipped files is another here.
fn addresses(ports: &Ports, tollgate: SocketAddr, app: SocketAddr, folder: &Path) -> [(&'static str, String); 6] {
    let port = |number: u16| number.to_string();
    let folder = folder.display().to_string();
    [
        ("8000", port(ports.http1.number())),
        ("8080", port(tollgate.port())),
        ("9000", port(app.port())),
        ("8480", port(ports.inner.number())),
        ("/etc/haproxy", folder.clone()),
        ("/etc/traefik", folder),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_names_the_addresses_that_all_of_them_share() {
        for gateway in Gateway::ALL {
            let text = gateway.files().unwrap().into_iter().map(|(_, text)| text).collect::<String>();
            for address in ["127.0.0.1:8000", "127.0.0.1:8080", "127.0.0.1:9000"] {
                assert!(text.contains(address), "{}: {address}", gateway.name());
            }
        }
    }

    #[test]
    fn a_new_port_is_not_taken_for_an_old_one() {
        let http2 = Port::take().unwrap();
        let new = [("8000", "28080".to_owned()), ("8080", "29000".to_owned()), ("9000", "28000".to_owned())];
        assert_eq!(Gateway::Envoy.set_up("8000 8080 9000", &new, &http2), "28080 29000 28000");
    }
}
