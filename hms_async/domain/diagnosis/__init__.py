"""What is said of a system's state, judged from facts that others have read."""
