"""Which event caused which: scores of pairs, thresholds, graphs of one sequence and of many."""
