"""Observations to token ids and back. Behaviour lives here; what is stored is a plain Transformers tokenizer."""
