"""What the gateway reports about itself, metrics and traces. Imports nothing else of it."""
