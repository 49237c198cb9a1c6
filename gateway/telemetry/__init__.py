"""What the gateway tells of itself to machines. Imports nothing else of the gateway."""
