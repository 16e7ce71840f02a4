"""By-type effects: all events of a type are taken out of a sequence at once."""
