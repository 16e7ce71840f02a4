"""Rows of a table to token ids: every variable is announced by a token of its own and followed by its value."""

import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hf_trace.checks import one_of
from hf_trace.documents import Document
from hf_trace.errors import ModelLoadError, QueryError, SettingsError, TableError, first_line, preview
from hf_trace.options import TRUST_REMOTE_CODE
from hf_trace.tables.cells import items_of
from hf_trace.tables.encoding import DagTable
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import Content, Variable, VariableTokens
from hf_trace.tokenizers.stored_tokenizer import PAD, StoredTokenizer, word_tokenizer
from tokenizers import AddedToken, Tokenizer


def _item_codes(variable: Variable, raw: Any) -> NDArray[np.int64]:
    """Codes of the items of a sequence: a list, one item, a JSON list, or a text split at commas, else at blanks."""
    numbers = {value: code for code, value in enumerate(variable.values)}
    # An item may have blanks in it.
    items = (raw,) if isinstance(raw, str) and raw in numbers else items_of(raw)
    for item in items:
        if item not in numbers:
            raise variable.unknown(item)
    return np.array([numbers[item] for item in items], dtype=np.int64)


_MARKS = re.compile(r"[\\=:<]")
_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
History = Literal["parents", "full"]
Order = Literal["fixed", "random"]


class DagTokenizer(StoredTokenizer):
    """The variables of a graph and how rows of a table are written in tokens.

    Args:
        tokenizer: A Transformers tokenizer that ``save_pretrained`` of this class wrote.

    Attributes:
        tokenizer: What ``save_pretrained`` stores.
        schema: The graph and its variables.
        history: ``"parents"``: a variable is predicted only from its parents, each in a row of its own; ``"full"``:
            from all variables before it.
        order: With full history, whether variables stand in one ``"fixed"`` order or in ``"random"`` ones.
        variables: Token ids of the observed variables, in the schema's order.
        kept_tokens: How many of the first ids are those of a pretrained tokenizer; 0 from scratch.

    Raises:
        ModelLoadError: If the tokenizer holds no graph.

    Example:
        >>> drug = Variable("drug", values=("no", "yes"), parents=("sick",))
        >>> tokenizer = DagTokenizer.from_schema(DagSchema((Variable("sick", values=("no", "yes")), drug)))
        >>> tokenizer.content("drug", "yes"), tokenizer.text("drug", (9,))
        ((9,), 'yes')
        >>> tokenizer.sequencify({"sick": (5,), "drug": (9,)}, ["sick", "drug"])
        [1, 4, 5, 7, 9]
    """

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        settings = tokenizer.init_kwargs
        if not isinstance(settings.get("dag"), Mapping):
            raise ModelLoadError(
                "The tokenizer holds no graph of variables. Expected a run trained on a table, by `hf-trace train "
                "TABLE --dag DAG`."
            )
        self.schema = DagSchema.from_dict(settings["dag"])
        self.history: History = one_of(
            "history of the tokenizer", settings.get("history", "parents"), get_args(History), error=ModelLoadError
        )
        self.order: Order = one_of(
            "order of the tokenizer", settings.get("order", "fixed"), get_args(Order), error=ModelLoadError
        )
        self.kept_tokens = int(settings.get("kept_tokens") or 0)
        self.bos_id: int | None = tokenizer.bos_token_id
        self.pad_id: int = tokenizer.pad_token_id
        observed = [variable for variable in self.schema.variables if not variable.latent]
        self.variables = {variable.name: self._tokens(variable) for variable in observed}
        self._starts = {tokens.start: name for name, tokens in self.variables.items()}

    @property
    def begin(self) -> tuple[int, ...]:
        """Tokens that every row begins with: one, or none where a pretrained tokenizer has none."""
        return () if self.bos_id is None else (self.bos_id,)

    @property
    def longest_row(self) -> int:
        """Tokens of the longest row there can be."""
        widths = {name: 2 if each.is_finite else each.max_length + 2 for name, each in self.variables.items()}
        if self.history == "full":
            return len(self.begin) + sum(widths.values())
        return len(self.begin) + max(widths[name] + sum(map(widths.__getitem__, self.parents(name))) for name in widths)

    @classmethod
    def from_schema(
        cls,
        schema: DagSchema,
        *,
        history: str = "parents",
        order: str = "fixed",
        base: Any = None,
        trust_remote_code: bool = TRUST_REMOTE_CODE.default,
    ) -> "DagTokenizer":
        """Build the vocabulary of a graph.

        Args:
            schema: The graph and its variables.
            history: See the class.
            order: See the class.
            base: A pretrained tokenizer, or its folder or Hub id, that gets new tokens and keeps its ids; without
                one the vocabulary has nothing but the variables.
            trust_remote_code: Whether code that ``base`` brings along may run here; it is refused otherwise.

        Raises:
            SettingsError: If ``history`` or ``order`` is unknown or does not fit the graph, if there is text but no
                ``base``, or if ``base`` has one of the new tokens.
            ModelLoadError: If ``base`` cannot be loaded or extended.
        """
        _check_settings(schema, history, order)
        # Causes stand before effects in every row: what a variable reads often begins as what its effects read.
        schema = DagSchema(tuple(schema[name] for name in schema.full_order))
        settings: Document = {"dag": schema.to_dict(), "history": history, "order": order}
        if base is not None:
            return cls(_extended(_loaded(base, trust_remote_code), _words_of(schema, bracketed=True), settings))
        if texts := [each.name for each in schema.variables if each.kind == "text" and not each.latent]:
            raise SettingsError(
                f"{preview(texts)} holds text, which is read in pieces of a pretrained tokenizer. Pass one with "
                "`--model ID_OR_PATH`."
            )
        return cls(word_tokenizer(_words_of(schema), **settings))

    @classmethod
    def from_pretrained(cls, name_or_path: str | PathLike[str], **kwargs: Any) -> "DagTokenizer":
        """Load what ``save_pretrained`` wrote, from a folder or the Hub.

        Raises:
            ModelLoadError: If there is no tokenizer, a damaged one, or one without a graph.
        """
        return cls.read(name_or_path, "hf-trace train TABLE --dag DAG", **kwargs)

    def agrees_with(self, other: Any) -> bool:
        """Whether another tokenizer, such as one ``AutoTokenizer`` made, gives the ids that this one does."""
        tokens = [*map(start_token, list(self.variables)[:3])]
        expected = [self.vocabulary[token] for token in tokens]
        if self.kept_tokens:
            return other("".join(tokens), add_special_tokens=False)["input_ids"] == expected
        return other(tokens, is_split_into_words=True, add_special_tokens=False)["input_ids"] == expected

    def parents(self, name: str) -> tuple[str, ...]:
        """Observed parents of a variable in the order in which they are written before it: the schema's."""
        parents = set(self.schema[name].parents)
        return tuple(each for each in self.variables if each in parents)

    def content(self, name: str, raw: Any) -> Content:
        """Token ids of a value as a user writes it.

        Args:
            name: An observed variable.
            raw: A value or number; for a sequence a list of items, or a text that is split at blanks and commas.

        Raises:
            QueryError: If there is no such variable or value, or it is too long.

        Example:
            >>> alarms = Variable("alarms", "sequence", values=("leak", "heat"), max_length=3)
            >>> tokenizer = DagTokenizer.from_schema(DagSchema((alarms,)))
            >>> [tokenizer.content("alarms", raw) for raw in ("heat, leak", "leak heat", ["heat"], [])]
            [(6, 5, 7), (5, 6, 7), (6, 7), (7,)]
        """
        variable = self.schema.observed(name)
        tokens = self.variables[name]
        if tokens.end is None:
            return (int(tokens.values[variable.code(raw)]),)
        if variable.kind == "sequence":
            ids = tokens.values[_item_codes(variable, raw)].tolist()
        else:
            if not isinstance(raw, str):
                raise QueryError(f"{name!r} is a text, got {raw!r}. Pass a text.")
            ids = self._pieces([raw])[0]
        if len(ids) > tokens.max_length:
            raise QueryError(
                f"A value of {name!r} has {len(ids)} {_unit(variable)}, expected at most {tokens.max_length}. "
                "Shorten it, or train with a larger `max_length`."
            )
        return (*ids, tokens.end)

    def contents(self, table: DagTable, name: str) -> NDArray[np.int64] | list[Content]:
        """Token ids of a column: one per row for a finite variable, else a tuple per row.

        Raises:
            TableError: If a value is too long.
        """
        tokens, column = self.variables[name], table.columns[name]
        if tokens.end is None:
            return tokens.values[np.asarray(column)]
        variable = self.schema[name]
        if variable.kind == "sequence":
            rows = [tokens.values[list(codes)].tolist() if len(codes) else [] for codes in column]
        else:
            rows = self._pieces(list(column))
        _check_lengths(variable, rows, tokens.max_length)
        return [(*row, tokens.end) for row in rows]

    def text(self, name: str, content: Sequence[int]) -> str:
        """A value as one text: what ``content`` was given, items with blanks between them.

        Raises:
            QueryError: If the tokens are not those of a value.
        """
        variable, tokens = self.schema.observed(name), self.variables[name]
        ids = [int(token) for token in content if token != tokens.end]
        if variable.kind == "text":
            return str(self.tokenizer.decode(ids))
        numbers = {token: code for code, token in enumerate(tokens.values.tolist())}
        if (tokens.is_finite and len(ids) != 1) or not set(ids) <= set(numbers):
            raise QueryError(f"The tokens {ids} are not a value of {name!r}. Expected tokens of its values.")
        return " ".join(variable.values[numbers[token]] for token in ids)

    def sequencify(self, contents: Mapping[str, Sequence[int]], order: Iterable[str]) -> list[int]:
        """A row: variables in the given order, each announced and followed by its value."""
        ids = list(self.begin)
        for name in order:
            ids += [self.variables[name].start, *contents[name]]
        return ids

    def desequencify(self, ids: Iterable[int]) -> dict[str, Content]:
        """The variables of a row, in their order, and their values; undoes ``sequencify``."""
        found: dict[str, list[int]] = {}
        for token in ids:
            if token in self._starts:
                found[self._starts[token]] = []
            elif found and token != self.pad_id:
                found[next(reversed(found))].append(int(token))
        return {name: tuple(content) for name, content in found.items()}

    def _tokens(self, variable: Variable) -> VariableTokens:
        start = self.vocabulary[start_token(variable.name)]
        names = value_tokens(variable, bracketed=bool(self.kept_tokens))
        values = np.array([self.vocabulary[name] for name in names], dtype=np.int64)
        if variable.is_finite:
            return VariableTokens(start, values)
        if variable.kind == "text":
            values = self._piece_ids()
        end = self.vocabulary[end_token(variable.name)]
        return VariableTokens(start, values, end, int(variable.max_length or 1))

    def _piece_ids(self) -> NDArray[np.int64]:
        """Everything text may consist of: the pretrained tokenizer's ids without special tokens but "unknown"."""
        stored = self.tokenizer
        special = {index for index, token in stored.added_tokens_decoder.items() if token.special}
        special -= {stored.unk_token_id} - {stored.bos_token_id, stored.eos_token_id, stored.pad_token_id}
        known = {index for index in self.vocabulary.values() if index < self.kept_tokens}
        return np.array(sorted(known - special), dtype=np.int64)

    def _pieces(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        # Text that looks like a special token must stay text.
        return self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def _unit(variable: Variable) -> str:
    return "items" if variable.kind == "sequence" else "tokens"


def _check_lengths(variable: Variable, rows: Sequence[Sequence[int]], limit: int) -> None:
    longer = [index for index, row in enumerate(rows) if len(row) > limit]
    if longer:
        most = max(len(rows[index]) for index in longer)
        raise TableError(
            f"{len(longer)} values of {variable.name!r} are too long (first in row {longer[0]}): up to {most} "
            f"{_unit(variable)}, expected at most {limit}. Raise its `max_length` to {most}, or shorten them."
        )


def _check_settings(schema: DagSchema, history: str, order: str) -> None:
    one_of("history", history, get_args(History))
    one_of("order", order, get_args(Order))
    if history == "parents" and schema.latent:
        raise SettingsError(
            f"{preview(sorted(schema.latent))} is latent, so what comes before a variable's parents matters too: "
            'history="parents" does not fit. Pass history="full" (`--history full`).'
        )


def start_token(name: str) -> str:
    """The token that announces a variable.

    Example:
        >>> start_token("drug"), end_token("notes")
        ('<start:drug>', '<end:notes>')
    """
    return f"<start:{name}>"


def end_token(name: str) -> str:
    """The token that ends a value of a variable that is not finite."""
    return f"<end:{name}>"


def value_tokens(variable: Variable, *, bracketed: bool = False) -> list[str]:
    r"""One token per value of a finite variable, or per item of a sequence; none for texts.

    Args:
        variable: An observed one.
        bracketed: Write them in angle brackets, so that a pretrained vocabulary hardly holds one already.

    Example:
        >>> value_tokens(Variable("drug", values=("no", "yes")))
        ['drug=no', 'drug=yes']
        >>> value_tokens(Variable("a=b", "sequence", values=("x",)))[0] == "a\\=b:x"
        True
        >>> value_tokens(Variable("drug", values=("no", "yes")), bracketed=True)
        ['<value:drug=no>', '<value:drug=yes>']
    """
    if variable.kind == "text":
        return []
    mark = ":" if variable.kind == "sequence" else "="
    name = _MARKS.sub(r"\\\g<0>", variable.name)
    plain = [f"{name}{mark}{value}" for value in variable.values]
    return [f"<value:{token}>" for token in plain] if bracketed else plain


def _words_of(schema: DagSchema, *, bracketed: bool = False) -> list[str]:
    """Tokens of the observed variables in the order of their ids."""
    words: list[str] = []
    for variable in schema.variables:
        if variable.latent:
            continue
        words += [start_token(variable.name), *value_tokens(variable, bracketed=bracketed)]
        words += [] if variable.is_finite else [end_token(variable.name)]
    return words


def _loaded(base: Any, trust: bool) -> Any:
    """A pretrained tokenizer that can be extended, itself or by its folder or Hub id."""
    if isinstance(base, (str, PathLike)):
        try:
            base = AutoTokenizer.from_pretrained(str(base), trust_remote_code=trust)
        except Exception as error:  # the parser of tokenizer.json raises bare exceptions
            raise ModelLoadError(
                f"No tokenizer could be loaded from {str(base)!r}: {first_line(error)}. Expected a pretrained model "
                "with its tokenizer; where that has code of its own, read it, and pass `--trust-remote-code` if you "
                "trust it."
            ) from error
    if not hasattr(base, "backend_tokenizer"):
        raise ModelLoadError(
            f"{type(base).__name__} is a tokenizer without a `tokenizer.json`, which cannot be extended. Expected "
            "one of the fast tokenizers of Transformers."
        )
    return base


def _extended(base: Any, words: Sequence[str], settings: Mapping[str, Any]) -> Any:
    """A copy of a pretrained tokenizer with further tokens, which no text can produce."""
    known = base.get_vocab()
    if taken := [word for word in words if word in known]:
        raise SettingsError(
            f"The pretrained tokenizer already has the token {taken[0]!r}: it was made for another table. Start from "
            "the model that one was trained from."
        )
    backend = Tokenizer.from_str(base.backend_tokenizer.to_str())
    roles = {role: str(token) for role in _ROLES if (token := getattr(base, role, None)) is not None}
    if "pad_token" not in roles:
        roles["pad_token"] = roles.get("eos_token", PAD)
    first = max(known.values()) + 1
    # A padding token of our own comes last.
    new = [*words, *({roles["pad_token"]} - set(known))]
    backend.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in new])
    if [backend.token_to_id(word) for word in new] != list(range(first, first + len(new))):
        raise ModelLoadError(
            f"The pretrained tokenizer has {len(known)} tokens but ids up to {first - 1}, so that new tokens would "
            "take the place of old ones. Choose a model whose ids have no holes."
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        kept_tokens=first,
        **roles,
        **settings,
    )
