"""Everything in the memory of one gateway."""
