"""agents.yaml: which conversation the agent holds on which call. Imports nothing of LiveKit's."""
