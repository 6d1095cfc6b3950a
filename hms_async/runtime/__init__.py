"""What runs inside a worker: exchange, slots, execution, leases, sweeps, shutdown."""
