"""Places of a log that are joined, and the histories of a place and its neighbours."""
