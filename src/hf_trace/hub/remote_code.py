"""The shim for ``trust_remote_code``: a task of its own that loads the package's pipeline.

Were the task registered under the package's own name, Transformers would ask everybody for trust, those who imported
the package included. The key below is another one, so they never meet it.
"""

import json
from collections.abc import Mapping
from typing import Any

SHIM_FILE = "hf_trace_pipeline.py"
CUSTOM_PIPELINES = "custom_pipelines"
_PIPELINES = {"causal-discovery": "CausalDiscoveryPipeline", "causal-effect": "CausalEffectPipeline"}


def remote_task(task: str) -> str:
    """The name of a task for those who trust remote code.

    Example:
        >>> remote_task("causal-effect")
        'causal-effect-remote'
    """
    return f"{task}-remote"


def shim(task: str) -> str:
    """The module that is published beside the model: one line, as nothing is copied from the package."""
    return (
        '"""Loads the pipeline of the installed package hf-trace; nothing else."""\n\n'
        f"from hf_trace import {_PIPELINES[task]}  # noqa: F401\n"
    )


def with_shim(config: Mapping[str, Any], task: str) -> bytes:
    """A ``config.json`` that names the shim."""
    entry = {
        "impl": f"{SHIM_FILE.removesuffix('.py')}.{_PIPELINES[task]}",
        "pt": ["AutoModelForCausalLM"],
        "type": "text",
    }
    document = {**config, CUSTOM_PIPELINES: {remote_task(task): entry}}
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()
