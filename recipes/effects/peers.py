"""Other libraries on the same rows, each in an environment of its own."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from hf_trace.tables.network import Network

HERE = Path(__file__).parent
DRAWS = 10_000


def run_peer(
    peer: str,
    python: str,
    network: Network,
    frame: pd.DataFrame,
    queries: list[dict],
    truth: np.ndarray,
    out: Path,
    name: str,
) -> list[dict]:
    """Fit a peer on rows and ask it all queries; results are kept and not computed again."""
    folder = out / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    answer = folder / f"{name}-{peer}.json"
    if not answer.exists():
        job = folder / f"{name}-{peer}.job.json"
        frame.to_csv(folder / f"{name}.csv", index=False)
        schema = network.schema
        document = {
            "variables": {
                each.name: {"values": list(each.values), "parents": list(each.parents)} for each in schema.variables
            },
            "rows": f"{name}.csv",
            "queries": [{"given": {}, **query} for query in queries],
            "num_samples": DRAWS,
        }
        job.write_text(json.dumps(document))
        subprocess.run(
            [python, "-W", "ignore", str(HERE / f"run_{peer}.py"), str(job), str(answer)],
            check=True,
            capture_output=True,
        )
    found = json.loads(answer.read_text())
    methods = {
        "pgmpy": {"exact": "pgmpy, maximum likelihood and exact inference"},
        "dowhy": {"frequency": f"DoWhy-GCM, {DRAWS:,} draws"},
    }
    lines = []
    for key, title in methods[peer].items():
        table = np.zeros_like(truth)
        for row, query, each in zip(table, queries, found["answers"], strict=True):
            values = network.schema[query["target"]].values
            row[: len(values)] = [each[key].get(value, 0.0) for value in values]
        distance = np.abs(table - truth).sum(axis=1) / 2
        lines.append(
            {
                "method": title,
                "mean_tv": float(distance.mean()),
                "largest_tv": float(distance.max()),
                "fit_seconds": found["fit_seconds"],
                "query_seconds": found["seconds"][key],
            }
        )
    return lines
