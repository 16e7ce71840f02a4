# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-trace"]
# ///
"""Asks pgmpy's public interface the questions of nets.py and compares with enumeration.

    python recipes/effects/wrong_answers.py --pgmpy-python ENV/bin/python --out runs/effects

The tables are given, nothing is fitted: every difference is the interface's.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import peers
from harness import Recipe, Report
from harness import table as markdown_table
from nets import NETS, QUERIES, distribution

METHODS = ("exact", "causal_inference")


def measure(options: argparse.Namespace) -> Report:
    """Every question with its answers."""
    answers, versions = [], {}
    for name in NETS:
        if options.pgmpy_python:
            job = {"variables": NETS[name], "queries": QUERIES[name]}
            found = peers.ask("pgmpy", options.pgmpy_python, job, options.out, f"wrong-{name}")
            versions, said = found["versions"], found["answers"]
        else:
            said = [{**query, "errors": {}, **dict.fromkeys(METHODS)} for query in QUERIES[name]]
        answers += [compared(name, answer) for answer in said]
    return Report({"answers": answers, "versions": versions}, table(answers))


def compared(name: str, answer: dict) -> dict:
    """An answer beside the truth, with the total variation of both methods."""
    query = {key: answer[key] for key in ("target", "do", "given")}
    truth = distribution(NETS[name], **query)
    line = {"net": name, **query, "truth": truth, "errors": answer["errors"]}
    for method in METHODS:
        said = answer[method]
        line[method] = said
        line[f"{method}_tv"] = None if said is None else sum(abs(said[v] - truth[v]) for v in truth) / 2
    return line


def table(answers: list[dict]) -> str:
    """Questions on which the public interface is off, or silent, as rows of a Markdown table."""
    rows = []
    for each in answers:
        if each["causal_inference_tv"] is not None and each["causal_inference_tv"] < 1e-9:
            continue
        value = list(each["truth"])[-1]
        done = [f"do({name}={chosen})" for name, chosen in each["do"].items()]
        seen = [f"{name}={chosen}" for name, chosen in each["given"].items()]
        shown = [each[key][value] if each[key] else "refused" for key in ("truth", *METHODS[::-1])]
        rows.append([each["net"], f"p({each['target']}={value} given {', '.join(done + seen)})", *shown])
    text = markdown_table(("network", "question", "truth", "`CausalInference.query`", "by hand"), rows, digits=4)
    return f"{text}\n\n{len(rows)} of {len(answers)} questions; by hand is pgmpy on the mutilated network."


RECIPE = Recipe(
    __file__, __doc__, "Which questions does a public do-interface answer wrongly?", measure, peers=("pgmpy",)
)

if __name__ == "__main__":
    RECIPE.main()
