"""Settings: their types and defaults, where they are read, and what is wrong with them."""
