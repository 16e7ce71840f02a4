"""Rows of tokens in, log-probabilities out. Knows models and tensors, never event names or graphs."""
