//! The servers that the tests use.

use windlass_redis::redis::aio::MultiplexedConnection;
use windlass_redis::redis::{
    self, AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue,
};
use windlass_redis::{RedisConfig, Servers};

use crate::fixture::PATIENCE;

/// A server, or a cluster: as the tests use it, and as its operator does.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    url: String,
    admin: String,
}

/// An operator's connection to one node.
pub(crate) struct Node {
    connection: MultiplexedConnection,
}

impl Server {
    /// The single server that the tests were given. A missing one is a failure.
    pub(crate) fn single() -> Self {
        Self { url: named("REDIS_URL"), admin: named("WINDLASS_TEST_REDIS_ADMIN_URL") }
    }

    /// The cluster that the tests were given. A missing one is a failure.
    pub(crate) fn cluster() -> Self {
        Self {
            url: named("WINDLASS_TEST_REDIS_CLUSTER_URL"),
            admin: named("WINDLASS_TEST_REDIS_CLUSTER_ADMIN_URL"),
        }
    }

    /// The server at these URLs: of an ordinary user, and of its operator.
    pub(crate) fn at(url: &str, admin: &str) -> Self {
        Self { url: url.to_owned(), admin: admin.to_owned() }
    }

    /// A store with this prefix.
    pub(crate) fn config(&self, prefix: &str) -> RedisConfig {
        let mut config = RedisConfig::parse(&self.url).expect("the URL of the server can be read");
        config.prefix = prefix.to_owned();
        config
    }

    /// The server itself, for who stands in between.
    pub(crate) fn info(&self) -> ConnectionInfo {
        nodes(&self.url).swap_remove(0)
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> (String, u16) {
        self.addresses().swap_remove(0)
    }

    /// Those of every node that the URL names.
    pub(crate) fn addresses(&self) -> Vec<(String, u16)> {
        let address = |info: ConnectionInfo| match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port),
            other => panic!("a proxy cannot stand in front of {other}"),
        };
        nodes(&self.url).into_iter().map(address).collect()
    }

    /// The name of the ordinary user.
    pub(crate) fn user(&self) -> String {
        self.info().redis_settings().username().unwrap_or("default").to_owned()
    }

    /// The operator's name and password.
    pub(crate) fn operators_login(&self) -> (String, String) {
        let info = nodes(&self.admin).swap_remove(0);
        let told = |word: Option<&str>| word.unwrap_or_default().to_owned();
        let settings = info.redis_settings();
        (told(settings.username()), told(settings.password()))
    }

    /// The operator's connections to every node that the URL names, replicas and all.
    pub(crate) async fn every_node(&self) -> Vec<Node> {
        let mut connections = Vec::new();
        for info in nodes(&self.admin) {
            connections.push(Node::connect(info).await);
        }
        connections
    }

    /// The operator's connections: one to each master.
    pub(crate) async fn masters(&self) -> Vec<Node> {
        let known = nodes(&self.admin);
        if matches!(parsed(&self.admin).servers, Servers::Single(_)) {
            return vec![Node::connect(known[0].clone()).await];
        }
        let mut first = Node::connect(known[0].clone()).await;
        // Slots from, to, and then each node that has them, the master first.
        let slots: Vec<(u16, u16, (String, u16))> = {
            let said: Vec<Vec<redis::Value>> = first.run(redis::cmd("CLUSTER").arg("SLOTS")).await;
            said.into_iter().map(|piece| read_slots(&piece)).collect()
        };
        let mut masters: Vec<(String, u16)> = slots.into_iter().map(|(_, _, node)| node).collect();
        masters.sort_unstable();
        masters.dedup();
        let mut connections = Vec::new();
        for (host, port) in masters {
            let info = known[0].clone().set_addr(ConnectionAddr::Tcp(host, port));
            connections.push(Node::connect(info).await);
        }
        connections
    }
}

impl Node {
    async fn connect(info: ConnectionInfo) -> Self {
        let client = Client::open(info).expect("the operator's URL can be used");
        // The machine may be busy with everything else.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        Self { connection: connection.expect("the server can be reached") }
    }

    /// Runs a command that succeeds.
    pub(crate) async fn run<T: FromRedisValue>(&mut self, command: &mut Cmd) -> T {
        command.query_async(&mut self.connection).await.expect("an operator's command")
    }

    /// At which ports it says that the nodes of the cluster can be reached that have slots.
    pub(crate) async fn announced_ports(&mut self) -> Vec<u16> {
        let slots: Vec<Vec<redis::Value>> = self.run(redis::cmd("CLUSTER").arg("SLOTS")).await;
        let nodes = slots.iter().flat_map(|piece| &piece[2..]);
        nodes.map(|node| read_node(node).1).collect()
    }

    /// The keys that belong to a prefix, whatever else is in their names.
    pub(crate) async fn keys(&mut self, prefix: &str) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("*{prefix}*")).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<Vec<u8>>) = self.run(&mut scan).await;
            // The prefix of another test may begin with the whole of this one.
            found.extend(keys.into_iter().filter(|key| {
                let text = String::from_utf8_lossy(key);
                let behind = text.split(prefix).nth(1).and_then(|rest| rest.chars().next());
                behind.is_none_or(|c| !c.is_ascii_alphanumeric())
            }));
            cursor = next;
            if cursor == 0 {
                return found;
            }
        }
    }

    /// Removes the keys of a prefix.
    pub(crate) async fn remove(&mut self, prefix: &str) {
        for keys in self.keys(prefix).await.chunks(1000) {
            // Of a cluster's keys each is in a slot of its own.
            for key in keys {
                let _: u64 = self.run(redis::cmd("UNLINK").arg(key)).await;
            }
        }
    }
}

fn named(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} names no server; see CONTRIBUTING.md"))
}

fn parsed(url: &str) -> RedisConfig {
    RedisConfig::parse(url).expect("the URL of a server can be read")
}

fn nodes(url: &str) -> Vec<ConnectionInfo> {
    match parsed(url).servers {
        Servers::Single(server) => vec![server],
        Servers::Cluster(nodes) => nodes,
        _ => panic!("the tests take one server, or a cluster; see CONTRIBUTING.md"),
    }
}

fn read_slots(piece: &[redis::Value]) -> (u16, u16, (String, u16)) {
    (read_number(&piece[0]), read_number(&piece[1]), read_node(&piece[2]))
}

fn read_node(node: &redis::Value) -> (String, u16) {
    let redis::Value::Array(node) = node else { panic!("CLUSTER SLOTS names no node") };
    let host = redis::from_redis_value_ref::<String>(&node[0]).expect("a host in CLUSTER SLOTS");
    (host, read_number(&node[1]))
}

fn read_number(value: &redis::Value) -> u16 {
    redis::from_redis_value_ref::<u16>(value).expect("a number in CLUSTER SLOTS")
}
