//! Nodes as the other tests use them: they come up, answer, stop and start again.

use tollgate_testkit::{Fleet, Node, Scratch};

#[tokio::test]
async fn a_fleet_is_ready_behind_its_balancer() {
    let fleet = Fleet::start(3).await.unwrap();
    assert!(fleet.admin_key.starts_with("tk_"), "the admin key is not an api key");
    let balancer = fleet.balancer().await.unwrap();
    for _ in 0..6 {
        assert_eq!(tollgate_testkit::status(balancer.address(), "/health/ready").await.unwrap(), 200);
    }
    assert!(fleet.node(2).unwrap().metrics().await.unwrap().contains("tollgate_build_info"));
}

#[tokio::test]
async fn a_node_stops_cleanly_and_starts_again_on_its_port() {
    let data = Scratch::new("data").unwrap();
    let mut node = Node::embedded(data.path()).start().await.unwrap();
    let status = node.stop().await.unwrap();
    assert!(status.success(), "{status}: {}", node.process().log_tail());
    let address = node.address();
    node.start_again().await.unwrap();
    assert_eq!(node.address(), address);
    assert_eq!(node.health("/health/live").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_node_that_ends_at_once_is_reported_with_its_log() {
    let data = Scratch::new("data").unwrap();
    let started = Node::embedded(data.path()).env("TOLLGATE_NO_SUCH_SETTING", "1").start().await;
    let error = format!("{:#}", started.err().unwrap());
    assert!(error.contains("no_such_setting") && error.contains("64"), "{error}");
}
