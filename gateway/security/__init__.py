"""API keys, addresses, callback URLs, redaction and rate limits. No I/O."""
