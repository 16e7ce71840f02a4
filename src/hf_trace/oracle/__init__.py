"""Rows of tokens in, log-probabilities out: a causal language model as a density oracle."""
