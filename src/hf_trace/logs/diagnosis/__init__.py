"""What a log is like before anything is learned from it: columns, times, repeats, and what to choose for it."""
