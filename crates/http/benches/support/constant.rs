//! The handler that does nothing: it answers what a node has once answered, byte for byte.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use anyhow::{Context, Result};
use axum::{Router, response::Response, routing::any};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tollgate_http::{Phase, Server, ServerOptions, Surface};
use tollgate_testkit::{Port, eventually};

/// The argument with which a bench runs itself as the handler: `empty-handler HOW ADDRESS FILE`.
const ROLE: &str = "empty-handler";
/// What the server writes of itself.
const WRITTEN_ANYWAY: [&str; 2] = ["date", "content-length"];

/// An answer and the path that it is given at.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Constant {
    pub(crate) path: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Constant {
    /// What a server answers to a GET with this credential.
    pub(crate) async fn like(path: &str, url: &str, credential: &str) -> Result<Self> {
        let answer = reqwest::Client::new().get(url).bearer_auth(credential).send().await?;
        let status = answer.status().as_u16();
        let mut headers = Vec::new();
        for (name, value) in answer.headers() {
            if !WRITTEN_ANYWAY.contains(&name.as_str()) {
                headers.push((name.to_string(), value.to_str()?.to_owned()));
            }
        }
        Ok(Self { path: path.to_owned(), status, headers, body: answer.text().await? })
    }

    fn route(self, routes: Router) -> Result<Router> {
        let path = self.path;
        let status = StatusCode::from_u16(self.status)?;
        let named = |(name, value): (String, String)| Ok((HeaderName::try_from(name)?, HeaderValue::try_from(value)?));
        let headers = self.headers.into_iter().map(named).collect::<Result<Vec<_>>>()?;
        let body = Bytes::from(self.body);
        Ok(routes.route(
            &path,
            any(move || {
                let mut response: Response = Response::new(body.clone().into());
                *response.status_mut() = status;
                response.headers_mut().extend(headers.iter().cloned());
                std::future::ready(response)
            }),
        ))
    }
}

/// What stands before the handler.
#[derive(Clone, Copy)]
pub(crate) enum Loop {
    /// The product's own accept loop.
    Own,
    /// `axum::serve`, as its users have it.
    Axum,
}

/// A handler in a process of its own.
pub(crate) struct EmptyHandler {
    process: std::process::Child,
    pub(crate) address: SocketAddr,
    _port: Port,
}

impl EmptyHandler {
    pub(crate) async fn start(before: Loop, answers: &[Constant], folder: &Path) -> Result<Self> {
        let port = Port::take()?;
        let address = port.address();
        let file = folder.join(format!("answers-{}.json", address.port()));
        fs::write(&file, serde_json::to_vec(answers)?)?;
        let how = if matches!(before, Loop::Own) { "own" } else { "axum" };
        let process = Command::new(std::env::current_exe()?).args([ROLE, how, &address.to_string()]).arg(&file).spawn()?;
        let handler = Self { process, address, _port: port };
        eventually("the empty handler", std::time::Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect(address).await.map(drop).context("not listening yet")
        })
        .await?;
        Ok(handler)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for EmptyHandler {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).ok();
    }
}

/// Runs the handler if that is what this process was started for; tells whether it was.
pub(crate) async fn was_asked_for() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(at) = arguments.iter().position(|argument| argument == ROLE) else { return Ok(false) };
    let [how, address, file] = arguments.get(at + 1..at + 4).context("the empty handler needs to be told how, where and what")? else {
        anyhow::bail!("the empty handler needs to be told how, where and what");
    };
    let answers: Vec<Constant> = serde_json::from_slice(&fs::read(file)?)?;
    let routes = answers.into_iter().try_fold(Router::new(), |routes, answer| answer.route(routes))?;
    let address = address.parse()?;
    if how == "own" {
        let server = Server::bind(address, ServerOptions::default()).await?;
        let (_serving, phase) = watch::channel(Phase::Serve);
        server.serve(Surface::new(routes), phase).await;
    } else {
        axum::serve(tokio::net::TcpListener::bind(address).await?, routes).await?;
    }
    Ok(true)
}
