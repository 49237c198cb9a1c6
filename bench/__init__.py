"""Measurements, each side by side with its floor in one run. `make bench` runs them all."""
