//! What a server has to be like.

use redis::RedisResult;
use tokio::time::{Instant, sleep};
use windlass_core::{Error, ErrorKind};

use super::{Arguments, PAUSES, Place, Script, Store};
use crate::error::{Failure, failure, from_redis};

/// The oldest version of Redis whose scripts can do what ours do. Every Valkey says that
/// it is a later one.
const OLDEST: u32 = 7;

/// How many connections in a row may be ended as they are made.
const ENDED_AT_MOST: u32 = 5;

/// In which form this version keeps a store. It grows with each change that an older
/// version would misread.
const FORMAT: &str = "1";

impl Store {
    /// Says soon that a server is not there. A connection that was ended as it was made, by
    /// an operator or a restart, says nothing of the kind.
    pub(super) async fn check_reachable(&self) -> Result<(), Error> {
        let mut attempt = 0;
        loop {
            let error = match self.link.connection().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let was_ended = (error.is_io_error() || error.is_connection_dropped())
                && !error.is_connection_refusal()
                && !error.is_timeout();
            if !was_ended || attempt == ENDED_AT_MOST {
                return Err(from_redis(error));
            }
            attempt += 1;
            sleep(PAUSES.0 * attempt).await;
        }
    }

    /// Refuses servers that cannot keep jobs. Of a cluster, each master is asked.
    pub(super) async fn check_servers(&self) -> Result<(), Error> {
        let end = Instant::now() + self.patience;
        let mut pause = PAUSES.0;
        loop {
            let error = match self.server_infos().await {
                Ok(infos) => return infos.iter().try_for_each(|info| judge(info)),
                Err(error) => error,
            };
            let may_pass = matches!(failure(&error), Failure::Unclear | Failure::Passing);
            if !may_pass || Instant::now() + pause >= end {
                return Err(from_redis(error));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Refuses a store that is kept in another form than this version knows.
    pub(super) async fn check_format(&self) -> Result<(), Error> {
        loop {
            let arguments = Arguments::default();
            let mut reply = self.call(Place::Registry, Script::ReadFormat, arguments).await?;
            match reply.optional()?.as_deref() {
                Some(found) if found == FORMAT.as_bytes() => return Ok(()),
                Some(found) => return Err(other_format(&String::from_utf8_lossy(found))),
                None => {
                    let mut arguments = Arguments::default();
                    arguments.add(FORMAT);
                    self.call(Place::Registry, Script::WriteFormat, arguments).await?;
                }
            }
        }
    }

    async fn server_infos(&self) -> RedisResult<Vec<String>> {
        let (number, mut connection) = self.link.connection().await?;
        let infos = connection.server_infos().await;
        if infos.is_err() && !self.link.is_cluster() {
            self.link.give_up(number);
        }
        infos
    }
}

fn other_format(found: &str) -> Error {
    Error::new(
        ErrorKind::Incompatible,
        format!(
            "the store is kept in form {found}, and this version of Windlass knows form {FORMAT}; \
             use a version that knows form {found}, or another prefix"
        ),
    )
}

/// Whether a server that says this of itself can keep jobs.
fn judge(info: &str) -> Result<(), Error> {
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.trim().split_once(':'));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value)
    };
    let version = field("redis_version").unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < OLDEST) {
        return Err(Error::new(
            ErrorKind::Incompatible,
            format!("the server is Redis {version}; use Redis {OLDEST} or newer, or Valkey"),
        ));
    }
    match field("maxmemory_policy") {
        None | Some("noeviction") => Ok(()),
        Some(policy) => Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "the Redis server removes keys when it is full (maxmemory-policy {policy}): jobs \
                 would be lost without a word; set CONFIG SET maxmemory-policy noeviction, and \
                 the same in its configuration file"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(version: &str, policy: &str) -> String {
        format!(
            "# Server\r\nredis_version:{version}\r\nredis_mode:standalone\r\n\r\n# Memory\r\n\
             maxmemory:0\r\nmaxmemory_policy:{policy}\r\n"
        )
    }

    #[test]
    fn a_server_that_is_too_old_or_forgets_is_refused_with_what_would_be_right() {
        for (version, policy, expected) in [
            ("7.0.15", "noeviction", None),
            ("10.1.0", "noeviction", None),
            ("6.2.14", "noeviction", Some((ErrorKind::Incompatible, "use Redis 7 or newer"))),
            (
                "7.2.4",
                "allkeys-lru",
                Some((ErrorKind::Invalid, "CONFIG SET maxmemory-policy noeviction")),
            ),
            (
                "7.2.4",
                "volatile-ttl",
                Some((ErrorKind::Invalid, "CONFIG SET maxmemory-policy noeviction")),
            ),
        ] {
            let judged = judge(&info(version, policy)).map_err(|error| {
                let (_, words) = expected.expect("it is refused");
                assert!(error.to_string().contains(words), "{error}");
                error.kind()
            });
            assert_eq!(judged.err(), expected.map(|(kind, _)| kind), "{version} {policy}");
        }
        assert!(judge("").is_ok(), "what is not told is not held against it");
    }
}
