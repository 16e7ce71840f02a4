"""Estimators, graphs and the numbers that judge them. No models, no tokenizers."""
