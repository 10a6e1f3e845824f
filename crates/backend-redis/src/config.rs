//! Where the store is and how it is used.

use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo};
use windlass_core::model::Clock;
use windlass_core::{Error, ErrorKind};

/// Where the store is and how it is used.
///
/// The fields may be changed before it is given to
/// [`RedisBackend::connect`](crate::RedisBackend::connect).
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    /// How to reach the server, or servers.
    pub servers: Servers,
    /// What all keys of the store begin with: 1 to 48 of `A-Z`, `a-z`, `0-9`, `_`, `.`
    /// and `-`. Default: `windlass`.
    pub prefix: String,
    /// How many replicas have to have received a change before it is acknowledged, 0
    /// to 5. Default 0: see the crate's promise of durability.
    ///
    /// A change that so many have not confirmed within [`patience`](Self::patience) is an
    /// error of the kind [`Unavailable`](ErrorKind::Unavailable) that says so. It is stored
    /// all the same, and lost only with its master; made again under the same id or key,
    /// it is found. Jobs that could not be leased so are handed back. The server
    /// itself can refuse changes beforehand: `min-replicas-to-write`.
    pub replicas: u32,
    /// How long an answer may take before the connection is given up, from 100 ms to
    /// 10 minutes. Default 5 s.
    pub answer_within: Duration,
    /// For how long a call is made again while the server is away, or the fate of an
    /// earlier attempt is not known. Default 15 s.
    pub patience: Duration,
    /// Whether to listen for notices. Default: [`Listen::Here`].
    pub listen: Listen,
    /// Whose time the store goes by. Default: the server's.
    pub clock: Clock,
    /// For `rediss` servers: by which root certificate they are known, instead of the
    /// operating system's, and what this client shows them. Default: the system's (with
    /// rustls also those that the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name), and
    /// nothing. Of a cluster and of sentinels with `tls-rustls` only.
    #[cfg(any(feature = "tls-rustls", feature = "tls-native"))]
    pub certificates: Option<redis::TlsCertificates>,
}

/// How to reach the server, or servers.
#[derive(Clone)]
#[non_exhaustive]
pub enum Servers {
    /// One server.
    Single(ConnectionInfo),
    /// A cluster, of which these are some nodes; the others are found by them.
    Cluster(Vec<ConnectionInfo>),
    /// The master that these sentinels know by a name, after a failover another one.
    Sentinel {
        /// The sentinels, and how to speak to each: they have passwords of their own, or
        /// none. In a URL both have the same.
        sentinels: Vec<ConnectionInfo>,
        /// What they call the master.
        master: String,
        /// How to speak to it: user, password, database.
        settings: redis::RedisConnectionInfo,
    },
}

/// Whether to listen for notices. Without them, a worker learns of work at its next
/// poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// On a connection of its own.
    #[default]
    Here,
    /// Not at all.
    Off,
}

/// Shows where the store is, and never the password.
impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses: Vec<String> = match &self.servers {
            Servers::Single(server) => vec![server.addr().to_string()],
            Servers::Cluster(nodes) => nodes.iter().map(|node| node.addr().to_string()).collect(),
            Servers::Sentinel { sentinels, .. } => {
                sentinels.iter().map(|node| node.addr().to_string()).collect()
            }
        };
        f.debug_struct("RedisConfig")
            .field("servers", &addresses)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

const SHAPE: &str = "redis://USER:PASSWORD@HOST:PORT/DATABASE, \
                     redis-cluster://USER:PASSWORD@HOST:PORT,HOST:PORT,… or \
                     redis-sentinel://USER:PASSWORD@HOST:PORT,…/MASTER, with rediss… for TLS";
const OPTIONS: &str = "prefix=NAME, notices=on|off, replicas=0..5";

impl RedisConfig {
    /// A store on these servers, with every default.
    #[must_use]
    pub fn new(servers: Servers) -> Self {
        Self {
            servers,
            prefix: "windlass".into(),
            replicas: 0,
            answer_within: Duration::from_secs(5),
            patience: Duration::from_secs(15),
            listen: Listen::default(),
            clock: Clock::default(),
            #[cfg(any(feature = "tls-rustls", feature = "tls-native"))]
            certificates: None,
        }
    }

    /// Reads a URL: `redis://user:password@host:port/database` for one server,
    /// `redis-cluster://user:password@host:port,host:port` for a cluster,
    /// `redis-sentinel://user:password@host:port,host:port/master` for a master that
    /// sentinels know, each with `rediss` for TLS; and behind a question mark any of
    /// `prefix=NAME`, `notices=on|off` and `replicas=0..5`, joined by `&`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is none of these. What the URL says is never
    /// quoted: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let (base, options) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) = base
            .split_once("://")
            .ok_or_else(|| invalid(format!("this is not a Redis URL; use {SHAPE}")))?;
        let (plain, kind) = scheme.split_once('-').unwrap_or((scheme, ""));
        if !["redis", "rediss"].contains(&plain) {
            return Err(invalid(format!("this is not a Redis URL; use {SHAPE}")));
        }
        let servers = match kind {
            "" => Servers::Single(server(base)?),
            "cluster" => {
                let (nodes, path) = each_of(plain, rest)?;
                if !path.is_empty() {
                    return Err(invalid("a cluster has no databases; leave the path out"));
                }
                Servers::Cluster(nodes)
            }
            "sentinel" => {
                let (nodes, master) = each_of(plain, rest)?;
                let first = nodes.first().ok_or_else(|| invalid(SHAPE))?;
                let settings = first.redis_settings().clone();
                Servers::Sentinel { master: master.to_owned(), settings, sentinels: nodes.clone() }
            }
            _ => return Err(invalid(format!("this is not a Redis URL; use {SHAPE}"))),
        };
        let mut config = Self::new(servers);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("prefix", name) => config.prefix = name.into(),
                ("notices", "on") => config.listen = Listen::Here,
                ("notices", "off") => config.listen = Listen::Off,
                ("replicas", count) => {
                    config.replicas = count.parse().ok().ok_or_else(|| invalid(REPLICAS))?;
                }
                _ => {
                    return Err(invalid(format!(
                        "this Redis URL has an option that is not known or has another value \
                         than it takes; use {OPTIONS}"
                    )));
                }
            }
        }
        config.check()?;
        Ok(config)
    }

    /// Whether any server is spoken to by TLS.
    #[cfg(feature = "tls-rustls")]
    pub(crate) fn uses_tls(&self) -> bool {
        let is_tls =
            |info: &ConnectionInfo| matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
        match &self.servers {
            Servers::Single(server) => is_tls(server),
            Servers::Cluster(nodes) => nodes.iter().any(is_tls),
            Servers::Sentinel { sentinels, .. } => sentinels.iter().any(is_tls),
        }
    }

    /// Checks what would lead to other keys than its caller thinks.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let name = self.prefix.as_bytes();
        let fits = (1..=48).contains(&name.len())
            && name
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        if !fits {
            return Err(invalid(
                "the prefix cannot be used; use 1 to 48 of A-Z, a-z, 0-9, _, . and -",
            ));
        }
        if self.replicas > 5 {
            return Err(invalid(REPLICAS));
        }
        #[cfg(all(feature = "tls-native", not(feature = "tls-rustls")))]
        if self.certificates.is_some() && !matches!(self.servers, Servers::Single(_)) {
            return Err(invalid(
                "certificates for a cluster, or for sentinels, need the feature tls-rustls",
            ));
        }
        if self.answer_within < Duration::from_millis(100)
            || self.answer_within > Duration::from_secs(600)
        {
            return Err(invalid("answer_within is out of range; use 100 ms to 10 minutes"));
        }
        Ok(())
    }
}

/// The nodes of a list, and the path behind it.
fn each_of<'a>(scheme: &str, rest: &'a str) -> Result<(Vec<ConnectionInfo>, &'a str), Error> {
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match hosts.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), hosts),
    };
    let nodes: Result<Vec<_>, _> =
        hosts.split(',').map(|host| server(&format!("{scheme}://{user}{host}"))).collect();
    Ok((nodes?, path))
}

fn server(url: &str) -> Result<ConnectionInfo, Error> {
    url.into_connection_info().map_err(|_| {
        invalid(format!(
            "this Redis URL cannot be read; use {SHAPE}, with every special character of the \
             password written as % and two hexadecimal digits"
        ))
    })
}

const REPLICAS: &str = "replicas has another value than it takes; use 0 to 5";

fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_servers_and_options() {
        let config = RedisConfig::parse("redis://me:CANARY@db:7000/3?prefix=jobs&replicas=1");
        let config = config.unwrap();
        let Servers::Single(server) = &config.servers else { panic!("{config:?}") };
        assert_eq!(server.addr().to_string(), "db:7000");
        assert_eq!(server.redis_settings().db(), 3);
        assert_eq!((config.prefix.as_str(), config.replicas), ("jobs", 1));
        assert!(!format!("{config:?}").contains("CANARY"));

        let config = RedisConfig::parse("redis-cluster://me:CANARY@a:1,b:2,c?notices=off").unwrap();
        let Servers::Cluster(nodes) = &config.servers else { panic!("{config:?}") };
        let nodes: Vec<_> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(nodes, ["a:1", "b:2", "c:6379"]);
        assert_eq!(config.listen, Listen::Off);
        assert!(!format!("{config:?}").contains("CANARY"));

        let config = RedisConfig::parse("redis-sentinel://me:CANARY@a:1,b:2/main").unwrap();
        let Servers::Sentinel { sentinels, master, settings } = &config.servers else {
            panic!("{config:?}")
        };
        assert_eq!((sentinels.len(), master.as_str()), (2, "main"));
        assert_eq!(settings.username(), Some("me"));
    }

    #[test]
    fn a_url_that_cannot_be_right_is_refused_with_what_would_be_and_not_quoted() {
        for (url, expected) in [
            ("mysql://me:CANARY@db", "use redis://"),
            ("redis-ring://me:CANARY@db", "use redis://"),
            ("redis://me:CANARY@db:no", "use redis://"),
            ("redis-cluster://me:CANARY@a:1/3", "no databases"),
            ("redis://me:CANARY@db?prefix=a{b", "1 to 48 of A-Z"),
            ("redis://me:CANARY@db?prefix=", "1 to 48 of A-Z"),
            ("redis://me:CANARY@db?replicas=CANARY", "0 to 5"),
            ("redis://me:CANARY@db?replicas=6", "0 to 5"),
            ("redis://me:CANARY@db?notices=CANARY", "notices=on|off"),
        ] {
            let error = RedisConfig::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(error.to_string().contains(expected), "{url}: {error}");
            assert!(!format!("{error:#} {error:?}").contains("CANARY"), "{error}");
        }
    }
}
