"""Shapley values of past events for the log-probability of a later one, by sampling (Štrumbelj & Kononenko, 2010)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from hf_trace.discovery.blocks import Block, causes_of, effects_of, generator_of, pair_rows
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.statistics import ATTRIBUTION_STATISTICS
from hf_trace.errors import SettingsError
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.oracle.readers import Reading
from hf_trace.oracle.rows import NO_TARGET, Branches

_NOBODY = -1


def shapley_scores(
    oracle: Oracle, reading: Reading, block: Block, alphabet: Alphabet, settings: DiscoverySettings
) -> Iterator[NDArray[np.float64]]:
    """Rows ``(sequence, cause, effect, score, gain, standard_error)``; ``gain`` is the signed value, in nats.

    Raises:
        SettingsError: If captum is not installed.
    """
    _check_captum()
    causes = causes_of(block, settings.max_lag)
    cause, effect = effects_of(block, causes)
    sequence = causes.sequence[cause]
    value = torch.full(cause.shape, torch.nan)
    error = value.clone()
    for row in sequence.unique().tolist():
        (mine,) = (sequence == row).nonzero(as_tuple=True)
        games = _Games.build(block, row, effect[mine], alphabet, settings)
        gains = games.gains(oracle, reading)
        place = games.place_of(causes.position[cause[mine]], effect[mine])
        value[mine] = gains.mean(1)[place]
        if settings.num_samples > 1:
            error[mine] = gains.std(1)[place] / settings.num_samples**0.5
    score = ATTRIBUTION_STATISTICS[settings.statistic](value)
    yield pair_rows(block, causes, (cause, effect), (score, value, error))


def _check_captum() -> None:
    try:
        import captum.attr  # noqa: F401
    except ModuleNotFoundError as missing:
        raise SettingsError(
            "construction is 'shapley', which needs captum, and captum is not installed. Install it with "
            "`pip install 'hf-trace[attributions]'`."
        ) from missing


def _drawn(
    alphabet: Alphabet, numbers: Float[Tensor, "effect sample slot"], observed: Int[Tensor, "effect slot"]
) -> Int[Tensor, "effect sample slot"]:
    """A type in place of every player: any with the same probability, own for own ones and near for near."""
    if alphabet.is_near is None:
        return alphabet.token_ids[(numbers * len(alphabet.token_ids)).long()]
    own, near = alphabet.token_ids[~alphabet.is_near], alphabet.token_ids[alphabet.is_near]
    drawn = [kind[(numbers * len(kind)).long()] if len(kind) else numbers.long() for kind in (own, near)]
    return torch.where(torch.isin(observed, near)[:, None], drawn[1], drawn[0])


@dataclass(frozen=True)
class _Games:
    """One game per effect of a sequence: its players, their orders of arrival, and replacements of the absent.

    Slot k of a game holds the token position of the event k + 1 before the effect, or ``_NOBODY`` if it does not play.
    ``arrival`` is the rank of each player, from 0; events that do not play come last, so they change nothing.
    """

    row: int
    effect: Int[Tensor, " effect"]
    players: Int[Tensor, "effect slot"]
    drawn: Int[Tensor, "effect sample slot"]
    arrival: Int[Tensor, "effect sample slot"]
    input_ids: Int[Tensor, " pos"]

    @classmethod
    def build(
        cls, block: Block, row: int, effects: Int[Tensor, " pair"], alphabet: Alphabet, settings: DiscoverySettings
    ) -> "_Games":
        effect = effects.unique()
        players = _players(block, row, effect, settings)
        shape = (2, len(effect), settings.num_samples, players.shape[1])
        numbers = torch.from_numpy(generator_of(block.sequences[row], settings.seed).random(shape))
        drawn = _drawn(alphabet, numbers[0], block.input_ids[row, players.clamp(min=0)])
        order = numbers[1].masked_fill(players[:, None] == _NOBODY, 2).argsort(-1)
        return cls(row, effect, players, drawn, order.argsort(-1), block.input_ids[row])

    def gains(self, oracle: Oracle, reading: Reading) -> Float[Tensor, "effect sample slot"]:
        """How much the arrival of each player adds to the log-probability of the effect, in every sample."""
        from captum.attr import ShapleyValueSampling

        full = oracle.log_probs(reading, torch.full_like(self.effect, self.row), self.effect)

        def value(arrived: Tensor) -> Tensor:
            present = arrived.bool().view(self.arrival.shape).gather(-1, self.arrival)
            return self._log_probs(oracle, reading, present, full).flatten()

        # The features of captum are ranks of arrival, so it always adds them from left to right.
        sampler = ShapleyValueSampling(value)
        sampler.permutation_generator = _left_to_right
        everybody = torch.ones(self.arrival.flatten(0, 1).shape)
        by_arrival: Tensor = sampler.attribute(everybody, baselines=0, n_samples=1)
        return by_arrival.view(self.arrival.shape).gather(-1, self.arrival)

    def _log_probs(
        self,
        oracle: Oracle,
        reading: Reading,
        present: Bool[Tensor, "effect sample slot"],
        full: Float[Tensor, " effect"],
    ) -> Float[Tensor, "effect sample"]:
        """Log-probability of each effect with some players present and the others replaced."""
        out = full[:, None].repeat(1, present.shape[1])
        plays = (self.players != _NOBODY)[:, None]
        (open_games,) = (plays & ~present).any(-1).any(-1).nonzero(as_tuple=True)
        for groups, scored in oracle.branch_log_probs(reading, self._branches(present, open_games)):
            game = open_games[groups]
            last = self.effect[game] - self._start(game) - 1
            out[game] = scored[torch.arange(len(game)), :, last]
        return out

    def _branches(self, present: Bool[Tensor, "effect sample slot"], games: Int[Tensor, " game"]) -> Branches:
        """Rows of some games: absent players are replaced, the rest is as observed, and only the effect is scored."""
        start, samples = self._start(games), present.shape[1]
        tokens = torch.where(present, self.input_ids[self.players][:, None], self.drawn)

        def tails(groups: Tensor, _: int, width: int) -> tuple[Tensor, Tensor]:
            game, first = games[groups], start[groups, None]
            slots = (first + torch.arange(width)).clamp(max=len(self.input_ids) - 1)
            # Events that do not play write to an extra column, which is cut off.
            at = (self.players[game] - first).where(self.players[game] != _NOBODY, width)
            row = torch.nn.functional.pad(self.input_ids[slots], (0, 1))[:, None].repeat(1, samples, 1)
            row = row.scatter(2, at[:, None].expand(-1, samples, -1), tokens[game])[..., :width]
            targets = torch.full_like(row, NO_TARGET)
            last = (self.effect[game] - first[:, 0] - 1)[:, None, None].expand(-1, samples, 1)
            return row, targets.scatter(2, last, self.input_ids[self.effect[game]][:, None, None].expand(last.shape))

        return Branches(
            sequence=torch.full_like(start, self.row),
            shared_length=start,
            samples=torch.full_like(start, samples),
            tail_length=self.effect[games] - start,
            tails=tails,
        )

    def _start(self, games: Int[Tensor, " game"]) -> Int[Tensor, " game"]:
        """Position of the first player of each game."""
        players = self.players[games]
        return players.where(players != _NOBODY, len(self.input_ids)).amin(1)

    def place_of(
        self, cause: Int[Tensor, " pair"], effect: Int[Tensor, " pair"]
    ) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]:
        """Game and slot of pairs of tokens."""
        game = torch.searchsorted(self.effect, effect)
        return game, (self.players[game] == cause[:, None]).int().argmax(1)


def _players(
    block: Block, row: int, effect: Int[Tensor, " effect"], settings: DiscoverySettings
) -> Int[Tensor, "effect slot"]:
    """Positions of the tested events within reach of each effect, nearest first."""
    places = torch.from_numpy(block.sequences[row].event_positions)
    number = block.event[row, effect]
    most = int(number.max())
    event = number[:, None] - torch.arange(1, min(settings.max_lag or most, most) + 1)
    token = places[event.clamp(min=0)]
    # Events before the causes tested here play too, as another sliding window tests them; only the prefix does not.
    # Later windows also leave out their own first `prefix_length` events, which no effect of theirs has within reach
    # unless the prefix is longer than half a window less the lag.
    first = min(settings.prefix_length, int(block.event[row][block.replaced[row]].min()))
    plays = (event >= first) & (token > 0) & block.tested[row, token]
    return token.where(plays, _NOBODY)


def _left_to_right(features: int, samples: int) -> Sequence[Sequence[int]]:
    return [range(features)] * samples
