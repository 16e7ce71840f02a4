"""What ``--help`` shows: which panel an option stands in, what its value is called, and which come first.

One name of an option means one thing in all commands, and so its panel and the name of its value are said here once.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from hf_trace.cli.outputs import check_places

HELP_ALL = "--help-all"
HELP_NAMES = ("--help", "-h", HELP_ALL)
MOST_SHOWN = 20
# Of each panel its options by their Python names, with what their values are called; nothing: of a flag.
PANELS: Mapping[str, Mapping[str, str]] = {
    "Log": {
        **dict.fromkeys(("case_column", "time_column", "outcome_column", "context_column", "end_column"), "COLUMN"),
        **dict.fromkeys(("weight_column", "latent"), "COLUMN"),
        **{"event_column": "COLUMN[,COLUMN]", "query": "TEXT", "time_unit": "UNIT", "time_format": "FORMAT"},
        **{"topology": "FILE", "topology_directed": "", "hops": "N", "only": "ID", "sample": "N|SHARE"},
        **{"max_sequences": "N", "stream": "", "window_length": "N", "window_gap": "SECONDS", "unknown": "NAME"},
        **{"dag": "FILE", "min_count": "N", "bins": "N", "dataset": "", "prefix_length": "N", "ties": "NAME"},
        **{"slide": "", "gaps": "", "state_pairs": "TEXT", "list_events": ""},
        **{"data_folder": "FOLDER", "logs": "NAME"},
    },
    "Question": {
        **{"question": "NAME", "target": "NAME", "outcome": "NAME", "do": "WHAT=VALUE", "given": "WHAT=VALUE"},
        **{"versus": "WHAT=VALUE", "contrast": "NAME", "target_value": "VALUE", "queries": "FILE", "level": "NAME"},
        **{"effect": "NAME", "max_lag": "N", "within": "SPAN", "horizon": "SPAN", "position": "N"},
        **{"exclude": "PATTERN", "variable": "PATTERN", "knowledge": "FILE", "self_loops": "", "states": ""},
        **{"zero": "", "seen": "", "state_run": "RUN", "reference": "RUN", "bounds": "", "refute": ""},
        **{"factual": "WHAT=VALUE", "monotone": "", "selection": "NAME", "would_have_come": "", "ahead": "N"},
    },
    "World": {
        **dict.fromkeys(("sequences", "types", "edges", "world_seed", "truth_samples"), "N"),
        **{"weight": "NUMBER", "delay": "SECONDS", "duration": "SECONDS"},
    },
    "Method": {
        **{"method": "NAME", "threshold": "SPEC", "construction": "NAME", "statistic": "NAME", "proposal": "NAME"},
        **{"num_samples": "N", "num_contexts": "N", "min_frequency": "SHARE", "bootstrap": "N", "refine": ""},
        **{
            "truth": "FILE",
            "bound": "NATS",
            "by": "NAME",
            "estimator": "NAME",
            "population": "NAME|TABLE",
            "data": "FILE",
        },
        **{"seed": "N", "intervals": ""},
        **{"preset": "NAME", "model": "MODEL", "lora": "", "merge": "", "epochs": "NUMBER", "ensemble": "N"},
        **{"quick": ""},
        **{"history": "NAME", "order": "NAME", "learn": "NAME", "folds": "N", "least": "NUMBER"},
        **{"only_methods": "NAME", "own_methods": "FILE:FUNCTION", "peers": "NAME=PYTHON", "runs": "FOLDER"},
    },
    "Output": {
        **dict.fromkeys(("plot", "html", "groups", "update"), "FILE"),
        **{"out": "PATH", "json_output": "", "top": "N", "overwrite": "", "resume": "", "version": "", "help": ""},
        **{"max_edges": "N", "fail_on_change": ""},
        **{"private": "", "dry_run": "", "graph": "FILE", "license": "NAME", "data_source": "TEXT"},
        **{"space": "", "wheel": "FILE", "data_repo": "ORG/NAME", "run_repo": "ORG/NAME", "known_graph": "FILE"},
        **{"collection": "TITLE"},
    },
    "Machine": {
        **{"processes": "N", "batch_size": "N", "memory": "SIZE", "dtype": "NAME", "device_map": "NAME"},
        **{"host": "ADDRESS", "port": "N", "tools": "", "max_bytes": "SIZE", "max_events": "N"},
        **{"bf16": "", "gradient_accumulation": "N", "trust_remote_code": "", "timing": ""},
        **{"limit": "SPAN", "small": "", "compiled": ""},
        **{"install_completion": "", "show_completion": ""},
    },
}
VALUES = {name: value for options in PANELS.values() for name, value in options.items()}
_PANEL_OF = {name: panel for panel, options in PANELS.items() for name in options}
_COLUMNS = "case_column event_column time_column"
# Of commands that have many: what people need first, panel by panel, the most needed on top.
SHOWN = {
    "explain": f"out question {_COLUMNS} time_format query topology context_column max_lag variable preset epochs "
    "quick overwrite json_output",
    "doctor": f"{_COLUMNS} time_unit time_format query topology outcome_column context_column timing json_output",
    "train": f"{_COLUMNS} query topology context_column outcome_column dag out overwrite resume json_output states "
    "preset model epochs processes",
    "discover": f"question max_lag level variable out html plot json_output {_COLUMNS} query topology only sample "
    "threshold construction seed processes",
    "effect": f"target do given within contrast bounds refute only list_events {_COLUMNS} out plot json_output "
    "num_samples estimator data would_have_come",
    "outcomes": f"outcome level effect out json_output only sample {_COLUMNS} outcome_column query topology bound",
    "rank": f"outcome within exclude knowledge out top json_output only {_COLUMNS} query topology by num_samples",
    "count": f"method threshold out plot top json_output horizon max_lag {_COLUMNS} query topology",
    "simulate": "out sequences overwrite json_output types edges weight delay duration seed",
    "push": "private space dry_run overwrite graph license dataset data_repo known_graph collection "
    f"{_COLUMNS} json_output",
}
# Spellings of before, by command; they go on working.
_FORMERLY = {"push": {"--data": "--data-source", "--update": "--overwrite"}}


class _Screen:
    """A command or the group of all, with options in panels; ``--help-all`` shows those that ``--help`` leaves out."""

    name: str | None
    params: Any

    def arrange(self) -> None:
        """Put every option into its panel, those that are needed first on top."""
        first = SHOWN.get(self.name or "", "").split()
        ranks = {name: rank for rank, name in enumerate(first)}
        arguments = [each for each in self.params if each.param_type_name == "argument"]
        for each in arguments:
            each.metavar = each.metavar or each.name.upper()
        options = [each for each in self.params if each.param_type_name == "option"]
        for each in options:
            each.rich_help_panel = _PANEL_OF.get(each.name)
            each.metavar = VALUES.get(each.name, each.metavar)
        self.params = [*arguments, *sorted(options, key=lambda each: ranks.get(each.name, len(ranks)))]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note whether all options are asked for; words that had another spelling get that of today."""
        ctx.meta[HELP_ALL] = HELP_ALL in args
        return super().parse_args(ctx, list(_respelled(args, _FORMERLY.get(self.name or "", {}))))  # type: ignore[misc]

    def get_help_option(self, ctx: Any) -> Any:
        """The option that shows the help, with how much more there is to see."""
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            # Click keeps the names as a set: their order would be another one in every process.
            option.opts = [name for name in HELP_NAMES if name in option.opts]
            option.rich_help_panel, option.metavar = _PANEL_OF["help"], ""
            more = sum(not self._is_shown(each) for each in self.params)
            option.help = f"Show this message; {HELP_ALL} with {more} more options." if more else "Show this message."
        return option

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        for each in self.params:
            each.hidden = not (ctx.meta.get(HELP_ALL) or self._is_shown(each))
        super().format_help(ctx, formatter)  # type: ignore[misc]

    def _is_shown(self, parameter: Any) -> bool:
        listed = SHOWN.get(self.name or "")
        is_argument = parameter.param_type_name == "argument"
        return is_argument or listed is None or parameter.name in listed.split()


class Command(_Screen, TyperCommand):
    """A command; nothing that it reads is written over, whichever it is.

    Its context is of the class that commands ask for, which Typer only promises.
    """

    context_class = typer.Context

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.arrange()

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        check_places(ctx)
        return super().invoke(ctx)


class Commands(_Screen, TyperGroup):
    """All commands."""

    def _is_shown(self, parameter: Any) -> bool:
        return not str(parameter.name).endswith("_completion")

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help; completion is added to the group once it is made."""
        self.arrange()
        super().format_help(ctx, formatter)


def _respelled(words: list[str], spellings: Mapping[str, str]) -> Iterator[str]:
    for word in words:
        name, equals, value = word.partition("=")
        yield spellings.get(name, name) + equals + value
