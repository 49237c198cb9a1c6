# One image for both processes:
#   docker run IMAGE                 the gateway
#   docker run IMAGE agent           the worker; stop it with the time of a call: docker stop -t 3900
# MCP servers as tools: docker build --build-arg EXTRAS=agent,mcp
FROM python:3.11-slim AS build
ARG EXTRAS=agent
WORKDIR /src
RUN python -m venv /opt/gateway
COPY constraints.txt pyproject.toml setup.cfg README.md ./
COPY gateway gateway
COPY agent agent
COPY common common
RUN /opt/gateway/bin/pip install --no-cache-dir --disable-pip-version-check \
    -c constraints.txt ".[${EXTRAS}]"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home gateway
COPY --from=build /opt/gateway /opt/gateway
COPY config.yaml agents.yaml /etc/gateway/
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GATEWAY_CONFIG=/etc/gateway/config.yaml \
    AGENTS_FILE=/etc/gateway/agents.yaml \
    GATEWAY__LOGGING__FORMAT=json \
    AGENT_HTTP_HOST=0.0.0.0
USER gateway
WORKDIR /home/gateway
EXPOSE 8000 8081
# Healthy once calls can come: the gateway is ready, or a process of the worker is warm.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["python", "-m", "gateway.tools.healthy"]
ENTRYPOINT ["python", "-m"]
CMD ["gateway", "serve"]
