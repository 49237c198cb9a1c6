"""The page at `/`: what a browser shows of calls. It asks the same services as `api/`."""
