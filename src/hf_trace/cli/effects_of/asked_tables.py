"""Questions about a table, from a command line or a file, to their answers."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_trace.cli.console import progress, say, wrote
from hf_trace.cli.effects_of.table_screens import spelled
from hf_trace.documents import parse_json
from hf_trace.errors import QueryError, SettingsError

if TYPE_CHECKING:
    from hf_trace.documents import Document
    from hf_trace.effects.doubly_robust import Rows

_SETTINGS = ("seed", "estimator", "data", "target_value", "bounds", "refute", "intervals")


def answers_of_table(asked: "Document", run: str) -> "tuple[list[Document], list[Document]]":
    """The answers to all questions about a table, in every process, and the questions.

    Args:
        asked: Options of the command, by name.
        run: Folder or Hub id.
    """
    from hf_trace.effects.asking.effect_request import EffectRequest
    from hf_trace.effects.question_records import answered, read_questions
    from hf_trace.effects.table_model import TableModel
    from hf_trace.effects.table_questions import answer_questions
    from hf_trace.runs.processes import joined

    records = read_questions(asked["queries"]) if asked["queries"] else _records(asked)
    settings = {name: asked[name] for name in _SETTINGS}
    settings["elsewhere" if is_table(asked["population"]) else "population"] = asked["population"]
    on_refusal = "report" if asked["queries"] else "raise"
    seen: list[Rows] = []
    request = EffectRequest(asked["num_samples"], on_refusal=on_refusal, note_rows=seen.append, **settings)
    request.check_rows()
    model = TableModel.load(run, trust_remote_code=asked["trust_remote_code"])
    reads_rows = request.estimator != "plug-in" or request.refute or model.only_read or model.schema.latent
    if request.data is not None and not reads_rows:
        raise SettingsError(
            "`--data` is not read by the plug-in estimator where no variable is latent. Add `--estimator aipw` or "
            "`--refute` to a contrast, or leave it out."
        )
    if len(records) > 1 and request.intervals and model.members:
        say(f"Each question is put to {1 + len(model.members)} models, for intervals; `--no-intervals` asks one.")
    done: list[Document] = []
    processes = joined()
    with progress("answering", len(records)) as advance:

        def answer(some: "list[Document]") -> "list[Document]":
            found = answer_questions(model, some, request)
            done.extend(found)
            advance(len(done) * processes.count)  # each does its share
            return found

        answers = answered(answer, records, processes)
    if asked["plot"] is not None:
        _draw(asked["plot"], answers[0], records[0], seen)
    return answers, records


def asks_for_mean(do: Sequence[str] | None) -> bool:
    """Whether a policy is asked about, or every dose: the answer is then a mean, or one for each.

    Example:
        >>> asks_for_mean(["drug=*"]), asks_for_mean(['drug={"yes": 0.5, "no": 0.5}']), asks_for_mean(["age=[3, 4)"])
        (True, True, False)
    """
    values = [_value(each.partition("=")[2]) for each in do or ()]
    return any(each == "*" or not isinstance(each, str) for each in values)


def is_table(population: str) -> bool:
    """Whether a population is another one, of which a table is named."""
    from hf_trace.effects.targeted import POPULATIONS

    return population not in POPULATIONS and bool(Path(population).suffix)


def _draw(path: Path, answer: "Document", record: "Document", seen: "Sequence[Rows]") -> None:
    from hf_trace.effects.effect_figures import draw_answer
    from hf_trace.logs.writing import atomic_path

    figure = draw_answer(answer, spelled(answer["target"], record), seen[-1] if seen else None)
    with atomic_path(path) as unfinished:
        figure.write(unfinished, path.suffix[1:].lower())
    wrote(path)


def _records(asked: "Document") -> "list[Document]":
    """The question on the command line."""
    if asked["target"] is None:
        raise QueryError("Nothing is asked. Expected `--target VARIABLE`, or a file with `--queries FILE`.")
    record = {"target": asked["target"], "do": _pairs("--do", asked["do"]), "given": _pairs("--given", asked["given"])}
    if asked["contrast"] is not None:
        record |= {"contrast": asked["contrast"], "versus": _pairs("--versus", asked["versus"])}
    more = {name: asked[name] for name in ("monotone", "selection")}
    more["factual"] = _pairs("--factual", asked["factual"])
    return [record | {name: value for name, value in more.items() if value}]


def _pairs(option: str, listed: Sequence[str] | None) -> "Document":
    """``["A=a"]`` as a mapping; a value that looks like JSON of several parts is read as such."""
    found: Document = {}
    for text in listed or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise QueryError(f"{option} is {text!r}, expected VARIABLE=VALUE.")
        if name in found:
            raise QueryError(f"{option} names {name!r} twice, expected each variable once.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    with suppress(ValueError):  # bins of numbers begin so too
        if text.startswith(("{", "[")):
            return parse_json(text)
    return text
