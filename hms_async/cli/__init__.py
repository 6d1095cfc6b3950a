"""The command line `hms`, one module for each group of commands."""
