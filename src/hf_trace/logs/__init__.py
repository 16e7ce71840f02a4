"""Event logs: read from any source, held as a few arrays, cut, sampled and written."""
