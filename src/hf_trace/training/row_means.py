"""What a model says on average of a number in every row of a table, given the values of its parents there."""

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from hf_trace.effects.conditionals import distinct
from hf_trace.tokenizers.dag_tokenizer import DagTokenizer
from hf_trace.training.place_logits import logits_at
from hf_trace.training.table_rows import ParentRows, WrittenTable

_READ_AT_ONCE = 8192


@torch.no_grad()
def row_means(model: nn.Module, tokenizer: DagTokenizer, table: WrittenTable, name: str) -> Float[np.ndarray, " row"]:
    """Means of a number, each bin of which counts as the mean of its numbers; what is missing is left out.

    Args:
        model: In evaluation mode; it reads parents and nothing else.
        tokenizer: How values are written.
        table: The rows.
        name: A numeric variable whose parents are finite.
    """
    numbers = np.asarray(tokenizer.schema[name].numbers)
    known = np.isfinite(numbers)
    values = torch.from_numpy(tokenizer.variables[name].values[known])
    source, device = ParentRows(tokenizer, table, learn=[name]), next(model.parameters()).device
    size, said = max(1, int(_READ_AT_ONCE / source.mean_length)), []
    for first in range(0, len(source), size):
        batch = source.batch(np.arange(first, min(first + size, len(source))), np.random.default_rng(0))
        logits = logits_at(model, {key: part.to(device) for key, part in batch.items()}).float()
        said.append(logits[:, values.to(device)].softmax(-1).double().cpu().numpy() @ numbers[known])
    # Rows of one variable stand in the order of its contexts, one place in each.
    read = [table.names.index(parent) for parent in tokenizer.parents(name)]
    place = distinct(table.codes[:, read], [len(table.contents[each]) for each in read])[1]
    return np.asarray(np.concatenate(said)[place])
