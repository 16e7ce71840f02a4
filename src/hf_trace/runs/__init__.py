"""Run folders: a model with its tokenizer, its further models, and everything that was measured."""
