"""What the worlds with a name are like, a line each; imports nothing, so that help is quick."""

NAMED_WORLDS = {
    "steep": "1,000 types, the last event decides most (TRACE, Eq. 21)",
    "medium": "1,000 types, effects fade slowly",
    "flat": "1,000 types, six past events count alike",
    "small": "100 types, the last event decides most",
    "small-medium": "100 types, effects fade slowly",
    "hawkes": "types that cause each other after a delay, in seconds",
    "bursts": "every event is repeated a few times; causes act between bursts",
    "periodic": "heartbeats, polls, reports and backups, which cause nothing, beside a network",
    "signals": "signals that are set and clear; a change hands itself on",
    "chatter": "two chattering alarms, and floods in which everything is frequent",
    "together": "pairs of causes that act only when both have come",
    "inhibition": "causes that make another type rarer for a while",
    "hidden": "hidden causes that drive two types, one later than the other",
}
