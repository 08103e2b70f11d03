# The image of the agent: node, the packet filter's tools and the bundle, without a shell or a package manager.
#
#   docker build --build-arg VERSION=$(make -s version) -t ip-masq-agent .
#   podman build ... and buildah bud --layers ... do the same; `make container` adds what makes it reproducible.
#
# Everything that is run while it is built runs on the builder's platform, so that --platform=linux/arm64 needs no
# emulator: of the target's platform there are only files.
ARG BASE=docker.io/library/node:24-trixie-slim
# As in @sha256:0123...; empty takes what the name means today.
ARG BASE_DIGEST=

FROM ${BASE}${BASE_DIGEST} AS target-node

FROM --platform=$BUILDPLATFORM ${BASE}${BASE_DIGEST} AS builder
ARG TARGETARCH
WORKDIR /src
COPY scripts/image-compiler.sh scripts/
RUN scripts/image-compiler.sh $TARGETARCH
COPY package.json package-lock.json .npmrc ./
# No package's script is needed: esbuild comes with its binary.
RUN npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
COPY scripts/image-root.sh scripts/
COPY --from=target-node /usr/local/bin/node /target/node
COPY --from=target-node /usr/local/LICENSE /target/LICENSE
RUN scripts/image-root.sh $TARGETARCH /target /image
COPY build.mjs tsconfig.json LICENSE ./
COPY src src
ARG VERSION=
ARG SOURCE_DATE_EPOCH=0
COPY scripts/version.mjs scripts/image-agent.sh scripts/
COPY scripts/start scripts/start
RUN scripts/image-agent.sh $TARGETARCH /image/agent /image/compiled

FROM scratch
# Layers from what seldom changes to what always does: a new version of the agent is a pull of the last two alone.
COPY --from=builder /image/node /
COPY --from=builder /image/tools /
COPY --from=builder /image/agent /
COPY --from=builder /image/compiled /
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin NODE_ENV=production
# The capabilities NET_ADMIN and NET_RAW count for uid 0 alone; it needs no other, and writes nothing.
USER 0:0
ENTRYPOINT ["/usr/local/bin/ip-masq-agent"]
ARG VERSION=
ARG REVISION=
ARG CREATED=
ARG BASE
LABEL org.opencontainers.image.title="ip-masq-agent" \
      org.opencontainers.image.description="Keeps a Kubernetes node's masquerading rules equal to a ConfigMap" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE}"
