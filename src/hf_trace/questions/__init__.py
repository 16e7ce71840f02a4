"""Questions about sequences: what-if effects, root causes of an event, causes of outcomes."""
