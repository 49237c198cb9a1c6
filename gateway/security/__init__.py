"""API keys, client addresses, callback URLs, redaction and rate limits. Pure."""
