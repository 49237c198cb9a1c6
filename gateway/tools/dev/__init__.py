"""`python -m gateway dev`: LiveKit, gateway and worker on this machine."""
