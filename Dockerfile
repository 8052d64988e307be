# The image holds the build that is tested: glibc linked statically, in nothing at all.
# The builder is an argument, so that you can pin it by digest or use your own mirror.
ARG BUILDER=docker.io/library/rust:1.95-bookworm
FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
# Nobody may read the program: one that its uid may not read is born not dumpable, so that no process of that uid opens its
# memory before it has hardened itself. `secret-exec install` copies the readable file beside it, which is not executable.
RUN cargo build --locked --release --bins \
    && mkdir -p /out \
    && cp target/*/release/secret-exec target/*/release/secret-inject /out/ \
    && chmod 0555 /out/secret-inject \
    && cp /out/secret-exec /out/secret-exec.copy \
    && chmod 0444 /out/secret-exec.copy && chmod 0111 /out/secret-exec

FROM scratch
COPY --from=build /out/secret-exec /out/secret-exec.copy /out/secret-inject /
# Non-root by number, so that runAsNonRoot can be checked. Wrap as root only with --run-as.
USER 65532:65532
ENTRYPOINT ["/secret-exec"]
