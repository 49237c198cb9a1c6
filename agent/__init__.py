"""The agent worker: accepts LiveKit jobs and talks to callers. It never imports the gateway."""
