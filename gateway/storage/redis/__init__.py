"""Storage in a Redis that several gateways share."""
