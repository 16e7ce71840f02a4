"""What would have been in a single row, had something in it been otherwise."""
