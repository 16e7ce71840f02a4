"""Digests of what the commands write on fixed inputs: a change that must change nothing leaves them as they are.

python recipes/house/fingerprints.py > after.txt    # PYTHONPATH=OTHER/src runs another version of the package
"""

import argparse
import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "recipes" / "checkpoints"))

COLUMNS = "--case-column device_id --event-column alarm_id --time-column start_timestamp"
LOG = f"alarms.csv {COLUMNS}"
ALARMS, PUMP = "checkpoints/alarms", "checkpoints/pump"
# By name: a command that writes its first argument after ``--out``, or says its result on stdout as JSON.
COMMANDS = {
    "instance": f"discover {ALARMS} {LOG} --level instance --max-sequences 6 --max-lag 4 --out OUT.jsonl",
    "summary": f"discover {ALARMS} {LOG} --level summary --max-sequences 6 --max-lag 4 --out OUT.jsonl",
    "population": f"discover {ALARMS} {LOG} --sample 24 --max-lag 4 --bootstrap 50 --out OUT.json",
    "population, ties both": f"discover {ALARMS} {LOG} --sample 12 --max-lag 3 --ties both --out OUT.json",
    "population, sliding": f"discover {ALARMS} {LOG} --sample 2 --max-lag 2 --slide --num-samples 4 --out OUT.json",
    "population, staircase": f"discover {ALARMS} {LOG} --sample 6 --max-lag 3 --construction staircase --out OUT.json",
    "population, fdr": f"discover {ALARMS} {LOG} --sample 12 --max-lag 3 --threshold fdr:0.1 --out OUT.json",
    "population, refined": f"discover {ALARMS} {LOG} --sample 12 --max-lag 3 --refine --out OUT.json",
    "population, by stream": f"discover {ALARMS} sorted.csv {COLUMNS} --stream --sample 12 --max-lag 3 --out OUT.json",
    "total": f"discover {ALARMS} {LOG} --effect total --horizon 4 --num-contexts 12 --out OUT.json",
    "total, in time": f"discover {ALARMS} {LOG} --effect total --horizon 8,1h --num-contexts 6 --out OUT.json",
    "rank": f"rank {ALARMS} {LOG} --outcome 7 --id 28 --num-samples 8 --out OUT.json",
    "rank, removed": f"rank {ALARMS} {LOG} --outcome 7 --id 28 --proposal removed --within 8,2h --out OUT.json",
    "rank, with reference": f"rank {ALARMS} {LOG} --outcome 7 --id 28 --reference {ALARMS} --out OUT.json",
    "what if": f"effect {ALARMS} {LOG} --id 28 --do 5=7 --target 14 --num-samples 200 --json",
    "what if, removed": f"effect {ALARMS} {LOG} --id 28 --do 5=removed --target 14 --within 1h --json",
    "outcomes": f"outcomes {ALARMS} {LOG} --outcome 7 --outcome 14 --sample 3 --num-samples 4 --out OUT.json",
    "outcomes, each": f"outcomes {ALARMS} {LOG} --outcome 7 --level instance --id 28 --num-samples 4 --out OUT.json",
    "effect": f"effect {PUMP} --target overflow --do pump=fast --json",
    "effect, given": f"effect {PUMP} --target overflow --do pump=off --given weather=rain --json",
    "effect, contrast": f"effect {PUMP} --target overflow --do pump=off --contrast ate --versus pump=fast --json",
    "effect, aipw": f"effect {PUMP} --target overflow --do pump=off --contrast ate --versus pump=fast --estimator aipw"
    " --data pump.parquet --json",
    "effect, many": f"effect {PUMP} --queries questions.jsonl --out OUT.jsonl",
    "train": f"train few.csv {COLUMNS} --preset nano --window-length 16 --epochs 2 --out OUT/",
    "train, ensemble": f"train few.csv {COLUMNS} --preset nano --window-length 16 --epochs 1 --ensemble 2 --out OUT/",
    "train, stream": f"train sorted.csv {COLUMNS} --preset nano --window-length 16 --stream --out OUT/",
    "train, adapters": f"train few.csv {COLUMNS} --model {ALARMS} --lora --merge --epochs 1 --window-length 16"
    " --out OUT/",
    "train, table": f"train pump.parquet --dag {PUMP}/dag.json --epochs 2 --folds 2 --out OUT/",
    "train, table in full": f"train few_rows.parquet --dag {PUMP}/dag.json --history full --epochs 1 --out OUT/",
    "simulate": "simulate small --sequences 20 --out OUT/",
}
QUESTIONS = [
    '{"target": "overflow", "do": {"pump": "slow"}}',
    '{"target": "overflow", "do": {"pump": "off"}, "given": {"weather": "rain"}}',
    '{"target": "alarms", "do": {"pump": "off"}}',
]


def prepare(folder: Path) -> None:
    """Write the inputs."""
    from pump_station import rows

    found = next(ROOT.glob("src/hf_trace/*/files/alarms.csv.gz"))
    text = gzip.decompress(found.read_bytes()).decode()
    (folder / "alarms.csv").write_text(text)
    head, *lines = text.splitlines()
    (folder / "few.csv").write_text("\n".join([head, *lines[:1500]]) + "\n")
    (folder / "sorted.csv").write_text(
        "\n".join([head, *sorted(lines[:6000], key=lambda line: line.split(",")[0])]) + "\n"
    )
    table = rows(2000, seed=5)
    table.to_parquet(folder / "pump.parquet")
    table[:300].to_parquet(folder / "few_rows.parquet")
    (folder / "questions.jsonl").write_text("\n".join(QUESTIONS) + "\n")
    (folder / "checkpoints").symlink_to(ROOT / "checkpoints")


def run(folder: Path, arguments: str) -> bytes:
    """What a command writes: its file, the weights and tables of its folder, or its stdout."""
    words = arguments.split()
    out = next((folder / word for word in words if word.startswith("OUT")), None)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "hf_trace", *words], cwd=folder, env=environment, capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"hf-trace {arguments}\n{done.stderr.decode()}")
    if out is None:
        return done.stdout
    if out.is_dir():
        kept = sorted(path for path in out.rglob("*") if path.suffix in (".safetensors", ".parquet"))
        return b"".join(path.read_bytes() for path in kept)
    return out.read_bytes()


def main() -> None:
    """Print a digest per command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(COMMANDS), help="only this command; can be repeated")
    options = parser.parse_args()
    for name in options.only or COMMANDS:
        with tempfile.TemporaryDirectory() as made:
            prepare(Path(made))
            digest = hashlib.sha256(run(Path(made), COMMANDS[name])).hexdigest()
        print(f"{digest[:16]}  {name}: hf-trace {COMMANDS[name]}", flush=True)


if __name__ == "__main__":
    main()
