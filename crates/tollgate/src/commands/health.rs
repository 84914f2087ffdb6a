//! `tollgate health`: what a container's health check asks.
//!
//! A node whose Redis or Postgres is gone is healthy: to restart it would help nobody, and to
//! restart all of them at once would make an outage of it.

use tollgate_api::ComponentState;
use tollgate_client::{Client, ErrorKind, HealthAnswer};

use crate::{
    exit::{Exit, Failure},
    output::Output,
    table,
};

pub(crate) async fn run(client: &Client, output: Output) -> Result<Exit, Failure> {
    let health = match client.health().await {
        Ok(health) => health,
        Err(error) => match &error.kind {
            // The node is there and says so itself: it cannot look the credential up.
            ErrorKind::Problem(refusal) if refusal.problem.status == 503 => {
                output.note(&format!("the node answers, but cannot tell all: {error} (request id {})", error.request_id));
                return Ok(Exit::Done);
            }
            _ => return Err(error.into()),
        },
    };
    output.result(&health.body, |_| health_table(&health))?;
    let exit = exit_of(&health);
    if let (503, Some(reason)) = (health.status, &health.readiness.reason) {
        output.note(&format!("the node is not ready: {reason}"));
    }
    Ok(exit)
}

fn exit_of(health: &HealthAnswer) -> Exit {
    let is_dependency = health.readiness.components.iter().any(|component| component.state != ComponentState::Ok);
    if health.status == 200 || is_dependency { Exit::Done } else { Exit::Unreachable }
}

fn health_table(health: &HealthAnswer) -> String {
    let ready = if health.readiness.ready { "yes" } else { "no" };
    let mut rows = vec![("ready", ready.to_owned())];
    for component in &health.readiness.components {
        let reason = component.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        rows.push((component.component.as_str(), format!("{}{reason}", state_text(component.state))));
    }
    table::fields(&rows)
}

fn state_text(state: ComponentState) -> &'static str {
    match state {
        ComponentState::Ok => "ok",
        ComponentState::Degraded => "degraded",
        ComponentState::Down => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(status: u16, redis: &str) -> HealthAnswer {
        let body =
            serde_json::json!({ "ready": status == 200, "components": [{ "component": "redis", "state": redis, "reason": "gone" }] });
        HealthAnswer { status, readiness: serde_json::from_value(body.clone()).expect("health"), body }
    }

    #[test]
    fn an_outage_of_a_dependency_is_no_reason_to_restart_the_node() {
        for (status, redis, exit) in [(200, "ok", 0), (200, "down", 0), (503, "down", 0), (503, "degraded", 0), (503, "ok", 8)] {
            assert_eq!(exit_of(&health(status, redis)).code(), exit, "{status} {redis}");
        }
    }

    #[test]
    fn the_table_tells_each_component() {
        assert_eq!(health_table(&health(503, "down")), "ready  no\nredis  down: gone");
    }
}
