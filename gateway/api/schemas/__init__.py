"""JSON to frozen dataclasses, and the shapes of the answers."""
