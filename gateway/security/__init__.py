"""API keys, client addresses, callback URLs and rate limits. Pure."""
