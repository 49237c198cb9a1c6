"""`python -m gateway doctor`: finds what is wrong before a caller does, and explains calls."""
