"""Each module of the package as the first one imported, each in a process of its own; prints those that fail.

The processes are forked from one that has loaded what takes long, but neither Transformers nor the package.
"""

import importlib
import os
import sys
from multiprocessing import get_context
from pathlib import Path

LONG = ("datasets", "networkx", "pandas", "scipy.stats", "sklearn.metrics", "torch.distributed", "typer")
NOT_YET = ("transformers", "hf_trace")


def names() -> list[str]:
    """Of all modules, but those that are scripts."""
    root = Path(__file__).parent.parent / "src"
    paths = (path.relative_to(root).with_suffix("") for path in sorted(root.rglob("*.py")))
    found = (".".join(path.parts).removesuffix(".__init__") for path in paths)
    return [name for name in found if not name.endswith(("__main__", "causal_graph_metrics"))]


def import_first(name: str) -> None:
    """Whatever is asked for first, the tasks are registered and the package's own models can be loaded."""
    assert not sys.modules.keys() & set(NOT_YET)
    importlib.import_module(name)
    import transformers
    from transformers.pipelines import PIPELINE_REGISTRY

    import hf_trace  # noqa: F401
    from hf_trace.runs.adapters import AdapterConfig
    from hf_trace.runs.world_model import WorldConfig

    assert {"causal-discovery", "causal-effect"} <= set(PIPELINE_REGISTRY.get_supported_tasks())
    known = transformers.AutoModelForCausalLM._model_mapping
    assert WorldConfig in known
    assert AdapterConfig in known


def complaint(name: str) -> str | None:
    try:
        import_first(name)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is reported
        return f"{name}: {error!r}"
    return None


def main() -> None:
    for name in LONG:
        importlib.import_module(name)
    with get_context("fork").Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        complaints = pool.map(complaint, names(), chunksize=1)
    for each in filter(None, complaints):
        print(each)
    print(len(complaints), "modules")


if __name__ == "__main__":
    main()
