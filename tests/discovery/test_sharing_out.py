"""What processes share out, which are threads here: by-type and total effects are the same with any number of them."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from threading import Barrier, Lock
from typing import Any

import pytest
import torch

from hf_trace.discovery.results import log_result
from hf_trace.discovery.settings import DiscoveryRequest
from hf_trace.runs.processes import Processes


@dataclass(frozen=True)
class Thread(Processes):
    """One of several threads that stand for processes; one runs at a time, as all have the same model."""

    table: tuple = ()
    met: Any = None
    turn: Any = None

    def gathered(self, values):
        self.table[self.index][:] = values
        self.meet()
        found = list(chain.from_iterable(self.table))
        self.meet()
        return found

    def meet(self):
        self.turn.release()
        self.met.wait(60)
        self.turn.acquire()


def together(count, work):
    """What each of several threads gets."""
    table, met, turn = tuple([] for _ in range(count)), Barrier(count), Lock()

    def run(index):
        with turn:
            return work(Thread(index, count, table=table, met=met, turn=turn))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.parametrize(("items", "count"), [(0, 2), (1, 3), (5, 2), (6, 3), (4, 1)])
def test_items_come_in_order_to_all_and_each_is_computed_once(items, count):
    computed = []

    def work(process):
        return list(process.in_turn(range(items), lambda item: computed.append(item) or 10 * item))

    assert together(count, work) == [[10 * item for item in range(items)]] * count
    assert sorted(computed) == list(range(items))


@pytest.mark.parametrize(
    "asked",
    [
        {"construction": "by-type"},
        {"construction": "by-type", "statistic": "combined"},
        {"question": "follows", "horizon": "2", "num_contexts": 9},
        {"effect": "total", "horizon": "2", "num_contexts": 9},
    ],
    ids=lambda asked: "-".join(map(str, asked.values())),
)
def test_the_graph_is_the_same_with_any_number_of_processes(asked, discover_timed, timed_log):
    model, log = discover_timed.event_model, timed_log
    request = DiscoveryRequest().updated(level="population", batch_size=3, max_lag=3, **asked)

    def graph(process):
        with torch.inference_mode():
            return json.dumps(log_result(model, log, request, processes=process).to_dict(), sort_keys=True, default=str)

    alone = graph(Processes())
    for count in (2, 3):
        assert together(count, graph) == [alone] * count
