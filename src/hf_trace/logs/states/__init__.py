"""States: which variables a log knows, what value each holds, and since when."""
