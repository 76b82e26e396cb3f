# The service as an image: built from the sources, run as a user without rights. Base images are
# arguments, for mirrors; both must be of one Debian release, since the binary uses its C library.
ARG BUILD_IMAGE=rust:1-bookworm
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY actors actors
COPY bench bench
COPY .cargo .cargo
COPY presets presets
COPY src src
RUN cargo build --release --locked --bin ticketgate

FROM ${RUN_IMAGE}
# For brokers and backends behind TLS. From the builder: this image needs no network of its own.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/release/ticketgate /usr/local/bin/ticketgate
# A named volume takes over the owner of the folder that it is put on.
RUN groupadd --gid 10001 ticketgate \
 && useradd --uid 10001 --gid ticketgate --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin ticketgate \
 && install -d -o ticketgate -g ticketgate -m 0700 /var/lib/ticketgate
USER 10001:10001
WORKDIR /var/lib/ticketgate
VOLUME /var/lib/ticketgate
EXPOSE 8640
ENTRYPOINT ["ticketgate"]
CMD ["serve", "--config", "/etc/ticketgate/ticketgate.toml"]
