"""Population graphs: pooled sums, frequencies, resampling, groups, and pools in files."""
