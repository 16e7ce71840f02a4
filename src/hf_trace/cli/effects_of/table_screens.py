"""Answers about a table on a terminal."""

from typing import TYPE_CHECKING

from hf_trace.cli.console import print_table, say, warn

if TYPE_CHECKING:
    from hf_trace.documents import Document

MONTE_CARLO = "Monte Carlo error"
_CONTRADICTION = 0.02
_MOST_ARROWS = 5
_LONGEST = 40


def show_answer(answer: "Document", record: "Document") -> None:
    """Print the answer to a question about a table."""
    if "error" in answer:
        warn(answer["error"])
        return
    if "counterfactual" in answer:
        _show_counterfactual(answer, record)
    elif "bounds" in answer:
        _show_bounds(answer, record)
    elif "response" in answer:
        keys = ("value", "mean", "low", "high", "propensity")
        rows = [["" if each[key] is None else each[key] for key in keys] for each in answer["response"]]
        columns = [answer["treatment"], answer["of"], "at least", "at most", "propensity"]
        print_table("every dose, with 95 % intervals", columns, rows)
    elif "contrast" not in answer and "value" in answer:
        _show_value(answer, record)
    elif "contrast" in answer:
        _show_contrast(answer)
        _show_refutation(answer.get("refutation"))
    else:
        _show_distribution(answer, record)
        say(answer["identification"])
        for name, overlap in answer["overlap"].items():
            say(f"overlap of {name}: mean {overlap['mean']:.3g}, smallest {overlap['smallest']:.3g}")
    for warning in answer.get("warnings", []):
        warn(warning)


def _show_distribution(answer: "Document", record: "Document") -> None:
    """Probabilities of all values; an error stands beside them only where one was made that is known."""
    errors, is_sampled = answer["standard_error"], answer["method"] == "sampling"
    sure = answer.get("interval", {})
    rows = [
        [
            value,
            share,
            *([_spanned(*sure[value])] if sure else []),
            shown_error(errors[value]) if is_sampled else "none",
        ]
        for value, share in answer["distribution"].items()
    ]
    columns = ["value", "probability", *(["95 % interval"] if sure else []), MONTE_CARLO]
    print_table(spelled(answer["target"], record), columns, rows)
    if "expectation" in answer:
        mean = answer["expectation"]
        drawn = f" ± {mean['standard_error']:.2g} (of the draws)" if is_sampled else ""
        off = mean.get("binning_error")
        read = f"; bins and training make it some {abs(off):.2g} too {'high' if off > 0 else 'low'}" if off else ""
        within = f", 95 % interval {_spanned(mean['low'], mean['high'])}" if "low" in mean else ""
        say(f"mean {mean['mean']:.4g}{within}{drawn}{read}")
    draws = f"{answer['num_samples']:,} draws, worth {answer['effective_sample_size']:,.0f}"
    how = draws if is_sampled else "enumerated, no Monte Carlo error"
    known = "intervals hold what training may have got wrong, by models that have not seen a part of the rows"
    if answer.get("interval_of") == "rows":
        known = "intervals hold which rows were sampled"
    unknown = "how far the fitted model is off is not known: train with `--folds 5` for intervals"
    unknown += ", or name the table (`--data`)" * ("formula" in answer)
    say(f"{how}; {known if sure else unknown}")


def _show_contrast(answer: "Document") -> None:
    sure = answer if "low" in answer else answer.get("interval", {})
    rows = [["effect", answer["value"]]]
    if "low" in sure:
        within = _spanned(sure["low"], sure["high"])
        rows += [["standard error", sure["standard_error"]], ["95 % interval", within]]
    if "low" not in answer:
        is_sampled = answer["treated"]["method"] == "sampling"
        rows.append([MONTE_CARLO, shown_error(answer["standard_error"]) if is_sampled else "none, enumerated"])
    if answer.get("binning_error") is not None:
        rows.append(["error of binning", f"{answer['binning_error']:+.3f}"])
    rows += [[name, mean] for name, mean in answer["means"].items()]
    print_table(f"{answer['contrast']} on {answer['of']} ({answer['estimator']})", ["", "value"], rows)
    for note in _notes_on_errors(answer, sure):
        say(note)


def _show_value(answer: "Document", record: "Document") -> None:
    """The mean under a policy or a value, by an estimator."""
    within = _spanned(answer["low"], answer["high"])
    rows = [[answer["of"], answer["value"]], ["standard error", answer["standard_error"]], ["95 % interval", within]]
    plug_in = [["plug-in", answer["plug_in"]]] if "plug_in" in answer else []
    print_table(f"{spelled(answer['target'], record)} ({answer['estimator']})", ["", "value"], rows + plug_in)


def _show_bounds(answer: "Document", record: "Document") -> None:
    """An interval, and why there is no number."""
    of_values = answer["bounds"] if "contrast" not in answer else {f"effect on {answer['of']}": answer["bounds"]}
    if "bounds_of_mean" in answer:
        of_values = {**of_values, "mean": answer["bounds_of_mean"]}
    title = f"{answer.get('contrast') or spelled(answer['target'], record)}: bounds, not a number"
    print_table(title, ["", "at least", "at most"], [[name, *ends] for name, ends in of_values.items()])
    say(answer["not_identified"].rpartition(" (")[0])
    for local in answer.get("local_effects", []):
        say(
            f"Not the effect on all: among the {local['share']:.0%} whose treatment {local['instrument']!r} moves it "
            f"is {local['value']:+.4g}, provided {local['assumes']}."
        )
    for each in answer.get("proxy_effects", []):
        (warn if each["is_weak"] else say)(each["sentence"])
    if not answer["bounds_are_sharp"]:
        say("The bounds are valid; narrower ones may be, too.")
    if answer["contradiction"] > _CONTRADICTION:
        warn(
            f"What the model says fits no distribution of this graph: probabilities would have to change by "
            f"{answer['contradiction']:.2g} in all. Noise does that, or an arrow that is missing."
        )


def _show_counterfactual(answer: "Document", record: "Document") -> None:
    """What would have been in a row: numbers where ends agree."""
    told = {value: [share, share] for value, share in answer.get("distribution", {}).items()} or answer[
        "counterfactual"
    ]
    rows = [[value, *ends, answer["everybody"][value]] for value, ends in told.items()]
    seen = ", ".join(f"{name} = {value}" for name, value in record["factual"].items())
    print_table(
        f"{spelled(answer['target'], record)} in a row with {seen}", ["", "at least", "at most", "everybody"], rows
    )
    say(f"Assumes that {' and that '.join(answer['assumes'])}.")
    if not answer["bounds_are_sharp"]:
        say("The bounds are valid; narrower ones may be, too.")


def _show_refutation(found: "Document | None") -> None:
    """What was tried against an effect, and what came of it."""
    if found is None:
        return
    rows = [
        [each["name"], each["expected"], each["value"], each["moved"], "yes" if each["holds"] else "no"]
        for each in found["checks"]
    ]
    rows += [
        [f"without {each['cause']} → {each['effect']}", "", each["value"], each["moved"], ""]
        for each in found["arrows"][:_MOST_ARROWS]
        if each["moved"]
    ]
    print_table("what speaks against it", ["check", "expected", "effect", "moved", "as expected"], rows)
    for each in found["contradicted"][:_MOST_ARROWS]:
        pair = " and ".join([each["one"], each["other"]]) + (f" given {', '.join(each['given'])}" * bool(each["given"]))
        say(f"contradicted: independence of {pair} (correlation {each['strength']:.2g})")
    say(found["sentence"])


def _notes_on_errors(answer: "Document", sure: "Document") -> list[str]:
    """Which errors the numbers are of, and which they leave out."""
    notes = []
    if "low" in answer and answer["estimator"] == "plug-in":
        notes.append(
            "The interval counts which rows were sampled, not the error of the model; `--estimator aipw` does both."
        )
    if "low" not in sure:
        more = "name the table (`--data`)" if "formula" in answer["treated"] else "use `--estimator aipw` with `--data`"
        notes.append(
            f"How far the fitted model is off is not known: train with `--folds 5` for an interval, or {more}."
        )
    if answer.get("binning_error"):
        counted = "the interval reaches that far" if "low" in sure else "the effect is not corrected for it"
        notes.append(
            "Numbers read in bins, and what training left unexplained, make the effect some "
            f"{abs(answer['binning_error']):.3g} too {'high' if answer['binning_error'] > 0 else 'low'}: {counted}; "
            "`--estimator aipw` with `--data` uses the numbers themselves."
        )
    if answer.get("population", "all rows") not in ("all rows", "the treated"):
        notes.append(f"The effect is on {answer['population']}.")
    return notes


def _spanned(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}"


def shown_error(value: float) -> float | str:
    """A Monte Carlo error; one too small to be shown is not shown as none."""
    return "< 0.001" if 0 <= value < 0.0005 else value


def spelled(target: str, record: "Document") -> str:
    """A question as a formula.

    Example:
        >>> spelled("Y", {"do": {"A": "a"}, "given": {"Z": "z"}})
        'p(Y | do(A = a), Z = z)'
    """
    done = ", ".join(f"{name} = {_shortened(value)}" for name, value in (record.get("do") or {}).items())
    known = ", ".join(f"{name} = {value}" for name, value in (record.get("given") or {}).items())
    parts = ", ".join(filter(None, [f"do({done})" if done else "", known]))
    return f"p({target} | {parts})" if parts else f"p({target})"


def _shortened(value: object) -> str:
    return str(value) if len(str(value)) <= _LONGEST else "a policy"
