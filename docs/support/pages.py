"""What happens to pages when they are built: formulas become MathML, the command line is listed as it is."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', flags=re.DOTALL)
COMMANDS = "<!-- commands -->"


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """List the commands where a page asks for them."""
    del kwargs
    return markdown.replace(COMMANDS, _commands()) if COMMANDS in markdown else markdown


def on_page_content(content: str, **kwargs: Any) -> str:
    """Typeset formulas: no script and no network is needed to read them."""
    del kwargs
    return _FORMULA.sub(_mathml, content)


def _mathml(found: "re.Match[str]") -> str:
    display = "block" if found[2] == "[" else "inline"
    return str(convert(html.unescape(found[3]).strip(), display=display))


def _commands() -> str:
    """One section for each command: what it does, an example, its arguments and options."""
    import typer

    from hf_trace.cli import app

    group: Any = typer.main.get_command(app)
    return "\n\n".join(_command(name, group.commands[name]) for name in group.commands)


def _command(name: str, command: Any) -> str:
    rows = [f"| {_spelled(each)} | {_help(each)} |" for each in command.params if each.name != "help"]
    table = "\n".join(["| option | |", "|---|---|", *rows])
    return f"## hf-trace {name}\n\n{command.help}\n\n{command.epilog}\n\n{table}"


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])


def _help(parameter: Any) -> str:
    text = (getattr(parameter, "help", "") or "").replace("|", "\\|").replace("<", "&lt;")
    default = parameter.default
    told = default not in (None, False, "", ()) and not callable(default) and not parameter.required
    return f"{text} Default: `{default}`." if told else text
