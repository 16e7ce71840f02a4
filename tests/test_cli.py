"""The command line: what it writes, and one line for every mistake."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_trace.graphs.graph import CausalGraph
from hf_trace.tokenizers.event_tokenizer import EventTokenizer

COLUMNS = ["--case-column", "case", "--event-column", "event", "--time-column", "time"]


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def strict_json(text):
    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_train_discover_evaluate(place, hf_trace, tiny_config):
    training = ["--model", tiny_config, "--epochs", 3, "--seed", 1]
    code, out, err = hf_trace("train", "log.csv", *COLUMNS, "--out", "runs/new", *training)
    assert (code, out) == (0, "")
    assert err.splitlines()[0].startswith("40 sequences, 480 events, 4 event types, spanning ")
    assert "Wrote runs/new" in err
    assert json.loads((place / "runs/new/tokenizer_config.json").read_text())["gap_edges"]
    assert everything(place / "runs") == sorted(["new", *(f"new/{name}" for name in everything(place / "runs/new"))])

    (place / "truth.csv").write_text("cause,effect\nA,B\n")
    for name in ("graph.json", "graph.graphml", "graph.dot", "graph.csv"):
        code, out, err = hf_trace("discover", "timed", "log.csv", "--proposal", "exhaustive", "--out", name)
        assert (code, "population graph: 4 events" in out) == (0, True)
        if name == "graph.dot":
            assert all(text in (place / name).read_text() for text in ('label="A"', 'label="B"', "->"))
            continue
        assert ("A", "B") in {(edge["cause"], edge["effect"]) for edge in CausalGraph.load(name).edges}
        code, out, err = hf_trace("evaluate", name, "truth.csv")
        assert (code, "against 1 known edges" in out) == (0, True)

    code, out, err = hf_trace("evaluate", "graph.json", "truth.csv", "--json")
    assert (code, err) == (0, "")
    assert strict_json(out)["recall"] == 1


def test_figures_that_are_undefined_are_null(place, hf_trace):
    CausalGraph("population", ("A", "B"), ({"cause": "A", "effect": "B", "cmi": 0.1},)).save("graph.json")
    CausalGraph("population", ("A", "B")).save("truth.json")
    code, out, _ = hf_trace("evaluate", "graph.json", "truth.json", "--json")
    # Without a true edge there is nothing to rank above anything.
    assert (code, strict_json(out)["auroc"]) == (0, None)


def test_figures(place, hf_trace):
    for name, magic in (("graph.png", b"\x89PNG"), ("graph.svg", b"<?xml"), ("graph.pdf", b"%PDF")):
        assert hf_trace("discover", "run", "plain.txt", "--sample", 5, "--plot", name)[0] == 0
        assert (place / name).read_bytes().startswith(magic)


WRITES = [
    "discover timed log.csv --sample 4 --out g.json --plot g.svg --html g.html --update pool.zip",
    "discover timed log.csv --sample 2 --level instance --out g.jsonl",
    "count log.csv --out g.csv --plot g.svg --json",
    "rank run plain.txt --outcome B --id 1 --num-samples 2 --out r.csv --json",
    "outcomes run plain.txt --outcome B --sample 2 --num-samples 2 --out o.json",
    "effect run plain.txt --id 1 --do 3=C --target B --num-samples 2 --out answers.jsonl",
    "simulate small --sequences 3 --truth-samples 1 --out world --json",
]


@pytest.mark.parametrize("line", WRITES)
def test_all_that_is_written_is_told(place, hf_trace, line):
    before = set(place.iterdir())
    code, _, err = hf_trace(*shlex.split(line))
    assert code == 0, err
    told = {text.removeprefix("Wrote ").split(" (")[0].split(":")[0] for text in err.splitlines() if "Wrote " in text}
    assert told == {path.name for path in set(place.iterdir()) - before}


@pytest.mark.parametrize("level", ["population", "summary", "instance"])
def test_json_is_alone_on_stdout(place, hf_trace, level):
    code, out, err = hf_trace("discover", "timed", "log.csv", "--json", "--level", level, "--sample", 2)
    assert code == 0
    document = strict_json(out)
    outputs = [document] if level == "population" else document
    assert len(outputs) == (1 if level == "population" else 2)
    assert all(output["settings"]["level"] == level for output in outputs)
    assert "2 sequences in" in err


def test_json_of_training(place, hf_trace, tiny_config):
    code, out, _ = hf_trace("train", "plain.txt", "--out", "new", "--model", tiny_config, "--epochs", 1, "--json")
    assert code == 0
    document = strict_json(out)
    assert document["run"] == "new"
    assert document["validation"] == json.loads((place / "new/metrics.json").read_text())["validation"]


def test_seeds(place, hf_trace):
    arguments = ["discover", "run", "plain.txt", "--json", "--num-samples", 2, "--sample", 4]
    graphs = [strict_json(hf_trace(*arguments, "--seed", seed)[1]) for seed in (0, 0, 1)]
    assert graphs[0] == graphs[1]
    assert graphs[0] != graphs[2]


def test_one_sequence_by_name_and_many_as_lines(place, hf_trace):
    arguments = ["discover", "timed", "log.csv", "--level", "instance"]
    assert hf_trace(*arguments, "--id", "case3", "--out", "one.json", "--plot", "one.png")[0] == 0
    assert CausalGraph.load("one.json").level == "instance"
    assert hf_trace(*arguments, "--sample", 3, "--out", "many.jsonl")[0] == 0
    lines = [strict_json(line) for line in (place / "many.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert CausalGraph.from_dict(lines[0]["graph"]).level == "instance"


def test_long_sequences_are_cut(place, hf_trace):
    (place / "stream.csv").write_text("event\n" + "A\nB\nC\n" * 20)
    code, _, err = hf_trace("discover", "run", "stream.csv")
    assert code == 0
    # 60 events, and the model was trained on windows of 12.
    assert "Cut into 5 windows of at most 12 events." in err


def test_rare_events_are_unknown_at_discovery_too(place, hf_trace, tiny_config):
    (place / "rare.txt").write_text((place / "plain.txt").read_text() + "\nA B once A B C\n")
    training = ["--out", "new", "--model", tiny_config, "--epochs", 1, "--min-count", 2]
    assert hf_trace("train", "rare.txt", *training)[0] == 0
    assert hf_trace("discover", "new", "rare.txt")[0] == 0


def test_names_are_shown_as_they_are(place, refused):
    (place / "odd.txt").write_text(":fire: [bold]A[/bold] C\\ B\n")
    assert "':fire:', '[bold]A[/bold]', 'C\\\\' (first at position 0)" in refused("discover", "run", "odd.txt")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], [], ["train", "--help"], ["discover", "-h"]])
def test_help(hf_trace, arguments):
    code, out, err = hf_trace(*arguments)
    assert (code, err) == (0, "")
    assert "Usage: hf-trace" in out


def test_interruption(place, hf_trace, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hf_trace.training.log_training.train", interrupted)
    code, out, err = hf_trace("train", "plain.txt", "--out", "new")
    assert (code, out, err.splitlines()[-1]) == (130, "", "error: Interrupted.")


BAD_LOGS = {
    "missing file": ("absent.csv", [], "There is no file 'absent.csv'. '.' holds "),
    "misnamed column": (
        "log.csv",
        ["--event-column", "evnt"],
        "`event_column='evnt'` is not one of the 3 columns 'case', 'event', 'time'. Did you mean 'event'?",
    ),
    "no event column": (
        ("odd.csv", "x,y\n1,2\n"),
        [],
        "Found the 2 columns 'x', 'y', but none has a usual name of an event column such as 'activity', ",
    ),
    "empty file": (("empty.csv", ""), [], "'empty.csv' is empty"),
    "header only": (("header.csv", "case,event\n"), [], ""),
    "no timestamps for --gaps": (
        "plain.txt",
        ["--gaps"],
        "Gap tokens were asked for, but the log has no timestamps. Name their column with `--time-column`, or leave "
        "out `--gaps`.",
    ),
    "no time column": (
        "log.csv",
        ["--time-column", "when"],
        "`time_column='when'` is not one of the 3 columns 'case', 'event', 'time'. Name one of them.",
    ),
    "no times in plain text": ("plain.txt", ["--time-column", "time"], "'plain.txt' is read as plain text, which"),
    "unparsable times": (("times.csv", "case,event,time\nx,a,noon\nx,b,2\n"), ["--time-column", "time"], ""),
    "one-event sequences": (
        ("short.csv", "case,event\n1,a\n2,b\n3,a\n"),
        [],
        "None of the 3 windows has 2 events, expected at least one. Allow longer ones, or lower `min_length`.",
    ),
    "one sequence": (
        ("one.txt", "a b a b"),
        [],
        "The log has 1 sequences of two or more events, expected at least 2: one to learn from, one to check on. Name "
        "the case column, or cut a single stream with `--window-length`.",
    ),
    "special token as event": (
        ("special.csv", "case,event\n1,a\n1,[PAD]\n2,a\n2,a\n"),
        [],
        "The event type '[PAD]' has the name of a special token. Expected names other than [PAD], [BOS], [EOS], [UNK] "
        "and <gap:N>; rename it in the log.",
    ),
    "binary file": (("binary.csv", bytes(range(256)) * 20), [], ""),
    "xes that is not xml": (("log.xes", "case,event\n1,a\n"), [], "'log.xes' is not well-formed XML"),
    "xes without traces": (("log.xes", "<log/>"), [], "'log.xes' is XML without a <trace> element"),
    "bad query": ("log.csv", ["--query", "evnt == 'A'"], "`query=\"evnt == 'A'\"` cannot be evaluated"),
    "bad unit": ("log.csv", ["--time-unit", "fortnights"], ""),
    "bad window length": ("plain.txt", ["--window-length", "1"], "window_length is 1, expected a whole number of"),
    "window gap without times": ("plain.txt", ["--window-gap", "5"], "`gap=5.0` asks for cuts at silences, but the"),
    "bad epochs": ("plain.txt", ["--epochs", "-1"], "epochs is -1.0, expected a number above 0."),
    "bad preset": (
        "plain.txt",
        ["--preset", "huge"],
        "preset is 'huge', expected one of: pico, nano, tiny, small, base.",
    ),
    "lora without a model": ("plain.txt", ["--lora"], "--lora adapts a pretrained model, but none was named."),
    "no such model": (
        "plain.txt",
        ["--model", "nonsense"],
        "No causal language model could be loaded from 'nonsense', which is no folder here: ",
    ),
    "model that is not causal": ("plain.txt", ["--model", "t5"], "'t5' cannot be made a causal language model: "),
    "rare types only": ("plain.txt", ["--min-count", "1000000"], ""),
}


@pytest.mark.parametrize("case", BAD_LOGS)
def test_bad_training(place, refused, case):
    log, options, message = BAD_LOGS[case]
    if isinstance(log, tuple):
        log, content = log
        (place / log).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = everything(place)
    line = refused("train", log, "--out", "new", *options)
    assert line.startswith(message)
    assert everything(place) == before


BAD_DISCOVERIES = {
    "unknown option": (["--maxlag", "3"], "No such option: --maxlag"),
    "bad number": (["--max-lag", "three"], "Invalid value for '--max-lag': "),
    "bad max lag": (["--max-lag", "0"], "max_lag is 0, expected a whole number of at least 1."),
    "bad threshold": (
        ["--threshold", "big"],
        "threshold is 'big', expected a kind and a value >= 0 such as 'margin:0.05' (nats) or 'fixed:3e-5'; kinds: ",
    ),
    "bad level": (["--level", "global"], "level is 'global', expected one of: instance, summary, population."),
    "bad proposal": (["--proposal", "dice"], "proposal is 'dice', expected one of: "),
    "bad unknown": (["--unknown", "skip"], "unknown is 'skip', expected one of: error, map."),
    "bad batch size": (["--batch-size", "-1"], "batch_size is -1, expected a whole number of at least 1."),
    "bad sample": (["--sample", "0"], "sample is 0, expected a whole number of at least 1."),
    "bad frequency": (["--min-frequency", "7"], "min_frequency is '7', expected a number from 0 to 1, or 'adaptive'."),
    "bad dtype": (["--dtype", "float8"], "dtype is 'float8', expected one of: float32, bfloat16."),
    "bad memory": (
        ["--memory", "lots"],
        "memory is 'lots', expected a size such as '2GB' or a share of free memory such as 0.5.",
    ),
    "bad id": (["--id", "nobody"], "No sequence has the id 'nobody'. The log has "),
    "bad window length": (["--window-length", "0"], "`length=0` events is less than `min_length=2`"),
    "many graphs, one file": (
        ["--level", "instance", "--out", "graph.json"],
        "There are 40 graphs for one file 'graph.json'. Choose one with `--id`, write all with `--out x.jsonl` or "
        "`x.parquet`, or pool them with `--level population`.",
    ),
    "many graphs, one figure": (
        ["--level", "summary", "--out", "graph.jsonl", "--plot", "graph.png"],
        "There are 40 graphs for one file 'graph.png'. Choose one with `--id`, ",
    ),
}


@pytest.mark.parametrize("case", BAD_DISCOVERIES)
def test_bad_discovery(place, refused, case):
    options, message = BAD_DISCOVERIES[case]
    before = everything(place)
    assert refused("discover", "run", "plain.txt", *options).startswith(message)
    assert everything(place) == before


BAD_PAIRS = {
    "unknown events": (
        "run",
        "A B C\nA disk-full B rebot x y\n",
        "4 events are not in the model's vocabulary of 4 types: 'disk-full', 'rebot', 'x' and 1 more (first at "
        'position 1). Train on a log that has them, or pass unknown="map" (`--unknown map`) to read them as unknown.',
    ),
    "no timestamps where gaps are written": (
        "timed",
        "A B C\n",
        "The model was trained with the time between events, but the sequence has no timestamps. Pass `timestamps` "
        "(seconds, one per event), or train with `--no-gaps`.",
    ),
    "only one-event sequences": (
        "run",
        "A\nB\n",
        "None of the 2 windows has 2 events, expected at least one. Allow longer ones, or lower `min_length`.",
    ),
    "no run": ("absent", "A B\n", "No causal language model could be loaded from 'absent', which is no folder here: "),
    "folder without a model": (
        "nothing",
        "A B\n",
        "The folder 'nothing' holds no config.json. Expected a run folder written by `hf-trace train`, or any folder "
        "of a causal language model.",
    ),
}


@pytest.mark.parametrize("case", BAD_PAIRS)
def test_run_and_log_that_do_not_fit(place, refused, case):
    run, text, message = BAD_PAIRS[case]
    (place / "nothing").mkdir()
    (place / "other.txt").write_text(text)
    before = everything(place)
    assert refused("discover", run, "other.txt", "--out", "graph.json").startswith(message)
    assert everything(place) == before


def test_a_window_longer_than_the_model_reads(place, refused):
    (place / "long.txt").write_text("A B " * 15)
    assert refused("discover", "run", "long.txt", "--window-length", 30) == (
        "The sequence '1' has 30 events, the model reads at most 25. Cut it with `hf_trace.cut_windows(log, "
        "length=25)` (`--window-length 25`), pass slide=True (`--slide`), or train with a longer window."
    )


@pytest.fixture
def broken(place, tiny_run):
    shutil.copytree(tiny_run, place / "broken")
    return place / "broken"


def test_another_vocabulary(broken, refused):
    EventTokenizer.from_event_types("ABCDEF").save_pretrained(broken)
    assert refused("discover", "broken", "plain.txt") == (
        "The tokenizer has 10 tokens but the model predicts 8. They were not saved together: load both from one run "
        "folder."
    )


def test_a_model_of_nan(broken, refused):
    weights = load_file(broken / "model.safetensors")
    weights["lm_head.weight"][0] = torch.nan
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    message = refused("discover", "broken", "plain.txt")
    assert message.startswith("32 of the 256 numbers of the weight 'lm_head.weight' of 'broken' are NaN or infinite")


def test_a_model_that_sees_the_future(broken, refused):
    from transformers import BertConfig, BertLMHeadModel

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = BertLMHeadModel(BertConfig(vocab_size=8, is_decoder=True, initializer_range=0.2, **shape))
    model.config.is_decoder = False
    model.save_pretrained(broken)
    line = refused("discover", "broken", "plain.txt")
    assert line.startswith("Changing the last token moves earlier predictions by ")


def test_a_broken_checkpoint(broken, refused):
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[:100])
    message = "No causal language model could be loaded from 'broken': "
    assert refused("discover", "broken", "plain.txt").startswith(message)
    (broken / "model.safetensors").write_bytes(weights)
    (broken / "tokenizer.json").write_text('{"added_tokens": []}')
    assert refused("discover", "broken", "plain.txt").startswith("No tokenizer could be loaded from 'broken': ")


def test_bad_graphs(place, refused):
    (place / "graph.json").write_text("{}")
    (place / "text.json").write_text("not json")
    for graph in ("graph.json", "text.json", "absent.json", "log.csv", "run"):
        assert refused("evaluate", graph, "graph.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyse"], "No such command 'analyse'. See `hf-trace --help`."),
        (["train"], "Missing argument 'LOG'. See `hf-trace train --help`."),
        (["train", "plain.txt"], "Missing option '--out'. See `hf-trace train --help`."),
        (["--verbose"], "No such option: --verbose"),
        (["evaluate", "graph.json"], "Missing argument 'TRUTH'. See `hf-trace evaluate --help`."),
    ],
)
def test_bad_commands(refused, arguments, message):
    assert refused(*arguments).startswith(message)


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "hf_trace", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: hf-trace" in done.stdout
    assert done.stderr == ""
