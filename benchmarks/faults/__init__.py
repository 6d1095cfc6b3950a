"""The fault campaign; `__main__.py` says how to run and read it."""
