"""The speed benchmark: environments, a server, scenarios, and what comes out of them."""
