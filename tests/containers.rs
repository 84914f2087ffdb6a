//! The image, and the stack of `docker-compose.yml`, as somebody else runs them.
//!
//! These need a Docker engine: where there is none `tests/run` says so and leaves them out. The image is made
//! of the release binary, which takes seconds; `TOLLGATE_IMAGE` names one that is there already.

mod clients;
mod compose_file;
mod docker;
mod gate;
mod health_check;
mod image;
mod stack;
mod stack_cluster;
mod stack_steps;
mod testcontainers;
