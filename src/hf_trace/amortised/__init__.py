"""Models that learned once, from simulated logs, how to read any log: the log is their context, not their training."""
