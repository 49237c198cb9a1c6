"""Where calls, callbacks, idempotency keys and the live feed are stored.

The modules here are the protocols; `memory/` and `redis/` each implement all of them.
"""
