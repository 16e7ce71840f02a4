"""Questions about one sequence: what if, what led to an event, which events bring an outcome about."""
