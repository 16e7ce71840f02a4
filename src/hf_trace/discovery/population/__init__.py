"""One graph from many sequences: sums, shares, resampling, groups, and pools that grow."""
