"""Worlds with known causes, read by themselves: scores of all pairs of events, and which pairs are true."""

from collections.abc import Sequence

import numpy as np
import torch

from hf_trace.discovery.constructions import score_pairs
from hf_trace.discovery.settings import DiscoverySettings
from hf_trace.discovery.statistics import PairScores
from hf_trace.discovery.threshold_choice import LabelledPairs
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet
from hf_trace.runs.world_model import WorldModel, world_tokenizer
from hf_trace.worlds.simulator import DELTA, replacement_scores
from hf_trace.worlds.world import World

PREFIX, MAX_LAG, DRAWS = 6, 6, 32
# The truth of the paper (App. E.1) has 10 draws; 200 are what an effect really is.
TRUTHS = (10, 200)


def token_rows(world: World, codes: np.ndarray) -> torch.Tensor:
    """Token ids ``[sequence, place]``: the start token, then one token per event."""
    tokenizer = world_tokenizer(world.spec)
    ids = torch.from_numpy(tokenizer.event_ids)[torch.as_tensor(codes)]
    return torch.nn.functional.pad(ids, (1, 0), value=tokenizer.tokenizer.bos_token_id)


def encoded(world: World, codes: np.ndarray) -> list[EncodedSequence]:
    """Sequences of a world as its tokenizer writes them."""
    return [EncodedSequence(row.numpy(), np.arange(1, len(row))) for row in token_rows(world, codes)]


def scored(
    oracle: Oracle | World,
    sequences: Sequence[EncodedSequence],
    event_ids: np.ndarray,
    seed: int,
    *,
    num_samples: int = DRAWS,
    **options: object,
) -> list[PairScores]:
    """Scores of all sequences by an oracle, or by the world itself; every type is tried as a replacement alike."""
    oracle = Oracle(WorldModel.of(oracle)) if isinstance(oracle, World) else oracle
    alphabet = Alphabet(torch.from_numpy(event_ids), torch.ones(len(event_ids)))
    settings = DiscoverySettings(max_lag=MAX_LAG, num_samples=num_samples, prefix_length=PREFIX, seed=seed, **options)
    return score_pairs(oracle, sequences, alphabet, settings)


def scored_exactly(world: World, codes: np.ndarray, seed: int, **options: object) -> list[PairScores]:
    """Scores of sequences by the world itself."""
    return scored(world, encoded(world, codes), world_tokenizer(world.spec).event_ids, seed, **options)


def true_effects(world: World, codes: np.ndarray, draws: int = 200) -> list[np.ndarray]:
    """What replacing an event really does to later ones, in nats, ``[cause, lag]`` for each sequence."""
    return [
        replacement_scores(world, each, num_samples=draws, seed=10_000 * draws + number)
        for number, each in enumerate(codes)
    ]


def labelled(codes: np.ndarray, scores: Sequence[PairScores], effects: Sequence[np.ndarray]) -> list[LabelledPairs]:
    """Scores beside the truth: an effect counts from 0.05 nats on."""
    return [
        LabelledPairs.of(each, found, effect > DELTA)
        for each, found, effect in zip(codes, scores, effects, strict=True)
    ]
