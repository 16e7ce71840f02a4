"""A causal graph as a picture: where its nodes stand, how its edges look, the file."""
