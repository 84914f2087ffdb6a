//! T7: whatever is malformed is refused, and gets the same verdict whether it comes straight to a
//! node or through a gateway, by either version of HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;
use tollgate_testkit::{Fleet, FleetBuilder, TestGateway};

use crate::support::{Cluster, Field, NewKey, Told, over_http1, over_http2};

pub(crate) mod framing;
pub(crate) mod table;

use table::Odd;

/// Requests under way at a time.
const AT_ONCE: usize = 32;
/// Of which a token comes back in three quarters of an hour: what was charged is told exactly.
const BURST: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// A way to a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) version: Version,
}

/// A node and the gateways before it.
struct Ways {
    cluster: Cluster,
    key: NewKey,
    other: NewKey,
    nginx: TestGateway,
    haproxy: TestGateway,
}

impl Ways {
    async fn to(fleet: FleetBuilder) -> Self {
        let cluster = Cluster::of(fleet).await;
        let node = cluster.fleet.node(0).unwrap().address();
        let (nginx, haproxy) = (TestGateway::nginx(node).await.unwrap(), TestGateway::haproxy(node).await.unwrap());
        let (key, other) = (cluster.limited_key(BURST, 2_678_400).await, cluster.limited_key(BURST, 2_678_400).await);
        Self { cluster, key, other, nginx, haproxy }
    }

    /// The node itself comes first.
    fn routes(&self) -> Vec<Route> {
        let node = self.cluster.fleet.node(0).unwrap().address();
        let ways = [("node", node, node), ("nginx", self.nginx.http1(), self.nginx.http2())];
        let ways = ways.into_iter().chain([("haproxy", self.haproxy.http1(), self.haproxy.http2())]);
        ways.flat_map(|(name, one, two)| {
            [Route { name, address: one, version: Version::One }, Route { name, address: two, version: Version::Two }]
        })
        .collect()
    }

    /// What is left of each key's burst: any request that was taken for theirs is missing there.
    async fn left(&self) -> [Option<u64>; 2] {
        let of = async |key: &NewKey| self.cluster.node(0).with(&key.api_key).peek().await.remaining;
        [of(&self.key).await, of(&self.other).await]
    }
}

impl Route {
    pub(crate) async fn ask(self, odd: &Odd) -> Told {
        match self.version {
            Version::One => over_http1(self.address, &http1(odd)).await,
            Version::Two => over_http2(self.address, &http2(odd)).await,
        }
    }

    /// What becomes of each, in order.
    pub(crate) async fn ask_all(self, table: &Arc<Vec<Odd>>) -> Vec<Told> {
        let mut asking = JoinSet::new();
        for lane in 0..AT_ONCE {
            let table = Arc::clone(table);
            asking.spawn(async move {
                let mut told = Vec::new();
                for (place, odd) in table.iter().enumerate().skip(lane).step_by(AT_ONCE) {
                    told.push((place, self.ask(odd).await));
                }
                told
            });
        }
        let told: BTreeMap<usize, Told> = asking.join_all().await.into_iter().flatten().collect();
        told.into_values().collect()
    }
}

fn http1(odd: &Odd) -> Vec<u8> {
    let lines = odd.fields.iter().map(|(name, value)| [name, b": ".as_slice(), value, b"\r\n"].concat());
    let head = format!("GET {} HTTP/1.1\r\nhost: tollgate\r\nconnection: close\r\n", odd.target);
    [head.into_bytes(), lines.collect::<Vec<_>>().concat(), b"\r\n".to_vec()].concat()
}

fn http2(odd: &Odd) -> Vec<Field> {
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", &odd.target), (":authority", "tollgate")];
    let pseudo = pseudo.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    [pseudo.to_vec(), odd.fields.clone()].concat()
}

/// Whether a gateway's verdict is the node's own. What a node refuses with its reasons a gateway
/// may refuse without any. What a node cannot even read a gateway refuses too, unless it cuts it up
/// or mends it so that it is a good request with no good credential.
fn is_same(straight: &Told, through: &Told) -> bool {
    let is_unread = |told: &Told| matches!(told, Told::Bare(400) | Told::Nothing);
    through == straight || is_unread(through) || (is_unread(straight) && *through == Told::Node(401, "unauthenticated".into()))
}

/// Asks everything on every way.
async fn all_ways(fleet: FleetBuilder) {
    let ways = Ways::to(fleet).await;
    let table = Arc::new(table::all(&ways.key.api_key, &ways.other.api_key));
    assert!(table.len() >= 500, "{}", table.len());
    let good = Odd::good(&ways.key.api_key);
    let mut straight: Vec<Vec<Told>> = Vec::new();
    for (place, route) in ways.routes().into_iter().enumerate() {
        assert_eq!(route.ask(&good).await, Told::Bare(200), "{route:?}");
        let told = route.ask_all(&table).await;
        let mut equal = 0;
        for (odd, told) in table.iter().zip(&told) {
            assert!(
                matches!(told, Told::Node(400 | 401, _) | Told::Bare(400) | Told::Nothing),
                "{route:?}, {}, {odd:?}: {told:?}",
                odd.class
            );
        }
        if let Some(straight) = straight.get(place % 2) {
            for ((odd, straight), told) in table.iter().zip(straight).zip(&told) {
                assert!(is_same(straight, told), "{route:?}, {}, {odd:?}: {straight:?} straight, {told:?} through", odd.class);
                equal += usize::from(straight == told);
            }
            assert!(equal >= 350, "{}: only {equal} are answered by the node", route.name);
        }
        straight.push(told);
    }
    assert_eq!(ways.left().await, [Some(BURST - 6), Some(BURST)], "only the good requests were charged");
    framing::nothing_is_smuggled(&ways).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_get_one_verdict_whatever_they_come_through() {
    all_ways(Fleet::builder(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_where_the_gateways_are_trusted() {
    all_ways(Fleet::builder(1).env("TOLLGATE_TRUSTED_PROXIES", "127.0.0.0/8")).await;
}
