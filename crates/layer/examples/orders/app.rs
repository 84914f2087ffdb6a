//! An app behind the gate: each route says what it costs and which scope it needs.

use axum::{Extension, Router, response::IntoResponse, routing::get};
use tollgate_layer::{AuthContext, Demand, DemandError, RemoteGate};

/// The routes. Health is open to anybody; a report costs ten times as much as an order.
pub(crate) fn app(gate: &RemoteGate) -> Result<Router, DemandError> {
    let orders = gate.layer(Demand::tokens(1)?.with_scope("orders:read")?);
    let reports = gate.layer(Demand::tokens(10)?.with_scope("reports:read")?);
    Ok(Router::new()
        .route("/orders", get(list).layer(orders))
        .route("/reports", get(list).layer(reports))
        .route("/health", get(|| async { "ok" })))
}

/// The gate says who asks; while it is open in an outage, nobody does.
async fn list(caller: Option<Extension<AuthContext>>) -> impl IntoResponse {
    match caller {
        Some(Extension(caller)) => format!("for {}\n", caller.owner.unwrap_or(caller.key_id)),
        None => "for somebody\n".to_owned(),
    }
}
