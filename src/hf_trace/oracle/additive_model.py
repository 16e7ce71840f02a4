"""The additive yardstick: what the next event is, when all that is known of each past event is how long ago it was.

    logits = log p(v) + b[bin of the gap before the event] + V[type of the event before]
             + sum over the last 32 events j of W[type_j, bin of the time since j]

No past event changes what another one says. V tells the last event from others of the same bin, so that the model knows
all that a bigram knows. A language model that it beats has not learned all that types and times tell. In logs without
times the number of events since takes their place.
"""

from operator import itemgetter
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor, nn

from hf_trace.errors import EmptyLogError
from hf_trace.options import SEED
from hf_trace.tokenizers.event_tokens import log_spaced_edges

PAST_EVENTS, TIME_BINS = 32, 12
# What bounds the cost: types beyond the most frequent ones are one, and so many events times types are learned from.
MOST_TYPES, MOST_CELLS, MOST_EVENTS = 256, 16_000_000, 150_000
_PASSES, _LEAST_STEPS, _MOST_STEPS, _BATCH, _HELD = 40, 24, 120, 256, 0.1
_FEW_CASES = 10
_RATE, _SLOWER, _SLOWED = 0.02, 0.3, 2
_PRECISIONS = (1.0, 10.0, 100.0)

Rows = Int[np.ndarray, "event past"]
Sample = tuple[csr_array, NDArray[np.int64]]
Weights = dict[str, Tensor]


class TimedEvents(NamedTuple):
    """Events of a log, sequence after sequence.

    Attributes:
        codes: Event type of every event, 0 and up.
        offsets: Where each sequence starts in ``codes``, and the number of events at the end.
        times: When each event happened, in seconds; None: the number of events takes the place of time.
        cases: What each sequence is a window of; None: each is a case of its own.
    """

    codes: Int[np.ndarray, " event"]
    offsets: Int[np.ndarray, " edge"]
    times: Float[np.ndarray, " event"] | None = None
    cases: Int[np.ndarray, " sequence"] | None = None

    def select(self, sequences: Int[np.ndarray, " chosen"] | Bool[np.ndarray, " sequence"]) -> "TimedEvents":
        """Some sequences, in the given order."""
        lengths = np.diff(self.offsets)[sequences]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][sequences] - offsets[:-1], lengths)
        times = None if self.times is None else self.times[positions]
        return TimedEvents(self.codes[positions], offsets, times, None if self.cases is None else self.cases[sequences])


class _Past(NamedTuple):
    codes: Rows
    since: Float[np.ndarray, "event past"]
    exists: Bool[np.ndarray, "event past"]


def _past(events: TimedEvents) -> _Past:
    """Of the last 32 events before each event, the latest first: their types, and how long ago they were."""
    here = np.arange(len(events.codes))
    places = here[:, None] - np.arange(1, PAST_EVENTS + 1)
    exists = places >= np.repeat(events.offsets[:-1], np.diff(events.offsets))[:, None]
    places = np.maximum(places, 0)
    times = here.astype(np.float64) if events.times is None else events.times
    return _Past(events.codes[places], times[:, None] - times[places], exists)


class AdditiveYardstick(nn.Module):
    """An additive model of the next event; at first it knows how frequent every event type is, and nothing else.

    Args:
        train: Events whose types are counted, and whose times since are cut into bins.
        n_types: Number of event types.
        is_predicted: Which types may come next; by default all. The others are seen in the past only.
        counted: Event types to count instead, where those of ``train`` are a part of them.
    """

    def __init__(
        self,
        train: TimedEvents,
        n_types: int,
        is_predicted: Bool[np.ndarray, " type"] | None = None,
        counted: Int[np.ndarray, " counted"] | None = None,
    ) -> None:
        super().__init__()
        is_predicted = np.ones(n_types, dtype=bool) if is_predicted is None else is_predicted
        counts = np.bincount(train.codes if counted is None else counted, minlength=n_types) + 1.0
        order = np.argsort(-counts, kind="stable")
        rank = np.empty(n_types, dtype=np.int64)
        rank[order] = np.arange(n_types)
        # Behind the most frequent types stand two more: the rest of those that may come next, and all others.
        self.is_predicted = is_predicted
        self.class_of = np.unique(np.where(rank < MOST_TYPES, rank, MOST_TYPES + ~is_predicted), return_inverse=True)[1]
        past = _past(train)
        self.edges = log_spaced_edges(past.since[past.exists], TIME_BINS)

        weights = np.where(is_predicted, counts, 0.0)
        totals = np.bincount(self.class_of, weights=weights)
        with np.errstate(divide="ignore"):
            log_totals, log_weights = np.log(totals), np.log(weights)
        self.within = log_weights - np.where(totals > 0, log_totals, 0.0)[self.class_of]
        self.start = torch.tensor(log_totals - np.log(totals.sum()), dtype=torch.float32)
        classes, bins = len(totals), len(self.edges) + 1
        self.of_gap = nn.Parameter(torch.zeros(bins + 1, classes))
        self.of_last = nn.Parameter(torch.zeros(classes, classes))
        self.of_type = nn.Parameter(torch.zeros(classes, 1, classes))
        self.of_time = nn.Parameter(torch.zeros(classes, bins, classes))

    def table(self) -> Float[Tensor, "row type"]:
        """What is added to the logits: by each type in each bin, by each gap and by none, by each type right before."""
        return torch.cat([(self.of_type + self.of_time).flatten(0, 1), self.of_gap, self.of_last])

    def counted(self, events: TimedEvents) -> csr_array:
        """Which rows of the table are added at every event: of the gap, of the last event, of each past event."""
        past = _past(events)
        classes, bins = len(self.start), len(self.edges) + 1
        types, found = self.class_of[past.codes], np.searchsorted(self.edges, past.since, side="left")
        of_gap = classes * bins
        gaps = of_gap + np.where(past.exists[:, :1], found[:, :1], bins)
        rows = np.concatenate([gaps, of_gap + bins + 1 + types[:, :1], types * bins + found], axis=1)
        exists = np.concatenate([np.ones_like(past.exists[:, :1]), past.exists[:, :1], past.exists], axis=1)
        starts = np.concatenate([[0], np.cumsum(exists.sum(axis=1))])
        ones = np.ones(starts[-1], dtype=np.float32)
        return csr_array((ones, rows[exists].astype(np.int32), starts), shape=(len(rows), of_gap + bins + 1 + classes))

    @torch.no_grad()
    def class_log_probs(self, counted: csr_array) -> Float[Tensor, "event type"]:
        """Log-probabilities of the classes of types, in nats."""
        return (self.start + torch.from_numpy(counted @ self.table().numpy())).log_softmax(-1)

    def log_probs(self, events: TimedEvents) -> Float[np.ndarray, " predicted"]:
        """Log-probability of every event whose type may come next, given all before it, in nats."""
        counted, classes = self.sample(events)
        found = self.class_log_probs(counted).numpy()[np.arange(len(classes)), classes]
        return found + self.within[events.codes[self.is_predicted[events.codes]]]

    def sample(self, events: TimedEvents) -> Sample:
        """What precedes the events whose type may come next, and the classes of these types."""
        chosen = np.flatnonzero(self.is_predicted[events.codes])
        return self.counted(events)[chosen], self.class_of[events.codes[chosen]]

    def learn(self, counted: csr_array, classes: Int[np.ndarray, " predicted"]) -> None:
        """Set the gradients of the mean loss of a batch: predicted less observed, wherever a row is added."""
        surplus = self.class_log_probs(counted).exp().numpy()
        surplus[np.arange(len(classes)), classes] -= 1
        self.zero_grad()
        self.table().backward(torch.from_numpy(counted.T @ surplus / np.float32(len(classes))))


def fit_additive(
    train: TimedEvents, n_types: int, *, is_predicted: Bool[np.ndarray, " type"] | None = None, seed: int = SEED.default
) -> AdditiveYardstick:
    """Fit the additive model by Adam, in seconds, on the CPU.

    A tenth of the cases decide when to stop, and how strongly weights are drawn to 0 (with fewer than ten cases, of the
    sequences); where they are many, others than were drawn at random are not looked at.

    Args:
        train: Events to learn from.
        n_types: Number of event types.
        is_predicted: Which types may come next; by default all.
        seed: The same seed gives the same model.

    Raises:
        EmptyLogError: If there are fewer than two sequences with an event to predict.
    """
    rng = np.random.default_rng(seed)
    lengths = np.diff(train.offsets)
    counts = np.ones(len(train.codes)) if is_predicted is None else is_predicted[train.codes]
    owners = np.repeat(np.arange(len(lengths)), lengths)
    order = rng.permutation(np.flatnonzero(np.bincount(owners, weights=counts, minlength=len(lengths))))
    if len(order) < 2:
        raise EmptyLogError("There are fewer than two sequences to learn from, expected one, and one to check on.")
    most = min(MOST_EVENTS, MOST_CELLS // min(n_types, MOST_TYPES))
    order = order[: max(2, int(np.searchsorted(np.cumsum(lengths[order]), most, side="right")))]
    is_checked = _held(train.cases, order)
    learned, checked = train.select(np.sort(order[~is_checked])), train.select(np.sort(order[is_checked]))
    model = AdditiveYardstick(learned, n_types, is_predicted, train.codes)
    samples = model.sample(learned), model.sample(checked)
    start, best = _weights(model), (float("inf"), _weights(model))
    for precision in _PRECISIONS:
        model.load_state_dict(start)
        best = min(best, _descended(model, *samples, precision, rng), key=itemgetter(0))
    model.load_state_dict(best[1])
    return model


def _held(cases: NDArray[np.int64] | None, order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the sequences, in a random order, decide: all of the cases that come first."""
    found = order if cases is None else cases[order]
    names, first = np.unique(found, return_index=True)
    if len(names) < _FEW_CASES:
        found, names, first = order, order, np.arange(len(order))
    chosen = names[np.argsort(first)][: max(1, round(_HELD * len(names)))]
    return np.isin(found, chosen)


def _weights(model: AdditiveYardstick) -> Weights:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _loss(model: AdditiveYardstick, sample: Sample) -> float:
    counted, classes = sample
    return -float(model.class_log_probs(counted).numpy()[np.arange(len(classes)), classes].mean())


def _descended(
    model: AdditiveYardstick, learned: Sample, stopping: Sample, precision: float, rng: np.random.Generator
) -> tuple[float, Weights]:
    """The least loss on what decides when to stop, and the weights; where a pass is in vain, steps are made shorter."""
    counted, classes = learned
    steps = min(_MOST_STEPS, max(_LEAST_STEPS, len(classes) // _BATCH), len(classes))
    batches = np.array_split(rng.permutation(len(classes)), steps)
    parts = [(counted[batch], classes[batch]) for batch in batches]
    # The precision of a Gaussian prior, as a share of the mean loss.
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE, weight_decay=precision / len(classes))
    best, weights, slowed = _loss(model, stopping), _weights(model), 0
    for _ in range(_PASSES):
        for index in rng.permutation(len(parts)):
            model.learn(*parts[index])
            optimizer.step()
        found = _loss(model, stopping)
        if found < best:
            best, weights = found, _weights(model)
            continue
        slowed += 1
        if slowed > _SLOWED:
            break
        model.load_state_dict(weights)
        for group in optimizer.param_groups:
            group["lr"] *= _SLOWER
    return best, weights


def additive_loss(
    train: TimedEvents,
    valid: TimedEvents,
    n_types: int,
    *,
    is_predicted: Bool[np.ndarray, " type"] | None = None,
    seed: int = SEED.default,
) -> float:
    """Loss of the additive model, fitted to some sequences, on others.

    Args:
        train: Events to learn from.
        valid: Events to predict.
        n_types: Number of event types.
        is_predicted: Which types may come next; by default all.
        seed: See ``fit_additive``.

    Returns:
        Mean of ``-log p`` over the events to predict, in nats. Of vocabularies beyond the 256 most frequent types the
        others are predicted as one, and told apart by how frequent they are.

    Raises:
        EmptyLogError: If there is nothing to predict, or too little to learn from.
    """
    log_probs = fit_additive(train, n_types, is_predicted=is_predicted, seed=seed).log_probs(valid)
    if not len(log_probs):
        raise EmptyLogError("There is no event to predict, expected at least one.")
    return float(-log_probs.mean())
