"""The pipelines of Transformers: ``causal-discovery`` and ``causal-effect``."""
