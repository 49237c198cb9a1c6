"""The voice pipeline: conversations by livekit-agents' AgentSession, as agents.yaml has them."""
