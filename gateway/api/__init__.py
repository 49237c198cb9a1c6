"""HTTP: requests are authenticated, parsed and answered here, and nowhere else."""
