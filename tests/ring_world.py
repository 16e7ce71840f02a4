"""Places in a ring, with a rule within each and one between neighbours."""

import numpy as np

PLACES = 6


def ring_rows(minutes=700, *, seed=0):
    """A spark brings an alarm where it is, and a leak a flood at both neighbours; walks bring nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for minute in range(minutes):
        place = int(rng.integers(PLACES))
        kind = str(rng.choice(["spark", "leak", "walk"]))
        rows.append((place, kind, 60.0 * minute))
        after = 60.0 * minute + float(rng.uniform(5, 15))
        if kind == "spark":
            rows.append((place, "alarm", after))
        if kind == "leak":
            rows += [((place + step) % PLACES, "flood", after) for step in (1, -1)]
    return [(f"place{place:02d}", event, time) for place, event, time in rows]


RING = [(f"place{place:02d}", f"place{(place + 1) % PLACES:02d}") for place in range(PLACES)]
