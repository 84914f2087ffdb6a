//! An axum app behind the gate.
//!
//! ```sh
//! TOLLGATE_URLS=http://127.0.0.1:8081,http://127.0.0.1:8082 cargo run -p tollgate-layer --example orders
//! curl -i -H "Authorization: Bearer $API_KEY" http://127.0.0.1:3000/orders
//! ```

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use tollgate_layer::{GateOptions, RemoteGate};

mod app;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let urls = std::env::var("TOLLGATE_URLS").unwrap_or_else(|_| "http://127.0.0.1:8080".into());
    let urls: Vec<&str> = urls.split(',').collect();
    let gate = RemoteGate::new(&urls, &GateOptions::default())?
        .with_address(|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app::app(&gate)?.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
