"""Pictures and pages of results that were computed elsewhere."""
