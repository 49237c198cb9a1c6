"""Whether traces are wanted, by OpenTelemetry's own variables, and the SDK that exports them."""

import importlib.util
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from common.otlp import Clean

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
#: Variables with the headers of a collector, which may hold its key.
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
PROTOCOL = "http/protobuf"


def tracer_provider(
    env: Mapping[str, str], service: str, *, clean: "Clean | None" = None
) -> "TracerProvider | None":
    """What exports spans to the collector that `env` names; None if it names none.

    `service` is the service's name where `env` has none. `clean` takes what must not leave the
    process out of a span's attributes. That traces are wanted and cannot be had is logged; it costs
    no call.
    """
    if not _is_wanted(env):
        return None
    if problem := _problem(env):
        logger.warning("tracing.unavailable", extra={"error": problem})
        return None
    from common.otlp import open_provider  # noqa: PLC0415 - it needs the SDK, and takes time

    return open_provider(env, service, clean)


def secret_headers(env: Mapping[str, str]) -> frozenset[str]:
    """The values of the headers by which the collector knows us: no log may hold them."""
    pairs = ",".join(env.get(name, "") for name in _HEADERS).split(",")
    return frozenset(value.strip() for pair in pairs if (value := pair.partition("=")[2].strip()))


def _is_wanted(env: Mapping[str, str]) -> bool:
    is_off = env.get("OTEL_SDK_DISABLED", "").lower() == "true"
    exporter = env.get("OTEL_TRACES_EXPORTER") or "otlp"
    return not is_off and exporter == "otlp" and any(env.get(name) for name in _ENDPOINTS)


def _problem(env: Mapping[str, str]) -> str:
    """Why traces cannot be exported; "" if they can."""
    for name in _PROTOCOLS:
        if (protocol := env.get(name, PROTOCOL)) != PROTOCOL:
            return f"{name} is {protocol}: only {PROTOCOL} is supported, usually at port 4318"
    if not importlib.util.find_spec("opentelemetry") or not importlib.util.find_spec(
        "opentelemetry.exporter.otlp.proto.http"
    ):
        return "OpenTelemetry is not installed: pip install '.[otel]'"
    return ""
