"""`python -m gateway calls`: calls of a running gateway, listed, shown, followed and ended."""
