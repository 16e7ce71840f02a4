# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Where are draws worth their price: near the threshold, the same for all causes, without replacement, or until sure?

    python recipes/speed/draws.py --out runs/draws --csl PATH/TO/csl_sample

Every replacement of every event is read once. Whatever could be drawn is then in a table, so that any way to draw is
tried without asking the model again, and its error is known from the mean over all types. Rules, written before any
known graph was opened: a way becomes the default if on no log it reads more rows than the plain one, nor decides more
pairs wrongly against the exact score.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from exact_oracle import encoded
from harness import Recipe, Report, Size, table
from known_graph import made_once
from known_logs import known_logs

from hf_trace.discovery.blocks import Block, causes_of
from hf_trace.discovery.statistics import bernoulli_divergence
from hf_trace.logs.sequence import EncodedSequence
from hf_trace.logs.windows import sampled_sequences
from hf_trace.oracle.engine import Oracle
from hf_trace.oracle.proposals import Alphabet, enumerate_types
from hf_trace.oracle.rows import atomic
from hf_trace.runs.event_model import EventModel
from hf_trace.runs.world_model import WorldModel, world_tokenizer
from hf_trace.worlds.simulator import simulate
from hf_trace.worlds.world import World, load_spec

BOUND, DRAWS, LAG = 0.05, 32, 6
ERROR, ROUND, MOST = 0.05, 8, 128


@dataclass(frozen=True)
class Replaced:
    """What every type in place of every cause makes of every event after it.

    Attributes:
        p: Probability of each event as it was, ``[cause, slot]``; NaN where none is tested.
        r: The same with each type in the place of the cause, ``[cause, type, slot]``; the type that was there gives p.
        own: The type that was there.
        sequence: Sequence of each cause.
        tokens: Tokens that a row of the cause reads.
    """

    p: np.ndarray
    r: np.ndarray
    own: np.ndarray
    sequence: np.ndarray
    tokens: np.ndarray

    def divergence(self, mean: np.ndarray) -> np.ndarray:
        """Score of every pair if the mean over draws is this."""
        return bernoulli_divergence(torch.from_numpy(self.p), torch.from_numpy(mean)).numpy()[self.tested]

    def scored(self, counts: np.ndarray) -> np.ndarray:
        """Scores of pairs by draws, ``counts[cause, type]``."""
        shares = counts / counts.sum(1, keepdims=True)
        return self.divergence(np.einsum("ck,cks->cs", shares, self.r))

    def read(self, counts: np.ndarray) -> float:
        """Tokens read: a row for each type that was drawn, but for the one that was there."""
        drawn = counts > 0
        drawn[np.arange(len(drawn)), self.own] = False
        return float(drawn.sum(1) @ self.tokens)

    @property
    def tested(self) -> np.ndarray:
        """Which slots hold an event that is tested."""
        return ~np.isnan(self.p)


def replaced(oracle: Oracle, sequences: list[EncodedSequence], alphabet: Alphabet) -> Replaced:
    """Read everything once."""
    block = Block.build(sequences, alphabet, [range(len(each.event_positions)) for each in sequences])
    causes, types = causes_of(block, LAG), len(alphabet.token_ids)
    reading, observed = oracle.read(block.input_ids), block.input_ids[causes.sequence, causes.position]
    draws = enumerate_types(alphabet.token_ids, torch.full((1, types), 1 / types), observed)
    rows = atomic(block.input_ids, block.tested, causes.sequence, causes.position, causes.end, draws)
    reach = int((causes.end - causes.position).max())
    place = torch.full((oracle.vocab_size,), -1)
    place[alphabet.token_ids] = torch.arange(types)
    after = causes.position[:, None] + torch.arange(1, reach + 1)
    tested = (after <= causes.end[:, None]) & block.tested[
        causes.sequence[:, None], after.clamp(max=block.tested.shape[1] - 1)
    ]
    cause, slot = tested.nonzero(as_tuple=True)
    p = torch.full(after.shape, torch.nan, dtype=torch.float64)
    p[cause, slot] = oracle.log_probs(reading, causes.sequence[cause], after[cause, slot]).double().exp()
    r = p[:, None].repeat(1, types, 1)
    for groups, found in oracle.branch_log_probs(reading, rows):
        kinds = place[draws.token_ids[groups]][:, : found.shape[1]]
        r[groups[:, None], kinds, : found.shape[2]] = found.double().exp()
    own, tokens = place[observed], (causes.end - causes.position).double()
    return Replaced(*(each.numpy() for each in (p, r, own, causes.sequence, tokens)))


def plain(data: Replaced, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Draws of every cause, each for itself."""
    causes, types = data.r.shape[:2]
    return rng.multinomial(draws, np.full(types, 1 / types), size=causes).astype(float)


def refined(data: Replaced, rng: np.random.Generator) -> np.ndarray:
    """Half the draws, and three times as many more for causes with a pair within two errors of the bound."""
    first = plain(data, rng, DRAWS // 2)
    shares = first / first.sum(1, keepdims=True)
    mean = np.einsum("ck,cks->cs", shares, data.r)
    spread = np.sqrt(np.maximum(np.einsum("ck,cks->cs", shares, data.r**2) - mean**2, 0) / (DRAWS // 2 - 1))
    slope = np.abs(mean - data.p) / np.maximum(mean * (1 - mean), 1e-300)
    score = bernoulli_divergence(torch.from_numpy(data.p), torch.from_numpy(mean)).numpy()
    undecided = (np.abs(score - BOUND) < 2 * slope * spread).any(1)
    return first + np.where(undecided[:, None], plain(data, rng, 3 * (DRAWS // 2)), 0)


def common(data: Replaced, rng: np.random.Generator) -> np.ndarray:
    """The same types for all causes of a sequence."""
    types = data.r.shape[1]
    of_sequence = rng.multinomial(DRAWS, np.full(types, 1 / types), size=data.sequence.max() + 1)
    return of_sequence[data.sequence].astype(float)


def without_replacement(data: Replaced, rng: np.random.Generator) -> np.ndarray:
    """No type twice."""
    order = rng.random(data.r.shape[:2]).argsort(1)
    return (order < DRAWS).astype(float)


def until_sure(data: Replaced, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rounds of draws until all pairs of a cause are decided, or 128 draws are made.

    Bets against the mean probability being on either side of the two values at which the score is the bound: capitals
    ``prod(1 + s (x - m))`` are nonnegative martingales if it is m, so that one ever passes 2 / error with half that
    probability at most (Ville 1939; stakes as in Waudby-Smith and Ramdas, JRSS B 86, 2024, "aGRAPA").

    Returns:
        Counts, whether each pair was decided, and as what.
    """
    causes, types, slots = data.r.shape
    low, high = (edge_of(data.p, upper=upper) for upper in (False, True))
    log_capital = np.zeros((4, causes, slots))
    counts, going = np.zeros((causes, types)), np.ones(causes, dtype=bool)
    total, squares = np.full((causes, slots), 0.5), np.full((causes, slots), 0.25)
    decided, is_edge = ~data.tested, np.zeros((causes, slots), dtype=bool)
    for drawn in range(1, MOST + 1):
        at = np.flatnonzero(going)
        if not len(at):
            break
        kind = rng.integers(types, size=len(at))
        counts[at, kind] += 1
        x, mean = data.r[at, kind], total[at] / drawn
        variance = np.maximum(squares[at] / drawn - (mean - 0.5) ** 2, 1e-6)
        for number, (edge, sign) in enumerate(((high, 1), (high, -1), (low, 1), (low, -1))):
            m = edge[at]
            ahead = sign * (mean - m)
            most = 0.5 / np.maximum(m if sign > 0 else 1 - m, 1e-9)
            stake = np.clip(ahead / (variance + ahead**2), 0, most)
            log_capital[number, at] += np.log1p(stake * sign * (x - m))
        total[at] += x
        squares[at] += (x - 0.5) ** 2
        if drawn % ROUND == 0:
            above, below_high, above_low, below = log_capital > np.log(2 / ERROR)
            edge, none = above | below, below_high & above_low
            new = ~decided & (edge | none)
            is_edge[new], decided[new] = edge[new], True
            going &= ~decided.all(1)
    return counts, decided[data.tested], is_edge[data.tested]


def edge_of(p: np.ndarray, *, upper: bool) -> np.ndarray:
    """The mean probability above or below p at which the score is the bound; 0 or 1 where it never is."""
    near, far = p.copy(), np.full_like(p, 1 - 1e-12 if upper else 1e-300)
    for _ in range(60):
        middle = (near + far) / 2
        outside = bernoulli_divergence(torch.from_numpy(p), torch.from_numpy(middle)).numpy() > BOUND
        near, far = np.where(outside, near, middle), np.where(outside, middle, far)
    return far


def measured(name: str, data: Replaced, seeds: int) -> list[dict]:
    """Every way to draw, over seeds."""
    exact = data.scored(np.ones(data.r.shape[:2]))
    ways: dict[str, Callable] = {
        "plain": plain, "refined": refined, "common to causes": common, "without replacement": without_replacement,
    }  # fmt: skip
    rows, tokens = [], 0.0
    for way, draw in ways.items():
        drawn = [draw(data, np.random.default_rng(seed)) for seed in range(seeds)]
        scores = np.stack([data.scored(counts) for counts in drawn])
        read = float(np.mean([data.read(counts) for counts in drawn]))
        tokens = tokens or read
        rows.append({
            "log": name, "way": way, "rows": read / tokens, "rmse": float(np.sqrt(((scores - exact) ** 2).mean())),
            "wrong": float(((scores > BOUND) != (exact > BOUND)).mean()), "of_pairs": spread_of_means(data, scores),
        })  # fmt: skip
    sure = [until_sure(data, np.random.default_rng(seed)) for seed in range(seeds)]
    decided = np.concatenate([each[1] for each in sure])
    wrong = np.concatenate([each[2] != (exact > BOUND) for each in sure])
    scores = np.stack([data.scored(counts) for counts, _, _ in sure])
    rows.append({
        "log": name, "way": "until sure", "rows": float(np.mean([data.read(counts) for counts, _, _ in sure])) / tokens,
        "rmse": float(np.sqrt(((scores - exact) ** 2).mean())),
        "wrong": float(((scores > BOUND) != (exact > BOUND)).mean()), "of_pairs": spread_of_means(data, scores),
        "draws": float(np.mean([counts.sum(1).mean() for counts, _, _ in sure])), "decided": float(decided.mean()),
        "wrong_of_decided": float(wrong[decided].mean()) if decided.any() else 0.0,
    })  # fmt: skip
    return [*rows, {"log": name, "way": "control by type and lag", "unexplained": unexplained(data)}]


def spread_of_means(data: Replaced, scores: np.ndarray) -> float:
    """Standard deviation over seeds of the mean score of all pairs: what causes have in common does not average out."""
    return float(scores.mean(1).std())


def unexplained(data: Replaced) -> float:
    """Share of the variance of draws that is left when what each type does on average at each lag is taken off.

    An upper estimate of what a control variate could gain: the average is over all causes, each left out itself.
    """
    moved = data.r - data.r.mean(1, keepdims=True)
    there = data.tested[:, None]
    moved = np.where(there, moved, 0)
    others = (moved.sum(0) - moved) / np.maximum(there.sum(0) - there, 1)
    slope = (moved * others).sum() / max((others**2).sum(), 1e-300)
    return float(((moved - slope * np.where(there, others, 0)) ** 2).sum() / max((moved**2).sum(), 1e-300))


def sources(options: argparse.Namespace) -> dict[str, Callable[[], Replaced]]:
    """What reads each log."""
    found = {world: (lambda world=world: of_world(world, options)) for world in options.worlds}
    for name, read in known_logs(options.csl, "", small=options.smoke).items():
        if name in options.logs:
            found[name] = lambda name=name, read=read: of_log(name, read(), options)
    return found


def of_world(name: str, options: argparse.Namespace) -> Replaced:
    """A world of Eq. 21, read by itself."""
    world = World(load_spec(name))
    codes = simulate(world, options.sequences, seed=0).log.codes.reshape(options.sequences, -1)[:, : options.length]
    ids = torch.from_numpy(world_tokenizer(world.spec).event_ids)
    return replaced(Oracle(WorldModel.of(world)), encoded(world, codes), Alphabet(ids, torch.ones(len(ids))))


def of_log(name: str, known: object, options: argparse.Namespace) -> Replaced:
    """Windows of a log, read by an oracle trained on it."""
    task = known.task
    training = replace(task.training, ensemble=1)
    model = EventModel.load(made_once(options.out / "oracles" / name, task.log, training))
    windows = sampled_sequences(model.windows(task.log).log, options.windows, 0)
    return replaced(model.oracle, [model.tokenizer.encode(each) for each in windows], model.alphabet)


def measure(options: argparse.Namespace) -> Report:
    """All logs."""
    rows = []
    for name, read in sources(options).items():
        rows += measured(name, read(), options.seeds)
        print(markdown(rows), flush=True)
    named = {
        f"{row['log']}, {row['way']}: {key}": (row[key], 0.1 if key == "rows" else 0.02)
        for row in rows
        for key in ("rows", "wrong")
        if key in row
    }
    return Report(rows, markdown(rows), named)


def markdown(rows: list[dict]) -> str:
    """A row for each log and way."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return table(
        keys,
        [[f"{value:.4g}" if isinstance(value := row.get(key, ""), float) else value for key in keys] for row in rows],
    )


RECIPE = Recipe(
    __file__,
    __doc__,
    "Where are draws worth their price?",
    measure,
    {
        "csl": Size("", "", "folder of the CSL sample"),
        "logs": Size(["alarms", "csl", "hawkes"], []),
        "worlds": Size(["small", "steep"], ["small"]),
        "seeds": Size(20, 2),
        "sequences": Size(4, 1, "of a world"),
        "length": Size(40, 12, "events of each"),
        "windows": Size(12, 1, "of a log"),
    },
)

if __name__ == "__main__":
    RECIPE.main()
