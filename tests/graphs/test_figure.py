import re
from xml.etree import ElementTree

import matplotlib as mpl
import networkx as nx
import numpy as np
import pytest
from matplotlib.axes import Axes

from hf_trace.errors import OutputError, SettingsError
from hf_trace.graphs.graph import CausalGraph
from hf_trace.graphs.pictures.drawing import COLORS, drawn_edges, legend_lines, shortened
from hf_trace.graphs.pictures.figure import draw_graph, figure_title
from hf_trace.graphs.pictures.layout import LabelPlacer, place_nodes
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence

SMALL = CausalGraph(
    "summary",
    ("disk full", "re$boot$", "用户 😀 <&>", "tab\there"),
    (
        {"cause": "disk full", "effect": "re$boot$", "cmi": 0.5, "direction": "excites", "lags": [1, 2, 3, 4]},
        {"cause": "re$boot$", "effect": "disk full", "cmi": 0.1, "direction": "inhibits", "lag": 2},
        {"cause": "re$boot$", "effect": "re$boot$", "cmi": 0.1},
    ),
)


def ring(n_types):
    edges = tuple(
        {"cause": str(i), "effect": str((i + step) % n_types), "cmi": 1.0 / (i + step)}
        for i in range(n_types)
        for step in (1, 2)
    )
    return CausalGraph("population", tuple(map(str, range(n_types))), edges)


def sequence(n_events):
    edges = tuple(
        {"cause": "e", "effect": "e", "cause_position": i, "effect_position": i + 2, "lag": 2, "cmi": 0.3}
        for i in range(0, n_events - 2, 3)
    )
    return CausalGraph("instance", ("e",) * n_events, edges)


def svg_text(path):
    """The texts of an SVG file, which matplotlib keeps as comments beside their outlines."""
    return re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")]
)
def test_formats_hold_odd_names_and_are_deterministic(tmp_path, suffix, magic):
    for name in ("one", "two"):
        draw_graph(SMALL, tmp_path / f"{name}{suffix}", title="at $host$ 😀")
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one.startswith(magic)
    assert one == two


def test_no_text_breaks_a_picture(tmp_path):
    edge = {"cause": "a", "effect": "b\x1b--></svg>", "cmi": 0.1, "lags": ["\x00", "</svg>"]}
    graph = CausalGraph("summary", ("a", "b\x1b--></svg>"), (edge,))
    draw_graph(graph, tmp_path / "g.svg", title="\x1b[31m \x00 $x^ <b>--> \u202e\nsecond line")
    assert ElementTree.parse(tmp_path / "g.svg").getroot().tag.endswith("svg")


def test_shows_names_lags_title_and_legend(tmp_path, monkeypatch):
    names = []
    draw_text = Axes.text
    monkeypatch.setattr(Axes, "text", lambda *args, **kwargs: names.append(args[3]) or draw_text(*args, **kwargs))
    draw_graph(SMALL, tmp_path / "g.svg", title="at $host$")
    assert set(names) == {"disk full", "re$boot$", "用户 😀 <&>", "tab here", "1, 2, 3…", "2", "at $host$"}
    # Comments of the SVG hold texts as they are, so `$` was not read as a formula.
    texts = svg_text(tmp_path / "g.svg")
    assert {"at $host$", "1, 2, 3…", "excites", "inhibits", "widest: cmi 0.5 nats"} <= set(texts)


def test_global_state_is_untouched(tmp_path):
    before = dict(mpl.rcParams)
    draw_graph(SMALL, tmp_path / "g.svg")
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in vars(mpl) or not mpl.pyplot.get_fignums()


@pytest.mark.parametrize("n_types", [2, 60, 61])
def test_sizes(tmp_path, n_types):
    draw_graph(ring(n_types), tmp_path / "g.png")
    assert (tmp_path / "g.png").stat().st_size > 5000


def test_large_graph_says_what_it_leaves_out(tmp_path):
    draw_graph(ring(200), tmp_path / "g.svg", max_edges=50)
    texts = svg_text(tmp_path / "g.svg")
    # Edges i -> i + step are ranked by i + step: 49 end below 26, and the next is 24 -> 26.
    notes = [text for text in texts if "edges drawn" in text]
    assert notes == ["strongest 50 of 400 edges drawn; 27 of 200 event types drawn"]


@pytest.mark.parametrize("n_events", [3, 60, 130])
def test_timeline(tmp_path, n_events):
    draw_graph(sequence(n_events), tmp_path / "g.svg", title="t")
    texts = svg_text(tmp_path / "g.svg")
    joined = 2 * len(sequence(n_events))
    assert texts.count("e") == (n_events if n_events <= 120 else joined)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (CausalGraph.from_edges([], ["a", "b"]), "No causal edge among 2 event types."),
        (CausalGraph("instance", ("a",)), "No causal edge among 1 events."),
        (CausalGraph("population", ()), "No causal edge among 0 event types."),
    ],
)
def test_empty_graph_says_so(tmp_path, graph, message):
    draw_graph(graph, tmp_path / "g.svg")
    assert message in svg_text(tmp_path / "g.svg")


def test_no_edge_wanted(tmp_path):
    draw_graph(SMALL, tmp_path / "g.svg", max_edges=0)
    assert "None of the 3 edges is drawn." in svg_text(tmp_path / "g.svg")


def test_truth_tells_found_from_false_and_missed(tmp_path):
    truth = CausalGraph.from_edges([("disk full", "re$boot$"), ("disk full", "tab\there"), ("x", "y")])
    edges = {edge.ends: edge for edge in drawn_edges(SMALL, truth)}
    assert edges["disk full", "re$boot$"].line == "-"
    false, missed = edges["re$boot$", "disk full"].line, edges["disk full", "tab\there"].line
    assert len({"-", false, missed}) == 3
    assert ("x", "y") not in edges
    draw_graph(SMALL, tmp_path / "g.svg", truth=truth)
    assert {"in the truth", "not in the truth", "missed"} <= set(svg_text(tmp_path / "g.svg"))


def test_truth_of_types_judges_positions_by_name():
    truth = CausalGraph.from_edges([("e", "e")])
    assert {edge.line for edge in drawn_edges(sequence(9), truth)} == {"-"}


def test_width_is_strength_and_color_is_direction():
    edges = {edge.ends: edge for edge in drawn_edges(SMALL, None)}
    strong, weak = edges["disk full", "re$boot$"], edges["re$boot$", "disk full"]
    # 0.7 points and, of the 3.3 to the widest, the share 0.1 / 0.5.
    assert (strong.width, weak.width) == (4.0, pytest.approx(0.7 + 3.3 / 5))
    assert (strong.color, weak.color) == (COLORS["excites"], COLORS["inhibits"])
    assert [line.get_label() for line in legend_lines(CausalGraph.from_edges([("a", "b")]), None)] == []


def test_names_are_cut_in_the_middle():
    assert shortened("abcdefgh", 8) == "abcdefgh"
    assert shortened("abcdefghi", 8) == "abcd…ghi"
    assert shortened("a\nb", 8) == "a b"


def test_nodes_stay_inside_and_apart():
    network = nx.relabel_nodes(nx.gnp_random_graph(30, 0.1, seed=0, directed=True), str)
    points = np.array(list(place_nodes(network, 10.0, 7.0).values()))
    assert (points >= 0).all()
    assert (points <= (10.0, 7.0)).all()
    gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    assert gaps[~np.eye(30, dtype=bool)].min() > 0.2


def test_labels_do_not_cover_each_other_and_stay_inside():
    placer = LabelPlacer([], (4.0, 2.0), font=10.0, gap=0.1)
    labels = placer.place({(0.1, 1.0): "left edge", (1.9, 1.0): "one", (2.0, 1.0): "two"})
    width = 0.6 * 10 * len("left edge") / 72 + 0.04
    assert labels[0].x - width / 2 >= 0
    assert (labels[1].x, labels[1].y) != (labels[2].x, labels[2].y)
    crowded = LabelPlacer([], (0.5, 0.2), font=10.0, gap=0.01)
    assert len(crowded.place({(0.2, 0.1): "same", (0.3, 0.1): "place"}, drop_crowded=True)) == 1


def test_unknown_suffix(tmp_path):
    with pytest.raises(OutputError) as caught:
        draw_graph(SMALL, tmp_path / "g.bmp")
    assert str(caught.value) == (f"Cannot draw to '{tmp_path}/g.bmp'. Expected a name that ends in .png, .svg, .pdf.")


def test_negative_number_of_edges(tmp_path):
    with pytest.raises(SettingsError) as caught:
        draw_graph(SMALL, tmp_path / "g.png", max_edges=-1)
    assert str(caught.value) == "max_edges is -1, expected a whole number of at least 0."


def texts_of(graph, tmp_path, **options):
    draw_graph(graph, tmp_path / "drawn.svg", **options)
    return svg_text(tmp_path / "drawn.svg")


def test_the_strongest_that_can_be_read_are_drawn_unless_more_are_asked_for(tmp_path):
    many = ring(50)
    assert "strongest 30 of 100 edges drawn; 17 of 50 event types drawn" in texts_of(many, tmp_path)
    assert not [text for text in texts_of(many, tmp_path, max_edges=100) if "edges drawn" in text]
    # Beside a truth, what is not drawn would look as if it had not been found.
    assert not [text for text in texts_of(many, tmp_path, truth=many) if "edges drawn" in text]


def test_sign_is_told_by_the_head_too():
    edges = {edge.ends: edge for edge in drawn_edges(SMALL, None)}
    excites, inhibits = edges["disk full", "re$boot$"].head, edges["re$boot$", "disk full"].head
    assert (excites.startswith("-|>"), inhibits.startswith("|-|")) == (True, True)
    arrows = {each.get_label(): each for each in legend_lines(SMALL, None)[:2]}
    assert list(arrows) == ["excites", "inhibits"]
    assert type(arrows["excites"].get_arrowstyle()) is not type(arrows["inhibits"].get_arrowstyle())


def test_an_arrow_has_its_median_delay():
    quantiles = {"0.1": 1.0, "0.5": 150.0, "0.9": 4000.0}
    edge = {"cause": "a", "effect": "b", "cmi": 0.5, "lags": [1, 2], "lag_seconds_quantiles": quantiles}
    graph = CausalGraph("population", ("a", "b"), (edge,))
    assert drawn_edges(graph, None)[0].label == "2.5 min"
    assert "on it: median delay" in [each.get_label() for each in legend_lines(graph, None)]


@pytest.mark.parametrize(
    ("first", "days", "title"),
    [
        (1_600_000_000.0, "2020-09-13 to 2020-09-14", "x.csv: what follows what\nafter the cause; 2 sequences; {}"),
        (0.0, "", "x.csv: what follows what\nafter the cause; 2 sequences"),
    ],
)
def test_the_title_names_log_question_and_days(tmp_path, first, days, title):
    log = EventLog.from_sequences([EventSequence(("a", "b"), (first, first + 50_000.0), name) for name in "xy"])
    graph = CausalGraph.from_edges([("a", "b")]).with_metadata(question="follows: after the cause")
    found = figure_title(graph, "x.csv", log)
    assert found == title.format(days)
    assert {"x.csv: what follows what", found.partition("\n")[2]} <= set(texts_of(graph, tmp_path, title=found))
    assert "What follows what" in texts_of(graph, tmp_path)


def test_ends_of_the_widest_arrows_are_named_in_large_pictures(tmp_path, monkeypatch):
    """A hub with a hundred weak arrows, and one pair that is joined strongly and to nothing else."""
    names = ("strong cause", "strong effect", "hub", *(f"leaf {i}" for i in range(100)))
    edges = [{"cause": "hub", "effect": name, "cmi": 0.1} for name in names[3:]]
    graph = CausalGraph("population", names, (*edges, {"cause": "strong cause", "effect": "strong effect", "cmi": 0.9}))
    written = []
    draw_text = Axes.text
    monkeypatch.setattr(Axes, "text", lambda *args, **kwargs: written.append(args[3]) or draw_text(*args, **kwargs))
    draw_graph(graph, tmp_path / "g.svg", max_edges=101)
    assert {"strong cause", "strong effect"} <= set(written)
    assert len(written) < len(names)


def test_what_changed_is_drawn_first_with_its_word(tmp_path):
    same = [{**edge, "change": "same"} for edge in ring(30).edges]
    weak = {"cause": "0", "effect": "9", "cmi": 1e-6, "change": "gone"}
    graph = ring(30).with_edges([*same, weak])
    texts = texts_of(graph, tmp_path, max_edges=5)
    assert "strongest 5 of 61 edges drawn; 5 of 30 event types drawn" in texts
    assert texts.count("gone") == 2  # on the arrow, and in the legend
    assert "as before" in texts
    edges = {edge.ends: edge for edge in drawn_edges(graph, None)}
    assert edges["0", "9"].line != edges["0", "1"].line


def test_texts_on_arrows_keep_apart():
    placer = LabelPlacer([], (4.0, 2.0), font=10.0, gap=0.0)
    choices = [(1.0, 1.0), (3.0, 1.0)]
    assert [placer.along(choices, "25 s") for _ in range(2)] == choices
