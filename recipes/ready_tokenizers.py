"""Writes the tokenizers of ``tokenizer/`` whose variables a recipe defines.

python recipes/ready_tokenizers.py --out tokenizer    # seconds; chess needs python-chess
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.tokenizers.ready import build_dag

RECIPES = Path(__file__).parent


@contextmanager
def importing(recipe: str) -> Iterator[None]:
    """Within the block, modules of a recipe can be imported."""
    sys.path.insert(0, str(RECIPES / recipe))
    try:
        yield
    finally:
        sys.path.remove(str(RECIPES / recipe))


def build_maze(folder: str | PathLike[str]) -> DagTokenizer:
    """The tokenizer of robots in mazes, written as its recipe trains."""
    with importing("maze"):
        from maze_world import schema
    return build_dag(schema(), folder, history="full")


def build_chess(folder: str | PathLike[str]) -> DagTokenizer:
    """The tokenizer of rook and queen endgames, written as its recipe trains."""
    with importing("chess-endgame"):
        from notation import schema
    return build_dag(schema(), folder)


BUILDERS = {"maze": build_maze, "chess": build_chess}


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RECIPES.parent / "tokenizer")
    folder = parser.parse_args().out
    for name, build in BUILDERS.items():
        build(folder / name)


if __name__ == "__main__":
    main()
