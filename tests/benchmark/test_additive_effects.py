"""Effects in the additive model against a full enumeration of places."""

import numpy as np

from hf_trace.benchmark.additive_effects import additive_effects
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.oracle.additive_model import PAST_EVENTS, TimedEvents, fit_additive


def test_it_is_the_sum_over_places():
    rng = np.random.default_rng(3)
    sequences = []
    for _ in range(12):
        events, times = rng.choice(list("abc"), 30).tolist(), np.cumsum(rng.exponential(1.0, 30)).tolist()
        sequences.append(EventSequence(tuple(events), tuple(times)))
    log = EventLog.from_sequences(sequences)
    model = fit_additive(TimedEvents(log.codes, log.offsets, log.timestamps), 3)
    start, of_last = model.start.numpy(), model.of_last.detach().numpy()
    gaps, of_type = model.of_gap.detach().numpy(), (model.of_type + model.of_time).detach().numpy()
    class_of, expected = model.class_of, np.zeros((3, 3))

    def softmax(logits):
        raised = np.exp(logits - logits.max())
        return raised / raised.sum()

    for first, stop in zip(log.offsets[:-1], log.offsets[1:], strict=True):
        for place in range(first, stop):
            past = range(max(first, place - PAST_EVENTS), place)
            found = [(class_of[log.codes[j]], np.searchsorted(model.edges, log.timestamps[place] - log.timestamps[j]))
                     for j in past]  # fmt: skip
            parts = [of_type[kind, since] for kind, since in found]
            own = start + gaps[found[-1][1] if found else len(model.edges) + 1] + sum(parts)
            own = own + (of_last[found[-1][0]] if found else 0)
            for cause in range(3):
                without = own - sum(part for part, (kind, _) in zip(parts, found, strict=True) if kind == cause)
                if found and found[-1][0] == cause:
                    without = without - of_last[cause]
                expected[cause] += softmax(own) - softmax(without)
    counts = np.bincount(class_of[log.codes], minlength=3)
    expected = (expected / counts[:, None])[np.ix_(class_of, class_of)]
    np.testing.assert_allclose(additive_effects(log), expected, atol=2e-5)
