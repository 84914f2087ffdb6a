# The image of Tollgate: one binary on a base that has no shell.
#
#   docker build --tag tollgate .
#
# What it is made from can be replaced: --build-arg RUST_IMAGE=…, RUNTIME_IMAGE=…. BINARY_IMAGE names an image
# that has the binary already, as /out/tollgate; then nothing is compiled (BuildKit).
ARG RUST_IMAGE
ARG RUNTIME_IMAGE
ARG BINARY_IMAGE

# The manifests with empty sources: what comes of it changes only where a manifest does, and so the next
# stage keeps its layer of compiled dependencies.
FROM ${RUST_IMAGE:-rust:1.95-slim-bookworm} AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path '*/src/lib.rs' ! -path '*/src/main.rs' \
        ! -path '*/benches/*.rs' ! -path './tests/main.rs' -delete \
 && find . -type f -name '*.rs' -exec truncate --size 0 {} + \
 && echo 'fn main() {}' >/tmp/main.rs \
 && find . -type f -name main.rs -exec cp /tmp/main.rs {} ';' \
 && find . -mindepth 1 -type d -empty -delete

FROM ${RUST_IMAGE:-rust:1.95-slim-bookworm} AS build
WORKDIR /src
# Names of functions stay, for backtraces; lines do not. The allocator's C names the time it was compiled at: a day that
# is always the same.
ENV CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo SOURCE_DATE_EPOCH=1
COPY --from=manifests /src .
RUN cargo build --locked --release --package tollgate
COPY . .
# Sources older than the empty ones would be taken for compiled already.
RUN find crates -name '*.rs' -exec touch {} + \
 && cargo build --locked --release --package tollgate \
 && install -D target/release/tollgate /out/tollgate

FROM ${BINARY_IMAGE:-build} AS binary

FROM ${RUNTIME_IMAGE:-gcr.io/distroless/cc-debian12:nonroot}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Tollgate" \
      org.opencontainers.image.description="A distributed rate limiter and API-key gate" \
      org.opencontainers.image.source="https://github.com/tollgate/tollgate" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY LICENSE /usr/share/doc/tollgate/LICENSE
COPY --from=binary /out/tollgate /usr/local/bin/tollgate
# Loopback inside a container can be reached by nobody. Whoever runs it says with TOLLGATE_ALLOW_PLAINTEXT that
# the container's network may be trusted.
ENV TOLLGATE_LISTEN=0.0.0.0:8080 TOLLGATE_METRICS_LISTEN=0.0.0.0:9464
USER 65532:65532
# Where a node of mode embedded keeps its file: ./tollgate-data. A cluster's node writes nothing.
WORKDIR /home/nonroot
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/tollgate", "health", "--api-key-file", "/run/tollgate/health-key"]
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve"]
