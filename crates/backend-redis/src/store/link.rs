//! The connection to the server, or to the servers of a cluster.
//!
//! The client library is told not to make calls again by itself, as far as it can be:
//! which calls may be made again, and for how long, is decided in one place
//! (`Store::call`), for every topology alike. Within a cluster it follows a redirection
//! once, because it alone knows the nodes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr,
};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisResult, TlsMode, Value,
};
use tokio::time::timeout;

use crate::config::{RedisConfig, Servers};

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How often the client library of a cluster sends a call again that met a
/// redirection or a lost connection. All of our calls can bear it.
const CLUSTER_RETRIES: u32 = 2;

/// A connection that comes about anew whenever it was lost.
#[derive(Clone)]
pub(crate) struct Link {
    servers: Servers,
    #[cfg(any(feature = "tls-rustls", feature = "tls-native"))]
    certificates: Option<redis::TlsCertificates>,
    answer_within: Duration,
    /// Which one it is now. Calls that fail end the one that they were made on, and
    /// no later one.
    current: Arc<Mutex<(u64, Option<Connection>)>>,
    /// Held by who makes a connection.
    making: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone)]
pub(crate) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A call as it is sent.
pub(crate) struct Request {
    pub(crate) command: Cmd,
    /// A key of the place that it goes to.
    pub(crate) key: Vec<u8>,
    /// How many replicas are to confirm it, and for how long to wait for that.
    pub(crate) confirmed_by: Option<(u32, Duration)>,
}

/// The answer to a call, and how many replicas have confirmed it.
pub(crate) struct Answer {
    pub(crate) value: Value,
    pub(crate) confirmed: u32,
}

impl Link {
    pub(crate) fn new(config: &RedisConfig) -> Self {
        #[cfg(feature = "tls-rustls")]
        if config.uses_tls() {
            choose_cryptography();
        }
        Self {
            servers: config.servers.clone(),
            #[cfg(any(feature = "tls-rustls", feature = "tls-native"))]
            certificates: config.certificates.clone(),
            answer_within: config.answer_within,
            current: Arc::default(),
            making: Arc::default(),
        }
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.servers, Servers::Cluster(_))
    }

    /// The connection that is there, or a new one, and its number.
    pub(crate) async fn connection(&self) -> RedisResult<(u64, Connection)> {
        if let Some(found) = self.found() {
            return Ok(found);
        }
        let _making = self.making.lock().await;
        if let Some(found) = self.found() {
            return Ok(found);
        }
        let made = self.connect().await?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.0 += 1;
        current.1 = Some(made.clone());
        Ok((current.0, made))
    }

    fn found(&self) -> Option<(u64, Connection)> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Some((current.0, current.1.clone()?))
    }

    /// Gives up the connection with this number.
    pub(crate) fn give_up(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == number {
            current.1 = None;
        }
    }

    async fn connect(&self) -> RedisResult<Connection> {
        match &self.servers {
            Servers::Single(server) => {
                let client = self.client(server)?;
                self.multiplexed(&client).await.map(Connection::Single)
            }
            Servers::Cluster(nodes) => {
                let builder = ClusterClient::builder(nodes.clone())
                    .retries(CLUSTER_RETRIES)
                    .connection_timeout(CONNECT_WITHIN)
                    .response_timeout(self.answer_within);
                #[cfg(feature = "tls-rustls")]
                let builder = match &self.certificates {
                    Some(certificates) => builder.certs(certificates.clone()),
                    None => builder,
                };
                let client = builder.build()?;
                client.get_async_connection().await.map(Connection::Cluster)
            }
            Servers::Sentinel { .. } => {
                let client = self.master().await?;
                self.multiplexed(&client).await.map(Connection::Single)
            }
        }
    }

    async fn multiplexed(&self, client: &Client) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(self.answer_within));
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// The master that the sentinels know: the first that answers is believed.
    async fn master(&self) -> RedisResult<Client> {
        let Servers::Sentinel { sentinels, master, settings } = &self.servers else {
            return Err(RedisError::from((redis::ErrorKind::Client, "there are no sentinels")));
        };
        let mut error = RedisError::from((redis::ErrorKind::EmptySentinelList, "no sentinels"));
        for sentinel in sentinels {
            let asked = self.master_by(sentinel, master, settings);
            // One whose machine is gone does not even refuse.
            error = match timeout(CONNECT_WITHIN * 2, asked).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => error,
                Err(_) => std::io::Error::from(std::io::ErrorKind::TimedOut).into(),
            };
        }
        Err(error)
    }

    async fn master_by(
        &self,
        sentinel: &ConnectionInfo,
        master: &str,
        settings: &RedisConnectionInfo,
    ) -> RedisResult<Client> {
        let address = sentinel.addr().clone();
        let tls = match &address {
            ConnectionAddr::TcpTls { insecure: true, .. } => Some(TlsMode::Insecure),
            ConnectionAddr::TcpTls { .. } => Some(TlsMode::Secure),
            _ => None,
        };
        let kind = SentinelServerType::Master;
        let mut builder = SentinelClientBuilder::new([address], master, kind)?
            .set_client_to_redis_db(settings.db());
        if let Some(name) = settings.username() {
            builder = builder.set_client_to_redis_username(name);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(name) = sentinel.redis_settings().username() {
            builder = builder.set_client_to_sentinel_username(name);
        }
        if let Some(password) = sentinel.redis_settings().password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(mode) = tls {
            builder = builder.set_client_to_redis_tls_mode(mode);
            #[cfg(feature = "tls-rustls")]
            if let Some(certificates) = &self.certificates {
                builder = builder
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates.clone());
            }
        }
        builder.build()?.async_get_client().await
    }

    /// A client of one server.
    fn client(&self, server: &ConnectionInfo) -> RedisResult<Client> {
        #[cfg(any(feature = "tls-rustls", feature = "tls-native"))]
        if let (Some(certificates), ConnectionAddr::TcpTls { .. }) =
            (&self.certificates, server.addr())
        {
            return Client::build_with_tls(server.clone(), certificates.clone());
        }
        Client::open(server.clone())
    }

    /// Clients of the nodes to listen at, in the order in which they are to be tried.
    pub(crate) async fn listening_clients(&self) -> RedisResult<Vec<Client>> {
        match &self.servers {
            Servers::Single(server) => Ok(vec![self.client(server)?]),
            Servers::Cluster(nodes) => nodes.iter().map(|node| self.client(node)).collect(),
            Servers::Sentinel { .. } => Ok(vec![self.master().await?]),
        }
    }
}

/// Has rustls use ring, unless the program has chosen otherwise. The client library leaves
/// the choice to rustls, which breaks off where nobody has made it, or where other crates
/// of the program make it ambiguous.
#[cfg(feature = "tls-rustls")]
fn choose_cryptography() {
    use rustls::crypto::{CryptoProvider, ring};
    if CryptoProvider::get_default().is_none() {
        // Somebody may have been faster, and is as welcome.
        let _ = ring::default_provider().install_default();
    }
}

impl Connection {
    /// Sends a call, and waits for its answer.
    pub(crate) async fn send(&mut self, request: &Request) -> RedisResult<Answer> {
        let Some((replicas, within)) = request.confirmed_by else {
            let value = match self {
                Self::Single(connection) => connection.req_packed_command(&request.command).await,
                Self::Cluster(connection) => connection.req_packed_command(&request.command).await,
            }?;
            return Ok(Answer { value: value.extract_error()?, confirmed: 0 });
        };
        // The server confirms what came before on the same connection.
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(request.command.clone());
        let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        pipeline.cmd("WAIT").arg(replicas).arg(millis);
        let mut values = match self {
            Self::Single(connection) => connection.req_packed_commands(&pipeline, 0, 2).await?,
            Self::Cluster(connection) => {
                let route = Route::with_key(&request.key, SlotAddr::Master);
                let route = SingleNodeRoutingInfo::SpecificNode(route);
                connection.route_pipeline(pipeline, 0, 2, route).await?
            }
        }
        .into_iter();
        let value = values.next().unwrap_or(Value::Nil).extract_error()?;
        let confirmed = match values.next().unwrap_or(Value::Nil).extract_error()? {
            Value::Int(count) => u32::try_from(count).unwrap_or(0),
            _ => 0,
        };
        Ok(Answer { value, confirmed })
    }

    /// What the server says of itself, or each master of a cluster.
    pub(crate) async fn server_infos(&mut self) -> RedisResult<Vec<String>> {
        let command = redis::cmd("INFO");
        match self {
            Self::Single(connection) => {
                let value = connection.req_packed_command(&command).await?.extract_error()?;
                Ok(vec![redis::from_redis_value(value)?])
            }
            Self::Cluster(connection) => {
                let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                let value = connection.route_command(command, masters).await?.extract_error()?;
                let infos: HashMap<String, String> = redis::from_redis_value(value)?;
                Ok(infos.into_values().collect())
            }
        }
    }
}
