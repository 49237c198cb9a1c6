"""Storage in the memory of one gateway: nothing survives a restart."""
