"""What gateways share: one Redis. Connection, scripts, and whose turn it is to watch."""
