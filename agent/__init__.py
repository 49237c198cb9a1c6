"""The agent worker: takes LiveKit jobs and talks to callers. It never imports the gateway."""
