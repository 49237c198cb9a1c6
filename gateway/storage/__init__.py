"""Where calls, callbacks and idempotency keys are stored: protocols, and the choice."""
