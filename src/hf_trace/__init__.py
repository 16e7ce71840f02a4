"""Causal graphs and causal effects from any autoregressive language model.

``import hf_trace`` teaches Transformers the tasks ``"causal-discovery"`` and ``"causal-effect"``, and to load simulated
worlds and folders of adapters as models, before or after ``transformers`` itself is imported. Nothing heavy is loaded
until it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

if TYPE_CHECKING:
    from hf_trace.causal.settings import DiscoverySettings
    from hf_trace.data.dags.encoding import encode_table
    from hf_trace.data.dags.inference import infer_schema
    from hf_trace.data.dags.schema import DagSchema
    from hf_trace.data.dags.variables import Variable
    from hf_trace.data.graph import CausalGraph
    from hf_trace.data.log import EventLog
    from hf_trace.data.reading import read_log
    from hf_trace.data.sequence import EventSequence
    from hf_trace.data.windows import cut_windows
    from hf_trace.errors import HfTraceError
    from hf_trace.hub.dag_training import DagTrainingSettings, train_dag
    from hf_trace.hub.data_publication import push_log
    from hf_trace.hub.effect_pipeline import CausalEffectPipeline
    from hf_trace.hub.pipelines import CausalDiscoveryPipeline
    from hf_trace.hub.training import TrainingSettings, train
    from hf_trace.report.figure import draw_graph
    from hf_trace.tokenization.dag_tokenizer import DagTokenizer
    from hf_trace.tokenization.event_tokenizer import EventTokenizer

__version__ = "0.1.0"

_HOMES = {
    "CausalDiscoveryPipeline": "hub.pipelines",
    "CausalEffectPipeline": "hub.effect_pipeline",
    "CausalGraph": "data.graph",
    "DagSchema": "data.dags.schema",
    "DagTokenizer": "tokenization.dag_tokenizer",
    "DagTrainingSettings": "hub.dag_training",
    "DiscoverySettings": "causal.settings",
    "EventLog": "data.log",
    "EventSequence": "data.sequence",
    "EventTokenizer": "tokenization.event_tokenizer",
    "HfTraceError": "errors",
    "TrainingSettings": "hub.training",
    "Variable": "data.dags.variables",
    "cut_windows": "data.windows",
    "draw_graph": "report.figure",
    "encode_table": "data.dags.encoding",
    "infer_schema": "data.dags.inference",
    "push_log": "hub.data_publication",
    "read_log": "data.reading",
    "train": "hub.training",
    "train_dag": "hub.dag_training",
}
__all__ = [
    "CausalDiscoveryPipeline",
    "CausalEffectPipeline",
    "CausalGraph",
    "DagSchema",
    "DagTokenizer",
    "DagTrainingSettings",
    "DiscoverySettings",
    "EventLog",
    "EventSequence",
    "EventTokenizer",
    "HfTraceError",
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
    "transformers.pipelines": ("hf_trace.hub.pipelines", "hf_trace.hub.effect_pipeline"),
    "transformers.models.auto.modeling_auto": ("hf_trace.hub.world_model", "hf_trace.hub.adapter_model"),
}


def _register(extended: Any) -> None:
    """Load modules that register themselves; where one is being loaded already, it does so when done."""
    for name in _EXTENSIONS[extended.__name__]:
        importlib.import_module(name)


# Runs at once where a module is loaded already, else as soon as it is.
for _name in _EXTENSIONS:
    register_post_import_hook(_register, _name)
