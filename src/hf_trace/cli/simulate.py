"""``hf-trace simulate``: a world with known causes to a log, its truth and, where there is one, its exact oracle."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from hf_trace.cli.console import print_json, progress, say, wrote
from hf_trace.cli.flags import Json, Overwrite, Seed, refuse_given
from hf_trace.cli.inputs import quiet_transformers
from hf_trace.cli.outputs import check_folder
from hf_trace.options import SEED
from hf_trace.worlds.world_names import NAMED_WORLDS

_DRAWN = ("types", "edges", "weight", "delay", "duration", "world_seed")


def simulate(
    context: typer.Context,
    world: Annotated[str, typer.Argument(help="One of the worlds above, or a JSON file of settings.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    sequences: Annotated[
        int | None, typer.Option(help="Number of sequences; by default 1000, in continuous time 60.")
    ] = None,
    truth_samples: Annotated[int, typer.Option(help="Number of draws behind each true pair; the paper uses 10.")] = 200,
    types: Annotated[int | None, typer.Option(help="Number of event types (20).")] = None,
    edges: Annotated[int | None, typer.Option(help="Number of pairs that act on each other (30).")] = None,
    weight: Annotated[float | None, typer.Option(help="Mean number of events that one event causes (0.4).")] = None,
    delay: Annotated[float | None, typer.Option(help="Typical seconds until they happen (30).")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds of a sequence (21600).")] = None,
    world_seed: Annotated[int | None, typer.Option(help="Seed of the world, beside --seed of its events (0).")] = None,
    overwrite: Overwrite = False,
    seed: Seed = SEED.default,
    json_output: Json = False,
) -> None:
    """Write the event log of a world whose causes are known, with its truth and, where it has one, its exact model."""
    check_folder(out, is_world=True, overwrite=overwrite)
    from hf_trace.worlds.process_spec import ProcessSpec
    from hf_trace.worlds.process_worlds import PROCESS_WORLDS, load_world

    drawn = dict(zip(_DRAWN, (types, edges, weight, delay, duration, world_seed), strict=True))
    given = {name: value for name, value in drawn.items() if value is not None}
    is_drawn = world in PROCESS_WORLDS
    spec = load_world(world, **given if is_drawn else {})
    if not is_drawn:
        refuse_given(context, given, "is for worlds in continuous time by name. Leave it out.")
    if isinstance(spec, ProcessSpec):
        reason = "is about draws, and the edges of this world are its truth. Leave it out."
        refuse_given(context, ["truth_samples"], reason)
    elif not spec.is_exact:
        reason = "is about the pairs of an exact world, and hidden types, ties or drift leave none. Leave it out."
        refuse_given(context, ["truth_samples"], reason)
    quiet_transformers()
    from hf_trace.runs.simulated_worlds import simulate_folder, simulate_process_folder

    some: dict[str, Any] = {} if sequences is None else {"sequences": sequences}
    with progress("simulating (%)", 100) as advance:
        some |= {"seed": seed, "overwrite": overwrite, "advance": advance}
        if isinstance(spec, ProcessSpec):
            written, count = simulate_process_folder(spec, out, **some), len(spec.types)
        else:
            written, count = simulate_folder(spec, out, truth_samples=truth_samples, **some), spec.types
    log, pairs, kind = written.log, len(written.truth.edges), written.truth.metadata["truth"]
    if json_output:
        wrote(out)
        print_json({
            "folder": str(out), "sequences": len(log), "events": len(log.codes), "event_types": len(log.event_types),
            "entropy": written.entropy, "true_pairs": pairs, "truth": kind,
            "exact_oracle": spec.is_exact and not isinstance(spec, ProcessSpec),
        })  # fmt: skip
        return
    say(f"{len(log):,} sequences, {len(log.codes):,} events, {len(log.event_types):,} event types")
    if written.entropy is not None:
        timed = " given its time" if isinstance(spec, ProcessSpec) else ""
        say(f"entropy {written.entropy:.3f} nats per event{timed} (uniform: {math.log(count):.3f})")
    say(f"true pairs of types: {pairs:,} ({kind}). Wrote {out}")


_LINES = "\n".join(f"* {name}: {about}" for name, about in NAMED_WORLDS.items())
_AFTER = "Those from hawkes on are in continuous time; --types to --world-seed are for them."
simulate.__doc__ = f"{simulate.__doc__}\n\nWorlds:\n\n{_LINES}\n\n{_AFTER}"
