//! Where the store is and how it is used.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use windlass_core::model::Clock;
use windlass_core::{Error, ErrorKind};

/// Where the store is and how it is used.
///
/// The fields may be changed before it is given to
/// [`PostgresBackend::connect`](crate::PostgresBackend::connect).
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresConfig {
    /// How to reach the server: host, user, password, TLS and all else that
    /// [`PgConnectOptions`] knows.
    pub server: PgConnectOptions,
    /// The schema that holds everything of the store; created if it does not
    /// exist. 1 to 48 of `a-z`, `0-9` and `_`, not beginning with a digit or
    /// `pg_`. Default: `windlass`.
    pub schema: String,
    /// How many connections at most, 1 to 1,000, besides the one that listens.
    /// Default 8: calls go out in batches, so that few are enough.
    pub connections: u32,
    /// Whether and where to listen for notices. Default: [`Listen::Here`].
    pub listen: Listen,
    /// Whether a pooler stands in between. Default: [`Pooler::None`].
    pub pooler: Pooler,
    /// Whose time the store goes by. Default: the server's.
    pub clock: Clock,
}

/// Whether and where to listen for notices. Without them, a worker learns of
/// work at its next poll.
#[derive(Clone, Debug, Default)]
pub enum Listen {
    /// On the same server, on a connection of its own.
    #[default]
    Here,
    /// By other options: those of the server itself, where the rest goes through
    /// a pooler that cannot pass notices on.
    At(Box<PgConnectOptions>),
    /// Not at all.
    Off,
}

/// Whether a pooler stands in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// None, or one that keeps a session for each connection, or one that knows
    /// of prepared statements (PgBouncer from 1.21 on, with
    /// `max_prepared_statements`).
    #[default]
    None,
    /// One that gives each transaction any of its sessions. Statements are then
    /// not kept prepared, which costs two further round trips a call.
    Transaction,
}

/// Shows where the store is, and never the password.
impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("host", &self.server.get_host())
            .field("port", &self.server.get_port())
            .field("database", &self.server.get_database())
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl PostgresConfig {
    /// A store on this server, with every default.
    #[must_use]
    pub fn new(server: PgConnectOptions) -> Self {
        Self {
            server: server.application_name("windlass"),
            schema: "windlass".into(),
            connections: 8,
            listen: Listen::default(),
            pooler: Pooler::default(),
            clock: Clock::default(),
        }
    }

    /// Reads a URL: `postgres://user:password@host:port/database`, and behind a
    /// question mark what libpq knows (`sslmode`, `sslrootcert`, …) and any of
    /// `schema=NAME`, `connections=1..1000`, `notices=on|off` and
    /// `pooler=none|transaction`, joined by `&`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is none of these. What the URL says is never
    /// quoted: it may hold a password.
    pub fn parse(url: &str) -> Result<Self, Error> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(invalid(
                "this is not a Postgres URL; use postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            ));
        }
        let (base, options) = url.split_once('?').unwrap_or((url, ""));
        let is_ours = |option: &&str| {
            let name = option.split_once('=').map_or(*option, |(name, _)| name);
            ["schema", "connections", "notices", "pooler"].contains(&name)
        };
        let theirs: Vec<&str> =
            options.split('&').filter(|option| !option.is_empty() && !is_ours(option)).collect();
        let server = match theirs.is_empty() {
            true => PgConnectOptions::from_str(base),
            false => PgConnectOptions::from_str(&format!("{base}?{}", theirs.join("&"))),
        };
        let mut config = Self::new(server.map_err(|_| {
            invalid(
                "this Postgres URL cannot be read; use \
                 postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…, with every special \
                 character of the password written as % and two hexadecimal digits",
            )
        })?);
        for option in options.split('&').filter(is_ours) {
            match option.split_once('=').unwrap_or((option, "")) {
                ("schema", name) => config.schema = name.into(),
                ("connections", count) => {
                    config.connections = count.parse().ok().ok_or_else(|| invalid(CONNECTIONS))?;
                }
                ("notices", "on") => config.listen = Listen::Here,
                ("notices", "off") => config.listen = Listen::Off,
                ("pooler", "none") => config.pooler = Pooler::None,
                ("pooler", "transaction") => config.pooler = Pooler::Transaction,
                (name, _) => {
                    return Err(invalid(format!(
                        "{name} has another value than it takes; use schema=NAME, \
                         connections=1..1000, notices=on|off, pooler=none|transaction"
                    )));
                }
            }
        }
        config.check()?;
        Ok(config)
    }

    /// Checks what the server would understand in another way than its caller.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let name = self.schema.as_bytes();
        let fits = (1..=48).contains(&name.len())
            && name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            && !name[0].is_ascii_digit()
            && !self.schema.starts_with("pg_");
        if !fits {
            return Err(invalid(
                "the name of the schema cannot be used; use 1 to 48 of a-z, 0-9 and _, not \
                 beginning with a digit or pg_",
            ));
        }
        if !(1..=1000).contains(&self.connections) {
            return Err(invalid(CONNECTIONS));
        }
        Ok(())
    }
}

const CONNECTIONS: &str = "connections has another value than it takes; use 1 to 1000";

fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_server_and_options() {
        let url = "postgres://me:CANARY@db:6432/app?sslmode=disable&schema=jobs&connections=3\
                   &notices=off&pooler=transaction";
        let config = PostgresConfig::parse(url).unwrap();
        assert_eq!(config.server.get_host(), "db");
        assert_eq!(config.server.get_port(), 6432);
        assert_eq!(config.server.get_database(), Some("app"));
        assert_eq!((config.schema.as_str(), config.connections), ("jobs", 3));
        assert!(matches!(config.listen, Listen::Off));
        assert_eq!(config.pooler, Pooler::Transaction);
        assert!(!format!("{config:?}").contains("CANARY"));
    }

    #[test]
    fn a_url_that_cannot_be_right_is_refused_with_what_would_be_and_not_quoted() {
        for (url, expected) in [
            ("mysql://me:CANARY@db/app", "use postgres://"),
            ("postgres://me:CANARY@db:no/app", "use postgres://"),
            ("postgres://me:CANARY@db/app?schema=a\"b", "1 to 48 of a-z"),
            ("postgres://me:CANARY@db/app?schema=pg_toast", "pg_"),
            ("postgres://me:CANARY@db/app?schema=", "1 to 48 of a-z"),
            ("postgres://me:CANARY@db/app?connections=0", "use 1 to 1000"),
            ("postgres://me:CANARY@db/app?connections=CANARY", "use 1 to 1000"),
            ("postgres://me:CANARY@db/app?notices=CANARY", "notices=on|off"),
            ("postgres://me:CANARY@db/app?pooler", "pooler=none|transaction"),
        ] {
            let error = PostgresConfig::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(error.to_string().contains(expected), "{url}: {error}");
            assert!(!format!("{error:#} {error:?}").contains("CANARY"), "{error}");
        }
    }
}
