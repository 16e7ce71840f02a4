"""By-type scores against whole rows read one by one, and what must hold of any sequence."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.models import tiny_model

from hf_trace.discovery.by_type import comparison
from hf_trace.discovery.by_type.by_type_run import taking_of
from hf_trace.discovery.by_type.comparison import by_type_scores, common_factor
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.errors import ContextLengthError, UnknownEventError
from hf_trace.logs.sequence import EventSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.runs.event_model import EventModel
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

TYPES = ("pump=on", "pump=off", "valve", "alarm", "rare")
REQUEST = DiscoveryRequest().updated(construction="by-type", max_lag=3)


def model_of(*, timed, kind="llama", **changes):
    tokenizer = EventTokenizer.from_event_types(TYPES, gap_edges=[1.0, 10.0] if timed else [])
    return EventModel(Oracle(tiny_model(kind, vocab_size=len(tokenizer), **changes)), tokenizer)


def sequence_of(length, *, seed=0, timed=True, types=TYPES):
    rng = np.random.default_rng(seed)
    times = tuple(np.cumsum(rng.exponential(5.0, length)).tolist()) if timed else None
    return EventSequence(tuple(rng.choice(types, length).tolist()), times, id=f"s{seed}")


def predicted(model, ids, position):
    """Probabilities of the event types at a position, by one plain forward pass over everything before it."""
    with torch.no_grad():
        logits = model.model(torch.tensor(ids[:position])[None]).logits[0, -1].double()
    return logits[torch.from_numpy(model.tokenizer.event_ids)].softmax(0).numpy()


def slowly(model, sequence, request, take):
    """Sums and places of one cause, by the definition; ``take`` gives the rows without it and where events stand."""
    encoded, taking = model.tokenizer.encode(sequence), taking_of(model, request)
    codes = taking.variables.of_type[[TYPES.index(event) for event in sequence.events]]
    size = len(taking.variables.names)
    fold = np.eye(size)[taking.variables.of_type]
    sums, places = {}, []
    for cause in np.unique(codes):
        rows, stands = take(encoded, codes, cause)
        total = np.zeros((3, size))
        for place in np.flatnonzero(codes != cause):
            before = [at for at in range(max(0, place - request.settings.max_lag), place) if codes[at] == cause]
            if not before:
                continue
            p = predicted(model, encoded.input_ids, encoded.event_positions[place]) @ fold
            m = np.mean([predicted(model, row, stands[place]) for row in rows], 0) @ fold
            others = np.arange(size) != cause
            p, m = (np.where(others, each, 0) / each[others].sum() for each in (p, m))
            ratio, weight = p[others] / m[others], m[others]
            order = np.argsort(ratio)
            m = m * ratio[order][np.searchsorted(np.cumsum(weight[order]), 0.5)]
            with np.errstate(divide="ignore", invalid="ignore"):
                capped = np.minimum(m, 1)
                kl = np.where(others, p * np.log(p / capped) + (1 - p) * np.log((1 - p) / (1 - capped)), 0)
            total += np.stack([p - m, kl, np.where(p < m, kl, 0)])
            happened = codes[place]
            places.append((cause, before[-1], place, np.log(p[happened] / m[happened]), p[happened] - m[happened]))
        if total.any():  # a cause that nothing follows tells nothing
            sums[cause] = total
    return sums, sorted(places)


def removed(model, sequence):
    def take(encoded, codes, cause):
        kept = codes != cause
        ids = model.tokenizer.encode(sequence.without(~kept))
        stands = np.full(len(codes), -1)
        stands[kept] = ids.event_positions
        return [ids.input_ids], stands

    return take


@pytest.mark.parametrize("patterns", [(), ("*=*",)])
@pytest.mark.parametrize("timed", [False, True])
def test_removal_is_as_defined(timed, patterns):
    model = model_of(timed=timed)
    request = REQUEST.updated(variable=patterns)
    sequences = [sequence_of(length, seed=length, timed=timed) for length in (9, 14, 5)]
    found = by_type_scores(model.oracle, sequences, taking_of(model, request), batch_size=2)
    for (given_back, scores), sequence in zip(found, sequences, strict=True):
        assert given_back is sequence
        assert_as_defined(scores, *slowly(model, sequence, request, removed(model, sequence)))


def assert_as_defined(scores, sums, places):
    assert scores.causes.tolist() == sorted(sums)
    tables = {cause: np.zeros_like(total) for cause, total in sums.items()}
    for index, effect, *values in zip(
        scores.pair_cause, scores.pair_effect, scores.gain, scores.kl, scores.rarer, strict=True
    ):
        tables[scores.causes[index]][:, effect] = values
    for cause, total in sums.items():
        np.testing.assert_allclose(tables[cause], total, atol=2e-4)
    found = sorted(
        zip(
            scores.causes[scores.place_cause],
            scores.cause_event,
            scores.effect_event,
            scores.place_log_ratio,
            scores.place_gain,
            strict=True,
        )
    )
    np.testing.assert_allclose(np.array(found, dtype=float), np.array(places, dtype=float), atol=2e-4)


def test_replacement_is_as_defined(monkeypatch):
    model, sequence = model_of(timed=True), sequence_of(12)
    request = REQUEST.updated(proposal="uniform", num_samples=3)
    taking = taking_of(model, request)
    encoded = model.tokenizer.encode(sequence)
    edits = {edit.cause: edit for edit in taking.edits(0, sequence, encoded)}
    # Nothing but the events of the cause is changed, and never into itself.
    for cause, edit in edits.items():
        last = edit.shared + edit.tails.shape[1]
        rows = np.concatenate([np.repeat(encoded.input_ids[None, : edit.shared], 3, 0), edit.tails], 1)
        changed = rows != encoded.input_ids[:last]
        of_cause = np.isin(encoded.input_ids[:last], model.tokenizer.event_ids[taking.variables.of_type == cause])
        assert (changed == of_cause).all()

    def take(encoded, codes, cause):
        edit = edits[cause]
        rows = [np.concatenate([encoded.input_ids[: edit.shared], tail]) for tail in edit.tails]
        return rows, encoded.event_positions

    ((_, scores),) = by_type_scores(model.oracle, [sequence], taking, batch_size=1)
    assert_as_defined(scores, *slowly(model, sequence, request, take))


@given(arrays(np.float64, st.integers(3, 8), elements=st.floats(0.05, 1.0)), st.floats(0.1, 5.0), st.data())
def test_what_acts_on_few_is_told_from_what_acts_on_all(intensities, total, data):
    """Rates of which fewer than half, by weight, change: the factor is the ratio of the sums of all rates."""
    share = intensities / intensities.sum()
    few = np.cumsum(share) < 0.49
    added = intensities + few * total
    changed, plain = (torch.from_numpy(rates / rates.sum())[None] for rates in (added, intensities))
    factor = common_factor(changed, plain).item()
    assert factor == pytest.approx(intensities.sum() / added.sum())


@pytest.mark.parametrize("patterns", [(), ("*=*",)])
def test_small_tables_and_what_hardly_moves_change_nothing(patterns, monkeypatch):
    """Forty types in tables of a place or two; what moves by 1e-7 at most may be passed over at each of 16 places."""
    types = tuple(f"signal {number // 2}={number % 2}" for number in range(40))
    tokenizer = EventTokenizer.from_event_types(types)
    model = EventModel(Oracle(tiny_model("llama", vocab_size=len(tokenizer))), tokenizer)
    taking = taking_of(model, REQUEST.updated(variable=patterns, max_lag=16))
    sequences = [sequence_of(11, seed=seed, timed=False, types=types[:9]) for seed in range(2)]
    whole = [scores for _, scores in by_type_scores(model.oracle, sequences, taking, batch_size=2)]
    monkeypatch.setattr(comparison, "_TABLE_ENTRIES", 70)
    parts = [scores for _, scores in by_type_scores(model.oracle, sequences, taking, batch_size=2)]
    monkeypatch.setattr(comparison, "_NO_MOVE", -1.0)
    exact = [scores for _, scores in by_type_scores(model.oracle, sequences, taking, batch_size=2)]
    for one, *others in zip(whole, parts, exact, strict=True):
        for other in others:
            for name, bound in {"pair_effect": 0, "gain": 3e-6, "kl": 3e-6, "place_log_ratio": 3e-6}.items():
                np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=bound, rtol=bound)


def test_equal_whatever_the_batch_and_the_reader():
    sequences = [sequence_of(length, seed=length) for length in (3, 11, 7, 2)]
    found = []
    for kind, size in (("llama", 1), ("llama", 4)):
        model = model_of(timed=True, kind=kind)
        found.append(
            [
                scores
                for _, scores in by_type_scores(model.oracle, sequences, taking_of(model, REQUEST), batch_size=size)
            ]
        )
    for one, other in zip(*found, strict=True):
        assert one.causes.tolist() == other.causes.tolist()
        np.testing.assert_allclose(one.gain, other.gain, atol=1e-5)
        np.testing.assert_allclose(one.place_kl, other.place_kl, atol=1e-5)


def test_what_cannot_be_compared_is_left_out():
    model = model_of(timed=False)
    taking = taking_of(model, REQUEST.updated(unknown="map", prefix_length=2))
    cases = {
        "one type": ("valve",) * 4,
        "nothing after": ("alarm", "alarm", "valve", "alarm", "valve"),
        "unknown": ("valve", "alarm", "other", "valve"),
        "one event": ("valve",),
    }
    sequences = [EventSequence(events) for events in cases.values()]
    causes = {
        name: [taking.variables.names[cause] for cause in scores.causes]
        for name, (_, scores) in zip(cases, by_type_scores(model.oracle, sequences, taking, batch_size=9), strict=True)
    }
    # The first two events stay, the last one has nothing after it, and the unknown one is read but never asked about.
    assert causes == {"one type": [], "nothing after": ["valve", "alarm"], "unknown": [], "one event": []}


def test_what_cannot_be_read_is_refused():
    model = model_of(timed=False, max_position_embeddings=16)
    taking = taking_of(model, REQUEST)
    with pytest.raises(UnknownEventError):
        list(by_type_scores(model.oracle, [EventSequence(("other",))], taking, batch_size=1))
    with pytest.raises(ContextLengthError):
        list(by_type_scores(model.oracle, [sequence_of(30, timed=False)], taking, batch_size=1))
