//! A hash of payloads, and sorted sets of what waits and what is leased.

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use windlass::redis::redis::aio::{MultiplexedConnection, PubSub};
use windlass::redis::redis::{self, Client, Pipeline, Value};
use windlass::redis::{RedisConfig, Servers};

use super::OUTCOME;
use super::server::{self, Done};

/// Keys: ready, leases, jobs. Arguments: how many, until when.
const LEASE: &str = "
    local ids = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)
    if #ids == 0 then return { ids, ids } end
    redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #ids - 1)
    local leases = {}
    for i = 1, #ids do leases[2 * i - 1], leases[2 * i] = ARGV[2], ids[i] end
    redis.call('ZADD', KEYS[2], unpack(leases))
    return { ids, redis.call('HMGET', KEYS[3], unpack(ids)) }
";

/// A connection to the queue.
pub(super) struct Queue {
    conn: MultiplexedConnection,
    lease: redis::Script,
    keys: Keys,
}

/// They begin as all of the run do, and go with them.
struct Keys {
    jobs: String,
    ready: String,
    leases: String,
    ended: String,
    steps: String,
    /// On which notices go.
    channel: String,
}

fn open(url: &str) -> Result<(Client, Keys)> {
    let config = RedisConfig::parse(url)?;
    let Servers::Single(server) = config.servers else {
        bail!("the floor is that of a single server");
    };
    let key = |name: &str| format!("{{{}}}:floor:{name}", config.prefix);
    let keys = Keys {
        jobs: key("jobs"),
        ready: key("ready"),
        leases: key("leases"),
        ended: key("ended"),
        steps: key("steps"),
        channel: key("work"),
    };
    Ok((Client::open(server)?, keys))
}

impl Queue {
    fn batch(&self, from: usize, count: usize, payload: &[u8]) -> Pipeline {
        let mut batch = redis::pipe();
        batch.atomic();
        let jobs = batch.cmd("HSET").arg(&self.keys.jobs);
        for n in from..from + count {
            jobs.arg(n).arg(payload);
        }
        jobs.ignore();
        let ready = batch.cmd("ZADD").arg(&self.keys.ready);
        for n in from..from + count {
            ready.arg(n).arg(n);
        }
        ready.ignore();
        batch
    }
}

impl server::Queue for Queue {
    type Ear = PubSub;

    async fn create(url: &str) -> Result<Self> {
        let mut queue = Self::open(url).await?;
        let keys = &queue.keys;
        let _: Value = redis::cmd("UNLINK")
            .arg(&[&keys.jobs, &keys.ready, &keys.leases, &keys.ended, &keys.steps])
            .query_async(&mut queue.conn)
            .await?;
        Ok(queue)
    }

    async fn open(url: &str) -> Result<Self> {
        let (client, keys) = open(url)?;
        let conn = client.get_multiplexed_async_connection().await?;
        Ok(Self { conn, lease: redis::Script::new(LEASE), keys })
    }

    async fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    async fn enqueue(&mut self, from: usize, count: usize, payload: &[u8]) -> Result<()> {
        Ok(self.batch(from, count, payload).exec_async(&mut self.conn).await?)
    }

    async fn enqueue_and_notify(&mut self, n: usize, payload: &[u8]) -> Result<()> {
        let mut batch = self.batch(n, 1, payload);
        batch.cmd("PUBLISH").arg(&self.keys.channel).arg("").ignore();
        Ok(batch.exec_async(&mut self.conn).await?)
    }

    async fn lease(&mut self, count: usize) -> Result<Vec<i64>> {
        let mut call = self.lease.key(&self.keys.ready);
        call.key(&self.keys.leases).key(&self.keys.jobs).arg(count).arg(30_000_000);
        let (ids, _payloads): (Vec<i64>, Vec<Vec<u8>>) = call.invoke_async(&mut self.conn).await?;
        Ok(ids)
    }

    async fn acknowledge(&mut self, ids: &[i64], done: Done) -> Result<()> {
        let mut batch = redis::pipe();
        batch.atomic();
        batch.cmd("ZREM").arg(&self.keys.leases).arg(ids).ignore();
        match done {
            Done::Kept => {
                let ended = batch.cmd("ZADD").arg(&self.keys.ended);
                for id in ids {
                    ended.arg(id).arg(id);
                }
                ended.ignore();
            }
            Done::Removed => {
                batch.cmd("HDEL").arg(&self.keys.jobs).arg(ids).ignore();
            }
        }
        Ok(batch.exec_async(&mut self.conn).await?)
    }

    async fn record(&mut self, ids: &[i64], step: usize) -> Result<()> {
        let mut steps = redis::cmd("HSET");
        steps.arg(&self.keys.steps);
        for id in ids {
            steps.arg(format!("{id}:{step}")).arg(OUTCOME);
        }
        Ok(steps.exec_async(&mut self.conn).await?)
    }

    async fn listen(url: &str) -> Result<PubSub> {
        let (client, keys) = open(url)?;
        let mut pubsub = client.get_async_pubsub().await?;
        pubsub.subscribe(keys.channel).await?;
        Ok(pubsub)
    }

    async fn hear(ear: &mut PubSub) -> Result<()> {
        ear.on_message().next().await.context("the server has ended the connection")?;
        Ok(())
    }
}
