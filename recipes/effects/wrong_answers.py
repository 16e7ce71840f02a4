r"""Asks pgmpy's public interface the questions of nets.py and compares with enumeration.

    python recipes/effects/wrong_answers.py --pgmpy-python ENV/bin/python --out runs/effects/wrong_answers.json

The tables are given, nothing is fitted: every difference is the interface's. It needs no package itself.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from nets import NETS, QUERIES, distribution

METHODS = ("exact", "causal_inference")


def main() -> None:
    """Write every question with its answers and print the ones that differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pgmpy-python", required=True, help="interpreter of an environment with pgmpy")
    parser.add_argument("--out", type=Path, help="JSON file for all answers")
    arguments = parser.parse_args()
    answers, versions = [], {}
    for name in NETS:
        found = asked(name, arguments.pgmpy_python)
        versions = found["versions"]
        answers += [compared(name, answer) for answer in found["answers"]]
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        document = {"answers": answers, "versions": versions}
        arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print("\n".join(table(answers)))


def asked(name: str, python: str) -> dict:
    """What the peer answers for one network."""
    with tempfile.TemporaryDirectory() as folder:
        job, answer = Path(folder, "job.json"), Path(folder, "answer.json")
        job.write_text(json.dumps({"variables": NETS[name], "queries": QUERIES[name]}), encoding="utf-8")
        script = Path(__file__).with_name("run_pgmpy.py")
        subprocess.run([python, "-W", "ignore", str(script), str(job), str(answer)], check=True)
        return json.loads(answer.read_text(encoding="utf-8"))


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


def table(answers: list[dict]) -> list[str]:
    """Questions on which the public interface is off, or silent, as rows of a Markdown table."""
    lines = ["| network | question | truth | `CausalInference.query` | by hand |", "|---|---|---|---|---|"]
    for each in answers:
        if each["causal_inference_tv"] is not None and each["causal_inference_tv"] < 1e-9:
            continue
        value = list(each["truth"])[-1]
        done = [f"do({name}={chosen})" for name, chosen in each["do"].items()]
        seen = [f"{name}={chosen}" for name, chosen in each["given"].items()]
        shown = [f"{each[key][value]:.4f}" if each[key] else "refused" for key in ("truth", *METHODS[::-1])]
        question = f"p({each['target']}={value} given {', '.join(done + seen)})"
        lines.append(f"| {each['net']} | {question} | {' | '.join(shown)} |")
    wrong = len(lines) - 2
    return [*lines, "", f"{wrong} of {len(answers)} questions; by hand is pgmpy on the mutilated network."]


if __name__ == "__main__":
    main()
