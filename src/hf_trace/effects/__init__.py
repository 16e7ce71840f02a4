"""Effects of interventions on the variables of a known graph (arXiv 2409.18581)."""
