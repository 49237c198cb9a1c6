"""Whose models there are keys for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class ModelAccess:
    openai: bool = False
    inference: bool = False


def model_access(env: Mapping[str, str], livekit_url: str) -> ModelAccess:
    """`env` without blank values. LiveKit Cloud takes LiveKit's own key for Inference, too."""
    host = urlsplit(livekit_url).hostname or ""
    has_own_key = {"LIVEKIT_INFERENCE_API_KEY", "LIVEKIT_INFERENCE_API_SECRET"} <= env.keys()
    return ModelAccess(
        openai="OPENAI_API_KEY" in env,
        inference=host.endswith(".livekit.cloud") or has_own_key or "LIVEKIT_INFERENCE_URL" in env,
    )
