"""The pipelines of Transformers, ``causal-discovery`` and ``causal-effect``, which register themselves here."""

# Whichever module of this room is asked for first, both are loaded from here, in an order that works.
from hf_trace.pipelines.discovery_pipeline import CausalDiscoveryPipeline
from hf_trace.pipelines.effect_pipeline import CausalEffectPipeline

__all__ = ["CausalDiscoveryPipeline", "CausalEffectPipeline"]
