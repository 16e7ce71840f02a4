"""Questions that are refused, and what is said."""

from random_tables import schema_of

from hf_trace.effects.identification import identify
from hf_trace.effects.identifying.transport import check_transported
from hf_trace.effects.queries import Force, Query
from hf_trace.errors import QueryError

# Arrows, target, treatments, evidence, by which variable rows were chosen.
QUESTIONS: dict[str, tuple[str, str, str, str, str | None]] = {
    "a latent confounder": ("U X; U Y; X Y", "Y", "X", "", None),
    "two confounders of one pair": ("U1 X; U1 Y; U2 X; U2 Y; X Y", "Y", "X", "", None),
    "an instrument": ("Z X; U X; U Y; X Y", "Y", "X", "", None),
    "M-bias, the collider is a cause": ("U1 C; U2 C; U1 X; U2 Y; C X; X Y", "Y", "X", "", None),
    "M-bias, the collider is given": ("U1 C; U2 C; U1 X; U2 Y; X Y", "Y", "X", "C", None),
    "a confounded mediator": ("X M; M Y; U1 X; U1 Y; U2 X; U2 M", "Y", "X", "", None),
    "a latent cause of the second treatment": ("A L; L B; B Y; U B; U Y", "Y", "A B", "", None),
    "rows chosen by the target": ("X Y; Y US", "Y", "X", "", "US"),
    "rows chosen by a confounder": ("Z X; Z Y; X Y; Z US", "Y", "X", "", "US"),
}


def refusals() -> list[list[str]]:
    """Each question and why it has no answer."""
    found = []
    for name, (text, target, do, given, selection) in QUESTIONS.items():
        schema = schema_of(text, {})
        try:
            identify(schema, target=target, do=do.split(), given=given.split(), selection=selection)
        except QueryError as refusal:
            found.append([name, str(refusal)])
    try:
        check_transported(schema_of("U Z; U Y; Z X; X Y", {}), Query("Y", {"X": Force(1)}), ["Z"])
    except QueryError as refusal:
        found.append(["another population", str(refusal)])
    return found
