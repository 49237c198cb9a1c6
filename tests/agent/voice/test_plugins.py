"""Models of livekit-agents' plugins."""

import httpx2

from agent.profiles.model_choice import Choice
from agent.voice import plugins


def test_the_models_of_all_profiles_share_one_ssl_context() -> None:
    choice = Choice("llm", "profiles.default.llm", "openai", {"api_key": "none"})
    models = [plugins.make(choice) for _ in range(2)]
    one, other = (model._client._client._transport._pool._ssl_context for model in models)
    assert one is other is httpx2.create_ssl_context()
