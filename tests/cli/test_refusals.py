"""An option that does not belong to what is asked is refused, in every command, before anything is read."""

import json
import shlex
from pathlib import Path

import pytest
import typer

from hf_trace.cli import app

LOGS = "--case-column c|--event-column e|--time-column t|--query 'e > 1'|--time-unit ms|--time-format %Y"
WHOLE = "is for logs that are read whole, and `--stream` reads this one in parts. Leave out either."
DRAWS = "is about draws, and `--proposal {}` tries every event type once. Leave out either."
POPULATIONS = "--min-frequency 0.1|--bootstrap 10|--update pool.zip|--groups groups.csv|--context-column site"
REPLACED = "is about replaced events, and the construction {!r} replaces none. Leave out either."
# Command lines; the options that do not belong to each, with a value; why they are refused.
REFUSED = [
    (
        "train x.csv --out new --model gpt2",
        "--preset tiny",
        "is the size of a new model, and `--model` names one. Leave out either.",
    ),
    (
        "train x.csv --out new --model gpt2",
        "--quick",
        "is how a new model is trained, and `--model` names one. Leave out either.",
    ),
    (
        "train x.csv --out new --dag dag.json",
        f"{LOGS}|--outcome-column o|--stream|--context-column c|--min-count 2|--gaps|--no-gaps|"
        "--gradient-accumulation 2|--window-length 9|--window-gap 5|--ensemble 2|"
        "--topology joined.csv|--topology-directed|--hops 2|--quick",
        "is about an event log, and `--dag` makes LOG a table. Leave out either.",
    ),
    (
        "train x.csv --out new",
        "--latent a|--history full|--order random|--learn a|--bins 3|--weight-column w|--folds 5",
        "is about a table whose graph is known. Add `--dag FILE`, or leave it out.",
    ),
    (
        "train x.csv --out new --stream",
        "--query 'e > 1'|--context-column c|--outcome-column o|--ensemble 2|--lora|--topology joined.csv|--quick",
        WHOLE,
    ),
    (
        "train x.csv --out new",
        "--variable 'p=*'|--state-pairs pairs.csv|--end-column e",
        "says what is a state. Add `--states`, or leave it out.",
    ),
    (
        "train x.csv --out new --states",
        "--outcome-column o|--stream|--context-column c|--model gpt2|--min-count 2|--window-length 9|--ensemble 2",
        "is not for a model of states, which reads snapshots of variables. Leave out either.",
    ),
    (
        "rank run x.csv --outcome o",
        "--knowledge known.json|--seen|--end-column e",
        "is for runs of states, `hf-trace train --states`. Leave it out.",
    ),
    (
        "count x.csv --method lift",
        "--horizon 10m|--topology joined.csv|--topology-directed|--hops 2",
        "is about times, and the method 'lift' counts by order alone. Leave out either.",
    ),
    *(
        (command, "--max-edges 9", "is about the figure. Add `--plot FILE`, or leave it out.")
        for command in ("count x.csv", "discover run x.csv", "compare x.json y.json")
    ),
    ("count x.csv --top 9", "--threshold 0.1", "says what makes an edge, and so does `--top`. Leave out either."),
    ("train x.csv --out new", "--merge", "folds in adapters, but none are trained. Add `--lora`, or leave it out."),
    (
        "discover run x.csv --effect total",
        "--num-samples 4|--proposal model|--construction atomic|--refine|--batch-size 2|--truth truth.json|--resume|"
        f"--knowledge known.json|{POPULATIONS}",
        "is about direct effects, and total ones are asked for. Leave it out.",
    ),
    (
        "discover run x.csv",
        "--horizon 8|--num-contexts 12",
        "is about total effects. Add `--effect total`, or leave it out.",
    ),
    *(
        (
            f"discover run x.csv --level {level}",
            POPULATIONS,
            f"is about population graphs, and the level is {level!r}. Leave it out, or `--level`.",
        )
        for level in ("instance", "summary")
    ),
    ("discover run x.csv --proposal exhaustive", "--num-samples 4|--refine", DRAWS.format("exhaustive")),
    ("discover run x.csv --proposal exhaustive:model", "--num-samples 4", DRAWS.format("exhaustive:model")),
    ("discover run x.csv --construction saliency", "--num-samples 4|--proposal uniform", REPLACED.format("saliency")),
    ("discover run x.csv --construction attention", "--num-samples 4|--proposal uniform", REPLACED.format("attention")),
    (
        "discover run x.csv --construction by-type",
        "--update p.zip|--min-frequency 0.1|--resume",
        "is about effects of single events, and the construction 'by-type' is asked for. Leave out either.",
    ),
    (
        "discover run x.csv --construction by-type",
        "--num-samples 4",
        "is about draws, and by default events are taken out. Add `--proposal uniform`, or leave it out.",
    ),
    (
        "discover run x.csv --construction staircase",
        "--refine",
        "is about the construction 'atomic', and 'staircase' is asked for. Leave out either.",
    ),
    (
        "discover run x.csv --question auto",
        "--effect total|--horizon 8|--num-contexts 12|--construction by-type|--statistic gain|--threshold fixed:1|"
        "--knowledge known.json|--variable pump=*|--bootstrap 3",
        "belongs to one question, and `--question auto` leaves open which. Leave it out, or name the question.",
    ),
    (
        "discover run x.csv --question auto",
        "--level instance",
        "is about single sequences, and `--question auto` is asked of a population. Leave out either.",
    ),
    (
        "discover run x.csv --question follows",
        "--construction by-type|--variable pump=*|--knowledge known.json|--proposal uniform",
        "is about direct effects, and total ones are asked for. Leave it out.",
    ),
    (
        "discover run x.csv --question drives",
        "--horizon 8|--num-contexts 12",
        "is about total effects. Add `--effect total`, or leave it out.",
    ),
    (
        "discover run x.csv --question drives",
        "--update p.zip|--min-frequency 0.1|--resume",
        "is about effects of single events, and the construction 'by-type' is asked for. Leave out either.",
    ),
    (
        "discover run x.csv --slide",
        "--window-length 9",
        "cuts sequences, and `--slide` reads them whole. Leave out either.",
    ),
    (
        "discover x.csv --zero",
        "--dtype bfloat16|--memory 2GB|--device-map auto|--compile|--trust-remote-code|--slide|--unknown map|--stream|"
        "--topology joined.csv",
        "is about a trained run, and `--zero` asks none. Leave out either.",
    ),
    ("discover run x.csv --stream", "--query 'e > 1'|--context-column c|--topology joined.csv", WHOLE),
    (
        "discover run x.csv",
        "--groups groups.csv",
        "is the table of edges in groups of sequences, and nothing makes groups. Name what does with "
        "`--context-column`.",
    ),
    (
        "discover run x.csv",
        "--resume",
        "goes on with what lies beside the output file, and none is named. Pass the `--out` of the run.",
    ),
    (
        "discover run x.csv",
        "--truth truth.json",
        "is given, but the threshold is 'margin:0.05', expected 'validated'. Pass `--threshold validated`, or compare "
        "the graph afterwards with `hf-trace evaluate`.",
    ),
    (
        "effect run x.csv --do 1=a --target b",
        "--given a=1|--contrast ate|--queries q.jsonl|--versus a=1|--estimator aipw|--population all|"
        "--data x.csv|--target-value b|--factual a=1|--monotone|--selection s|"
        "--bounds|--refute|--no-intervals|--plot a.png",
        "is for runs trained on a table, but a log is given. Leave out either.",
    ),
    (
        "effect run x.csv --list-events",
        "--target b|--do 1=a|--within 8|--num-samples 9|--out answer.json|--would-have-come",
        "is a question, and `--list-events` only shows events. Leave it out.",
    ),
    (
        "effect run x.csv --would-have-come --do 1=a",
        "--target b|--within 8|--num-samples 9",
        "is about futures, and `--would-have-come` asks of what did follow. Leave out either.",
    ),
    ("effect run x.csv --do 1=a --target b", "--ahead 3", "is for `--would-have-come`. Add it, or leave it out."),
    (
        "effect run --target b",
        f"--id 1|--list-events|--within 8|--would-have-come|{LOGS}|--topology joined.csv|--topology-directed|--hops 2",
        "is for a sequence of a log, but no LOG is named. Leave out either.",
    ),
    (
        "effect run --queries q.jsonl",
        "--target b|--do a=1|--given a=1|--contrast ate|--versus a=1|--factual a=1|--monotone|--selection s|"
        "--plot a.png",
        "is for one question, but a file of questions is given. Leave out either.",
    ),
    (
        "effect run --target b",
        "--versus a=1|--estimator aipw|--population overlap|--target-value b|--refute",
        "is for contrasts, but none is asked for. Add `--contrast ate`.",
    ),
    (
        "outcomes run x.csv --level instance",
        "--min-frequency 0.1",
        "is about all sequences together. Leave it out, or `--level`.",
    ),
    ("outcomes run x.csv", "--within 5", "is for total effects. Leave it out, or ask for `--effect total`."),
    ("outcomes run x.csv --proposal exhaustive", "--num-samples 4", DRAWS.format("exhaustive")),
    (
        "simulate drifting.json --out new",
        "--truth-samples 10",
        "is about the pairs of an exact world, and hidden types, ties or drift leave none. Leave it out.",
    ),
    (
        "simulate hawkes --out new",
        "--truth-samples 10",
        "is about draws, and the edges of this world are its truth. Leave it out.",
    ),
    (
        "simulate small --out new",
        "--types 10|--edges 10|--weight 0.1|--delay 5|--duration 100|--world-seed 1",
        "is for worlds in continuous time by name. Leave it out.",
    ),
    (
        "push world org/name --dry-run",
        f"{LOGS}|--context-column c|--graph g.json|--data-source here|--space|--data-repo org/log|--truth t.json",
        "is not for a simulated world, which is published as it is, with its own truth. Leave it out.",
    ),
    (
        "push run org/name --dry-run",
        f"{LOGS}|--context-column c",
        "is for event logs. Add `--dataset` to publish one, or leave it out.",
    ),
    (
        "push run org/name --dry-run",
        "--wheel x.whl|--run-repo org/run",
        "is for a Space. Add `--space`, or leave it out.",
    ),
    (
        "push run org/name --dry-run --dataset",
        "--data-repo org/log|--truth t.json",
        "is for a run, and `--dataset` publishes a log. Leave out either.",
    ),
    (
        "push run org/name --dry-run --space",
        "--truth t.json",
        "is for the card of a model, and `--space` makes a Space. Leave out either.",
    ),
    (
        "push run org/name --dry-run --space",
        "--dataset",
        "is for event logs, and `--space` serves a run. Leave out either.",
    ),
]
CASES = [(line, option, reason) for line, options, reason in REFUSED for option in options.split("|")]
# What belongs to everything that a command is asked.
LOG = {"case_column", "event_column", "time_column", "query", "time_unit", "time_format"}
PLACES = {"topology", "topology_directed", "hops"}
ALWAYS = {
    "doctor": {"log", "timing", "context_column", "outcome_column", *LOG, *PLACES},
    "explain": {
        *("log", "out", "overwrite", "outcome_column", "context_column", "question", "max_lag", "horizon", "threshold"),
        *("variable", "window_length", "min_count", "preset", "epochs", "quick", "state_run", *LOG, *PLACES),
    },
    "train": {
        *("log", "out", "epochs", "bf16", "dag", "resume", "overwrite", "processes", "trust_remote_code", "states")
    },
    "discover": {
        *("run_folder", "log", "out", "plot", "html", "only", "max_sequences", "sample", "zero"),
        *("case_column", "event_column", "time_column", "time_unit", "time_format", "window_gap", "max_lag"),
        *("prefix_length", "ties", "self_loops", "topology_directed", "hops", "processes", "question"),
    },
    "effect": {"run", "log", "processes", "trust_remote_code"},
    "outcomes": {
        *("run_folder", "log", "outcome", "level", "out", "only", "sample", "outcome_column", "proposal", "bound"),
        *("unknown", "effect", "trust_remote_code", *LOG, *PLACES),
    },
    "rank": {
        *("run_folder", "log", "outcome", "only", "position", "top", "within", "by", "proposal", "num_samples"),
        *("reference", "exclude", "out", "unknown", "trust_remote_code", *LOG, *PLACES),
    },
    "count": {*("log", "method", "out", "plot", "top", "max_lag", "self_loops", *LOG)},
    "compare": {"before", "after", "out", "html", "plot", "least", "fail_on_change"},
    "evaluate": {"graph", "truth"},
    "benchmark": {
        *("out", "data_folder", "logs", "only_methods", "own_methods", "peers", "runs", "limit", "small"),
        "preset",
    },
    "simulate": {"world", "out", "sequences", "overwrite"},
    "push": {"run", "repo_id", "private", "dry_run", "overwrite", "license", "collection"},
    "app": {"run", "host", "port", "tools", "max_bytes", "max_events"},
    "demo": {"out", "overwrite", "construction"},
}
COMMANDS = typer.main.get_command(app).commands


@pytest.fixture
def nothing_to_read(tmp_path, monkeypatch):
    """Runs by their kind alone, and a world; no log, no model."""
    monkeypatch.chdir(tmp_path)
    for name, kind in (("run", "log"), ("world", "world")):
        Path(name).mkdir()
        Path(name, "training.json").write_text(json.dumps({"kind": kind}))
    Path("drifting.json").write_text(json.dumps({"types": 20, "drift": 0.5}))


@pytest.mark.parametrize(("line", "option", "reason"), CASES)
def test_what_does_not_belong_is_refused(nothing_to_read, refused, line, option, reason):
    before = sorted(Path().rglob("*"))
    name = shlex.split(option)[0].replace("--no-gaps", "--gaps").replace("--no-intervals", "--intervals")
    assert refused(*shlex.split(line), *shlex.split(option)) == f"`{name}` {reason}"
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_belongs_always_or_is_refused_somewhere(command):
    spelled = {word: each.name for each in COMMANDS[command].params for word in (*each.opts, *each.secondary_opts)}
    at_times = {spelled[option.split()[0]] for line, option, _ in CASES if line.split()[0] == command}
    drawn = command not in ("push", "doctor")
    shared = set() if command == "app" else {"seed", "json_output"} if drawn else {"json_output"}  # it has no result
    always = ALWAYS[command] | shared
    known = {each.name for each in COMMANDS[command].params if each.name != "help"}
    assert at_times | always == known
    assert not at_times & always
