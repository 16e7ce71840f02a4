"""Event logs in, causal graphs out: what the package reads and writes. No models, no tokenizers."""
