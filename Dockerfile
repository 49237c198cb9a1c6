# Two images; docs/deployment.md has how to run them:
#   docker build --target gateway --tag gateway .
#   docker build --target worker --tag worker .
# With MCP servers as tools: --build-arg EXTRAS=agent,mcp
# With traces of the gateway: --build-arg GATEWAY_EXTRAS=otel
FROM python:3.11-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv --without-pip /opt/gateway
# Of the code only its version: while these files stay, the dependencies come from the cache.
COPY constraints.txt pyproject.toml setup.cfg ./
COPY gateway/__init__.py gateway/

FROM build AS gateway-dependencies
ARG GATEWAY_EXTRAS=
# Almost half of what the wheels have is for debuggers, type checkers and the libraries' own tests.
RUN pip --python /opt/gateway/bin/python install -c constraints.txt ".${GATEWAY_EXTRAS:+[$GATEWAY_EXTRAS]}" && \
    find /opt/gateway -name '*.so' -exec strip --strip-unneeded {} + && \
    find /opt/gateway -type d \( -name tests -o -name testing \) -prune -exec rm -r {} + && \
    find /opt/gateway -name '*.py[idx]' -delete

FROM gateway-dependencies AS worker-dependencies
ARG EXTRAS=agent
RUN pip --python /opt/gateway/bin/python install -c constraints.txt ".[${EXTRAS}]"

FROM build AS gateway-code
COPY common common
COPY gateway gateway
RUN pip install --no-deps --target /code .

FROM gateway-code AS worker-code
COPY agent agent
RUN pip install --no-deps --upgrade --target /code .

FROM python:3.11-slim-bookworm AS runtime
# Its home is the folder for what is stored: the history of calls, reports on their way.
RUN useradd --system --uid 10001 --home-dir /var/lib/gateway --create-home gateway
COPY config.yaml agents.yaml /etc/gateway/
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GATEWAY_CONFIG=/etc/gateway/config.yaml \
    GATEWAY__LOGGING__FORMAT=json
# By number, so that Kubernetes sees that it is not root.
USER 10001:10001
WORKDIR /var/lib/gateway
VOLUME /var/lib/gateway
# Healthy once calls can come: the gateway is ready, or a process of the worker is warm.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-m", "gateway.tools.healthy"]

FROM runtime AS worker
COPY --from=worker-dependencies /opt/gateway /opt/gateway
COPY --from=worker-code /code /opt/gateway/lib/python3.11/site-packages
EXPOSE 8081
# By env(1): a copy of .env.example as --env-file would take precedence over ENV.
ENTRYPOINT ["env", "AGENTS_FILE=/etc/gateway/agents.yaml", "AGENT_HTTP_HOST=0.0.0.0", \
    "python", "-m", "agent"]

FROM runtime AS gateway
COPY --from=gateway-dependencies /opt/gateway /opt/gateway
COPY --from=gateway-code /code /opt/gateway/lib/python3.11/site-packages
EXPOSE 8000
ENTRYPOINT ["python", "-m", "gateway"]
CMD ["serve"]
