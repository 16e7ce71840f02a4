"""Variables of a known directed acyclic graph, and tables of their values."""
