"""Other libraries on the same rows, each in an environment of its own."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
from harness import NotMeasured
from ours import total_variation

from hf_trace.tables.network import Network

HERE = Path(__file__).parent
DRAWS = 10_000
# Of each peer the answer that is taken, and its name.
METHODS = {
    "pgmpy": ("exact", "pgmpy, maximum likelihood and exact inference"),
    "dowhy": ("frequency", f"DoWhy-GCM, {DRAWS:,} draws"),
}


def ask(peer: str, python: str, job: dict, folder: Path, name: str) -> dict:
    """What a peer answers to a job; an answer that is there is not asked for again."""
    answer, task = folder / f"{name}-{peer}.json", folder / f"{name}-{peer}.job.json"
    if not answer.exists():
        task.write_text(json.dumps(job), encoding="utf-8")
        command = [python, "-W", "ignore", str(HERE / f"run_{peer}.py"), str(task), str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotMeasured(f"{peer} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(answer.read_text(encoding="utf-8"))


def run_peer(
    peer: str,
    python: str,
    network: Network,
    frame: pd.DataFrame,
    queries: list[dict],
    truth: np.ndarray,
    out: Path,
    name: str,
) -> dict:
    """Fit a peer on rows and ask it all queries."""
    folder = out / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False)
    variables = network.schema.variables
    job = {
        "variables": {each.name: {"values": list(each.values), "parents": list(each.parents)} for each in variables},
        "rows": f"{name}.csv",
        "queries": [{"given": {}, **query} for query in queries],
        "num_samples": DRAWS,
    }
    found, (key, title) = ask(peer, python, job, folder, name), METHODS[peer]
    shares = np.zeros_like(truth)
    for row, query, each in zip(shares, queries, found["answers"], strict=True):
        values = network.schema[query["target"]].values
        row[: len(values)] = [each[key].get(value, 0.0) for value in values]
    distance = total_variation(shares, truth)
    return {
        "method": title,
        "mean_tv": float(distance.mean()),
        "largest_tv": float(distance.max()),
        "fit_seconds": found["fit_seconds"],
        "query_seconds": found["seconds"][key],
    }
