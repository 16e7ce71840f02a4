"""``hf-trace simulate``: a world with known causes to a log, its truth and its exact oracle."""

import math
from pathlib import Path
from typing import Annotated

import typer

from hf_trace.cli.console import print_json, progress, say
from hf_trace.cli.flags import Json, Overwrite, Seed, refuse_given
from hf_trace.cli.inputs import quiet_transformers
from hf_trace.cli.outputs import check_folder
from hf_trace.options import SEED


def simulate(
    context: typer.Context,
    world: Annotated[
        str, typer.Argument(help="steep, medium, flat, small or small-medium; or a JSON file of settings.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    sequences: Annotated[int, typer.Option(help="Number of sequences.")] = 1000,
    truth_samples: Annotated[int, typer.Option(help="Number of draws behind each true pair; the paper uses 10.")] = 200,
    overwrite: Overwrite = False,
    seed: Seed = SEED.default,
    json_output: Json = False,
) -> None:
    """Write the event log of a world whose causes are known, with its truth and its exact model."""
    check_folder(out, is_world=True, overwrite=overwrite)
    from hf_trace.worlds.world import load_spec

    spec = load_spec(world)
    if not spec.is_exact:
        reason = "is about the pairs of an exact world, and hidden types, ties or drift leave none. Leave it out."
        refuse_given(context, ["truth_samples"], reason)
    quiet_transformers()
    from hf_trace.runs.simulated_worlds import simulate_folder

    with progress("simulating (%)", 100) as advance:
        written = simulate_folder(
            spec, out, sequences=sequences, truth_samples=truth_samples, seed=seed, overwrite=overwrite,
            advance=advance,
        )  # fmt: skip
    log, pairs, kind = written.log, len(written.truth.edges), written.truth.metadata["truth"]
    if json_output:
        print_json({
            "folder": str(out), "sequences": len(log), "events": len(log.codes), "event_types": len(log.event_types),
            "entropy": written.entropy, "true_pairs": pairs, "truth": kind, "exact_oracle": spec.is_exact,
        })  # fmt: skip
        return
    say(f"{len(log):,} sequences, {len(log.codes):,} events, {len(log.event_types):,} event types")
    say(f"entropy {written.entropy:.3f} nats per event (uniform: {math.log(spec.types):.3f})")
    say(f"true pairs of types: {pairs:,} ({kind}). Wrote {out}")
