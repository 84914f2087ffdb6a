//! The recipes of `deploy/gateways`: each real gateway, under the files that are shipped, between real
//! clients and an app that tells what it was sent, with a real node as its gate.

mod addresses;
mod app;
mod identity;
mod malformed;
mod outages;
mod passing;
mod refusals;
mod site;
