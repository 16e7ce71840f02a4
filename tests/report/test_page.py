import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from tests.pages import HOSTILE, document, scores_of, sequences, told

from hf_trace.discovery.thresholds import parse_threshold
from hf_trace.errors import OutputError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.logs.log import EventLog
from hf_trace.logs.log_facts import log_facts
from hf_trace.logs.sequence import EventSequence
from hf_trace.report import page as documents
from hf_trace.report.evidence import LAG_SECONDS, EvidenceCollector
from hf_trace.report.page import page_document, page_text, write_page
from hf_trace.report.page_texts import assumptions, headline, not_tested

NAMES = [f"type {i}" for i in range(12)]


def embedded(text):
    """The JSON inside a page."""
    (found,) = re.findall(r'<script id="document" type="application/json">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def instance(n_events=6):
    edges = tuple(
        {
            "cause": "ab"[i % 2],
            "effect": "ab"[(i + 1) % 2],
            "cause_position": i,
            "effect_position": i + 1,
            "cmi": 0.1 * (i + 1),
        }
        for i in range(n_events - 1)
    )
    return CausalGraph("instance", tuple("ab"[i % 2] for i in range(n_events)), edges)


# The page


def test_a_page_holds_its_document_and_asks_for_nothing_else(tmp_path):
    write_page(tmp_path / "report.html", document(NAMES, 40))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert embedded(text)["names"] == NAMES
    assert "http:" not in text
    assert "https:" not in text
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|<link[^>]+stylesheet|<script[^>]+src", text)
    assert "default-src 'none'" in text
    assert re.search(r"script-src 'sha256-[\w+/=]{44}'\"", text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert "{{" not in text
    assert len(text) < 200_000


def test_counting_stands_beside_every_edge():
    """By hand: S ranks a -> b (.6), b -> a (.4), a -> c (.2) and c -> a, b -> c alike at 0."""
    table = [[0.9, 0.6, 0.2], [0.4, 0.0, 0.0], [0.0, 0.0, 0.0]]
    graph = CausalGraph.from_edges([("a", "b"), ("a", "c"), ("b", "c")], events=["a", "b", "c"])
    graph = graph.with_metadata(baselines={"onset": table})
    columns = page_document(graph)["edges"]
    assert columns["onset"] == [0.6, 0.2, 0.0]
    assert columns["onset_rank"] == [1, 3, 4]
    (said,) = [each["text"] for each in assumptions(graph, {}) if each["title"] == "What counting alone says"]
    assert said.startswith("2 of 3 edges are also among")
    assert "onset" not in page_document(CausalGraph.from_edges([("a", "b")]))["edges"]


def test_what_counting_ranks_high_and_is_no_edge_is_listed():
    made = told()
    assert [(each["cause"], each["effect"], each["rank"]) for each in made["left_out"]] == [(3, 4, 1), (0, 4, 2)]
    assert page_document(CausalGraph.from_edges([("a", "b")]))["left_out"] == []


def test_graphs_of_other_questions_share_names_and_places():
    made = told()
    (follows,) = made["others"]
    assert (made["question"], follows["question"]) == (
        "drives: what explains the effect",
        "follows: does the effect begin",
    )
    assert (follows["edges"]["cause"], follows["edges"]["effect"]) == ([0, 0], [1, 2])
    assert len(made["names"]) == len(made["places"]) == 6
    joined, alone = made["places"][:4], made["places"][4:]
    assert all(0 <= y <= 1 for _, y in joined)
    assert alone == [[0.05, 1.09], [0.15, 1.09]]  # without an edge in either
    # Four times the cause, each followed by both effects.
    assert [len(links) for links in follows["links"]] == [8, 8]


def test_what_an_edge_by_type_means():
    settings = {"construction": "by-type", "proposal": "removal", "threshold": "margin:0.05", "min_frequency": 0.05}
    meaning, line = assumptions(CausalGraph("population", ("a",)), settings)[:2]
    assert "All events of the cause in a sequence are replaced by nothing, as if" in meaning["text"]
    assert "frequency" not in line["text"]


def test_equal_documents_give_equal_pages():
    assert page_text(document(NAMES, 40)) == page_text(document(NAMES, 40))


def test_hostile_names_stay_inside_the_data():
    text = page_text(document(HOSTILE, 60, title=HOSTILE[0], command=HOSTILE[1]))
    assert text.count("<script") == page_text(document(NAMES, 60)).count("<script") == 2
    assert "<img" not in text
    assert "\u2028" not in text
    assert embedded(text)["names"] == list(HOSTILE)
    assert embedded(text)["title"] == HOSTILE[0]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js: apt-get install nodejs")
@pytest.mark.parametrize(
    ("times", "heading", "cell", "fact"),
    [
        (
            {"lag_seconds": 80_280.0, "lag_seconds_quantiles": {"0.1": 2.0, "0.5": 38.0, "0.9": 79_200.0}},
            "after (median)",
            "38 seconds",
            ["Median time between", "38 seconds (80 % from 2 seconds to 22.0 hours)"],
        ),
        ({"lag_seconds": 80_280.0}, "after (mean)", "22.3 hours", ["Mean time between", "22.3 hours"]),  # of old files
    ],
)
def test_delays_are_medians(times, heading, cell, fact):
    edges = ({"cause": "a", "effect": "b", "cmi": 0.5, **times}, {"cause": "b", "effect": "a", "cmi": 0.1})
    made = page_document(CausalGraph("population", ("a", "b"), edges))
    text = json.dumps(json.dumps(made))
    script = (
        f"globalThis.document = {{getElementById: () => ({{textContent: {text}}})}}; const fact = (...all) => [all];"
    )
    script += "".join(documents._file(f"{name}.js") for name in ("model", "evidence", "table"))
    script += (
        "const [key, label] = columns().find(([key]) => key === DELAY[0]), median = shownValue(key, value(key, 0));"
    )
    script += "console.log(JSON.stringify([label, median, facts(0).at(-1), shownValue(key, value(key, 1))]))"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [heading, cell, fact, ""]


def test_half_a_surrogate_pair_in_an_id_can_be_written(tmp_path):
    collector = EvidenceCollector()
    collector.add_graph(EventSequence(tuple("ababab"), id="\udc80"), instance())
    write_page(tmp_path / "report.html", page_document(instance(), evidence=collector))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert embedded(text)["incidents"][0]["sequence"] == "\udc80"


def test_a_large_page_stays_small():
    text = page_text(document([f"component {i} failed" for i in range(100)], 5_000))
    assert len(text) < 1_000_000
    assert len(embedded(text)["edges"]["cause"]) == 5_000


@pytest.mark.parametrize("name", ["report.pdf", "report"])
def test_a_page_has_a_suffix(tmp_path, name):
    with pytest.raises(OutputError, match=r"Expected a name that ends in \.html, \.htm"):
        write_page(tmp_path / name, document(NAMES, 4))
    assert not list(tmp_path.iterdir())


# The document


def test_edges_travel_by_number_with_all_their_keys():
    made = document(NAMES, 40)
    edges = made["edges"]
    assert {"cmi", "frequency_low", "lag_counts", "confidence", "direction"} <= set(edges)
    assert all(len(column) == 40 for column in edges.values())
    assert made["found"] == 40
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in made["places"])
    assert made["counts"][0] > 0
    assert made["metadata"]["settings"]["max_lag"] == 12


def test_numbers_that_json_lacks_are_left_out():
    edge = {"cause": "a", "effect": "b", "cmi": 0.1234567891, "standard_error": float("nan")}
    edges = page_document(CausalGraph("summary", ("a", "b"), (edge,)))["edges"]
    assert edges["cmi"] == [0.123457]
    assert edges["standard_error"] == [None]


def test_an_instance_graph_is_its_own_incident():
    made = page_document(instance())
    assert made["names"] == ["a", "b"]
    assert sorted(zip(made["edges"]["cause"], made["edges"]["effect"], strict=True)) == [(0, 1), (1, 0)]
    (incident,) = made["incidents"]
    assert incident["events"] == [0, 1, 0, 1, 0, 1]
    assert sorted(link[:2] for link in incident["links"]) == [[i, i + 1] for i in range(5)]


def test_a_graph_without_anything_can_be_shown():
    made = page_document(CausalGraph("population", ("a", "b")))
    assert made["edges"] == {"cause": [], "effect": []}
    assert made["places"] == [[0.05, 1.09], [0.15, 1.09]]  # below the picture
    assert embedded(page_text(made))["found"] == 0
    assert page_document(CausalGraph("population", ()))["names"] == []


def test_tables_over_all_pairs_stay_behind():
    graph = CausalGraph("population", ("a",), (), {"scores": {"matrix": [[0.0]]}, "contexts": 3})
    assert page_document(graph)["metadata"] == {"contexts": 3}


def test_rarely_joined_types_are_in_the_table_only(monkeypatch):
    monkeypatch.setattr(documents, "_MOST_PLACED", 2)
    made = page_document(CausalGraph.from_edges([("a", "b"), ("b", "a"), ("b", "c")]))
    assert [place is None for place in made["places"]] == [False, False, True]


# The evidence


@pytest.fixture
def collected():
    rng = np.random.default_rng(0)
    given = list(sequences(NAMES, 30, 20, rng))
    collector = EvidenceCollector(parse_threshold("margin:0.05"))
    for sequence in given:
        collector.add(sequence, scores_of(sequence))
    return given, collector


def test_examples_are_places_that_carry_the_edge(collected):
    given, collector = collected
    by_id = {sequence.id: sequence for sequence in given}
    examples = collector.examples(("type 0", "type 1"))
    assert len({example.sequence for example in examples}) == len(examples) == 3
    for example in examples:
        sequence = by_id[example.sequence]
        assert sequence.events[example.link.cause] == "type 0"
        assert sequence.events[example.link.effect] == "type 1"
        assert example.times == (sequence.timestamps[example.link.cause], sequence.timestamps[example.link.effect])
        if example.events:
            assert example.events == sequence.events[example.start : example.start + len(example.events)]
    assert collector.examples(("type 0", "nothing")) == []


def test_times_are_counted_in_bins():
    collector = EvidenceCollector()
    times = (0.0, 0.0, 5.0, 5.0 + LAG_SECONDS[-1], 5.0 + 3 * LAG_SECONDS[-1], 5.0 + 3 * LAG_SECONDS[-1])
    collector.add_graph(EventSequence(tuple("ababab"), times), instance())
    assert collector.seconds(("a", "b")) == [2] + [0] * 11 + [1, 0]
    assert collector.seconds(("b", "a")) == [0] * 5 + [1] + [0] * 7 + [1]


def test_incidents_are_those_with_the_most_different_edges(collected):
    given, collector = collected
    incidents = collector.incidents()
    assert len(incidents) == 8
    kinds = {
        sequence.id: len(
            {
                (sequence.events[c], sequence.events[e])
                for c, e, cmi in zip(*_columns(scores_of(sequence)), strict=True)
                if cmi > 0.05
            }
        )
        for sequence in given
    }
    chosen = {incident.sequence for incident in incidents}
    assert min(kinds[name] for name in chosen) >= max(kinds[name] for name in kinds if name not in chosen)
    assert [incident.sequence for incident in incidents] == [s.id for s in given if s.id in chosen]


def _columns(scores):
    return scores.cause_position, scores.effect_position, scores.cmi


def test_the_incidents_of_a_page_show_edges_of_its_graph(collected):
    _, collector = collected
    wanted = {("type 0", "type 5")}
    chosen = collector.incidents(wanted)
    assert 0 < len(chosen) <= 8
    for incident in chosen:
        pairs = {
            tuple(incident.events[at - incident.start] for at in (link.cause, link.effect)) for link in incident.links
        }
        assert pairs & wanted
    assert collector.incidents({("type 0", "nothing")}) == []


def test_places_of_edges_are_looked_up_where_the_model_scored_none():
    log = EventLog.from_sequences([EventSequence(("a", "b", "x", "a", "b"), id="one")])
    made = page_document(CausalGraph.from_edges([("a", "b")], level="population"), log=log)
    assert made["looked_up"]
    (incident,) = made["incidents"]
    assert [link[:2] for link in incident["links"]] == [[0, 1], [3, 4]]
    assert len(made["examples"]["0"]) == 1
    assert not document(NAMES, 40)["looked_up"]


def test_a_long_sequence_is_cut_to_where_its_edges_are():
    graph = instance(400)
    quiet = EventSequence(("a",) * 200 + graph.events + ("a",) * 100, id="long")
    moved = tuple(
        {**edge, "cause_position": edge["cause_position"] + 200, "effect_position": edge["effect_position"] + 200}
        for edge in graph.edges
    )
    collector = EvidenceCollector()
    collector.add_graph(quiet, CausalGraph("instance", quiet.events, moved))
    (incident,) = collector.incidents()
    assert (len(incident.events), incident.length, incident.found) == (300, 700, 399)
    assert len(incident.links) == 299
    assert 200 <= incident.start <= 300


# The words


def test_the_headline_names_days_and_the_first_finding():
    start = 1_700_000_000.0
    log = EventLog.from_sequences([EventSequence(("a", "b"), (start, start + 86_400.0))])
    edges = [
        {"cause": "a", "effect": "b", "cmi": 0.1},
        {"cause": "b", "effect": "a", "cmi": -0.3, "direction": "inhibits"},
    ]
    graph = CausalGraph("population", ("a", "b"), tuple(edges))
    assert headline(graph, log) == "2023-11-14 to 2023-11-15: b ⊣ a is the strongest of 2 edges"
    assert headline(CausalGraph("population", ("a",)), None) == "no edge was found"


def test_facts_of_a_log_tell_dates_gaps_and_what_was_analyzed():
    start = 1_700_000_000.0
    log = EventLog.from_sequences([EventSequence(("a", "b", "c"), (start, start, start + 7200.0))])
    facts = {fact["label"]: (fact["value"], fact["note"]) for fact in log_facts(log, log)}
    assert facts["Time span"] == ("2.0 hours", "2023-11-14 to 2023-11-15")
    assert facts["Gap between events"] == (
        "median 60.0 minutes",
        "90 % below 1.8 hours, longest 2.0 hours, 50.0 % at the same time",
    )
    assert facts["Analyzed"] == ("3 events", "1 sequence of at most 3 events")
    untimed = {fact["label"]: fact for fact in log_facts(EventLog.from_sequences([EventSequence(("a",))]))}
    assert untimed["Time span"]["note"] == "no times: only the order is known"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"effect": "direct", "proposal": "exhaustive"}, "replaced by every event type"),
        ({"effect": "total"}, "the model goes on by itself"),
        ({"construction": "shapley"}, "not a causal effect"),
        ({"threshold": "margin:0.05"}, "above 0.05 nats"),
        ({"threshold": "fdr:0.1,0.2"}, "a share 0.1 is expected to be false"),
        ({}, "not recorded"),
    ],
)
def test_assumptions_follow_the_settings(settings, said):
    words = assumptions(CausalGraph("population", ()), settings)
    assert said in " ".join(entry["text"] for entry in words)
    titles = [entry["title"] for entry in words]
    assert "No hidden common cause" in titles
    assert "The same rules throughout" in titles


def test_what_was_not_tested_follows_the_settings():
    graph = CausalGraph("population", ())
    said = " ".join(not_tested(graph, {"max_lag": 8, "prefix_length": 3, "min_support": 2, "knowledge": {"x": 1}}))
    assert all(part in said for part in ("more than 8 events", "first 3 events", "fewer than 2", "rules out"))
    assert "horizon of 1h" in not_tested(graph, {"effect": "total", "horizon": "1h"})[0]
