"""Everything on one machine: LiveKit, gateway and worker as children of one command."""
