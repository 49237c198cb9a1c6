"""One SSL context for all HTTP clients, in all processes.

Each client makes one of its own, in 15 ms of CPU; a call has a client for each of its models, and
to check agents.yaml makes the models of all profiles.
"""

import functools

import httpcore2
import httpx2

httpcore2.default_ssl_context = functools.cache(httpcore2.default_ssl_context)
httpx2.create_ssl_context()
