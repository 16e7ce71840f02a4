"""Causal graphs and causal effects from any autoregressive language model.

``import hf_trace`` teaches Transformers the tasks ``"causal-discovery"`` and ``"causal-effect"``, and to load simulated
worlds and folders of adapters as models, before or after ``transformers`` itself is imported. Nothing heavy is loaded
until it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from hf_trace import starting  # noqa: F401 - before all that takes long enough to be interrupted

# isort: split
from wrapt import register_post_import_hook

if TYPE_CHECKING:
    from hf_trace.discovery.settings import DiscoverySettings
    from hf_trace.errors import HfTraceError
    from hf_trace.graphs.graph import CausalGraph
    from hf_trace.graphs.pictures.figure import draw_graph
    from hf_trace.logs.log import EventLog
    from hf_trace.logs.sequence import EventSequence
    from hf_trace.logs.sources import read_log
    from hf_trace.logs.windows import cut_windows
    from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline
    from hf_trace.pipelines.effect_pipeline import CausalEffectPipeline
    from hf_trace.pipelines.event_causal_model import EventCausalModel
    from hf_trace.pipelines.table_causal_model import TableCausalModel
    from hf_trace.publishing.data_sets import push_log
    from hf_trace.tables.encoding import encode_table
    from hf_trace.tables.inference import infer_schema
    from hf_trace.tables.schema import DagSchema
    from hf_trace.tables.variables import Variable
    from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
    from hf_trace.tokenizers.event_tokenizer import EventTokenizer
    from hf_trace.training.log_training import TrainingSettings, train
    from hf_trace.training.table_training import DagTrainingSettings, train_dag

__version__ = "0.1.0"

_HOMES = {
    "CausalDiscoveryPipeline": "pipelines.discovery_pipeline",
    "CausalEffectPipeline": "pipelines.effect_pipeline",
    "CausalGraph": "graphs.graph",
    "DagSchema": "tables.schema",
    "DagTokenizer": "tokenizers.dag_tokenizer",
    "DagTrainingSettings": "training.table_training",
    "DiscoverySettings": "discovery.settings",
    "EventCausalModel": "pipelines.event_causal_model",
    "EventLog": "logs.log",
    "EventSequence": "logs.sequence",
    "EventTokenizer": "tokenizers.event_tokenizer",
    "HfTraceError": "errors",
    "TableCausalModel": "pipelines.table_causal_model",
    "TrainingSettings": "training.log_training",
    "Variable": "tables.variables",
    "cut_windows": "logs.windows",
    "draw_graph": "graphs.pictures.figure",
    "encode_table": "tables.encoding",
    "infer_schema": "tables.inference",
    "push_log": "publishing.data_sets",
    "read_log": "logs.sources",
    "train": "training.log_training",
    "train_dag": "training.table_training",
}
__all__ = [
    "CausalDiscoveryPipeline",
    "CausalEffectPipeline",
    "CausalGraph",
    "DagSchema",
    "DagTokenizer",
    "DagTrainingSettings",
    "DiscoverySettings",
    "EventCausalModel",
    "EventLog",
    "EventSequence",
    "EventTokenizer",
    "HfTraceError",
    "TableCausalModel",
    "TrainingSettings",
    "Variable",
    "__version__",
    "cut_windows",
    "draw_graph",
    "encode_table",
    "infer_schema",
    "push_log",
    "read_log",
    "train",
    "train_dag",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hf_trace' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hf_trace.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


# What registers itself on import, by the module of Transformers that it extends.
_EXTENSIONS = {
    "transformers.pipelines": ("hf_trace.pipelines",),
    "transformers.models.auto.modeling_auto": (
        "hf_trace.runs.world_model",
        "hf_trace.runs.timed_model",
        "hf_trace.runs.edge_model",
        "hf_trace.amortised.context_model",
        "hf_trace.runs.adapters",
    ),
}


def _register(extended: Any) -> None:
    """Load modules that register themselves; where one is being loaded already, it does so when done."""
    for name in _EXTENSIONS[extended.__name__]:
        importlib.import_module(name)


# Runs at once where a module is loaded already, else as soon as it is.
for _name in _EXTENSIONS:
    register_post_import_hook(_register, _name)
