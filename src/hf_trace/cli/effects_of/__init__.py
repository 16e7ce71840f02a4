"""The two kinds of questions that ``hf-trace effect`` asks: of a table, and of a sequence of a log."""
