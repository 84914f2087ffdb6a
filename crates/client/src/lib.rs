//! A client of Tollgate's HTTP API, for the command line and for applications.
//!
//! Every call is bounded in time and in the bytes it reads, follows no redirect (which would carry
//! the credential to somebody else), uses no proxy, and sends an `x-request-id` that comes back
//! with any failure. No error and no `Debug` contains a secret.
//!
//! ```no_run
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! use tollgate_client::{Client, Credential};
//!
//! let credential = Credential::parse(&std::env::var("TOLLGATE_API_KEY")?)?;
//! let client = Client::new("http://127.0.0.1:8080", Some(credential))?;
//! let answer = client.check(&tollgate_api::CheckBody { cost: Some(5), ..Default::default() }).await?;
//! # Ok(()) }
//! ```

mod calls;
mod client;
mod credential;
mod error;
mod lifecycle;
mod request_id;

pub use calls::{HealthAnswer, ListKeys};
pub use client::{Client, ClientOptions};
pub use credential::{Credential, CredentialError};
pub use error::{ClientError, ClientSetupError, ErrorKind, Refusal};
pub use request_id::{RequestId, RequestIdError};
