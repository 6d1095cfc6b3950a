"""The parts of `hms demo`: one night at the passport office."""
