"""One training loop, fed by logs, streams and tables."""
