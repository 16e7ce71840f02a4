"""An exact oracle for tables: a causal language model whose predictions are the conditionals of a known joint.

The joint is an array with an axis per variable. A row is ``start value start value …`` in any order: after the start
of a variable the model predicts p(variable | all values so far in the row), whatever was left out is summed over.
"""

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from hf_trace.effects.conditionals import Conditionals
from hf_trace.oracle.engine import Oracle
from hf_trace.tables.schema import DagSchema
from hf_trace.tables.variables import VariableTokens

FLOOR = -60.0


class JointConfig(PretrainedConfig):
    model_type = "joint_lm"

    def __init__(self, vocab_size=8, **kwargs):
        super().__init__(**kwargs)
        self.vocab_size = vocab_size


class JointLM(PreTrainedModel):
    config_class = JointConfig
    _supports_sdpa = True

    def __init__(self, config, joint, tokens):
        super().__init__(config)
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.joint = joint
        self.axis = {each.start: axis for axis, each in enumerate(tokens)}
        self.values = [each.values.tolist() for each in tokens]
        self.meaning = {token: (axis, code) for axis, row in enumerate(self.values) for code, token in enumerate(row)}
        self.memory = {}
        self.post_init()

    def forward(self, input_ids, **kwargs):
        logits = torch.zeros((*input_ids.shape, self.config.vocab_size), dtype=torch.float64)
        for row, ids in enumerate(input_ids.tolist()):
            known = {}
            for place, token in enumerate(ids):
                if token in self.meaning:
                    known.setdefault(*self.meaning[token])
                elif token in self.axis:
                    logits[row, place] = self.predict(self.axis[token], tuple(sorted(known.items())))
        return CausalLMOutput(logits=logits.float())

    def predict(self, axis, known):
        if (axis, known) not in self.memory:
            where = dict(known)
            where.pop(axis, None)
            index = tuple(where.get(each, slice(None)) for each in range(self.joint.ndim))
            left = [each for each in range(self.joint.ndim) if each not in where]
            table = self.joint[index]
            marginal = table.sum(axis=tuple(place for place, each in enumerate(left) if each != axis))
            with np.errstate(divide="ignore", invalid="ignore"):
                log_probs = np.nan_to_num(np.log(marginal / marginal.sum()), nan=FLOOR, neginf=FLOOR)
            logits = torch.full((self.config.vocab_size,), FLOOR, dtype=torch.float64)
            logits[self.values[axis]] = torch.from_numpy(log_probs)
            self.memory[axis, known] = logits
        return self.memory[axis, known]


def write(schema: DagSchema) -> dict[str, VariableTokens]:
    """Token ids: 0 begins a row, then start and values of every observed variable."""
    tokens, number = {}, 1
    for name in schema.topological_order:
        values = np.arange(number + 1, number + 1 + len(schema[name].values))
        tokens[name] = VariableTokens(number, values)
        number += 1 + len(values)
    return tokens


def exact_conditionals(schema: DagSchema, joint: np.ndarray, *, parents_only: bool) -> Conditionals:
    """The exact oracle of a joint over the observed variables, in topological order."""
    tokens = write(schema)
    size = 1 + sum(1 + len(each.values) for each in tokens.values())
    model = JointLM(JointConfig(vocab_size=size), joint, list(tokens.values()))
    return Conditionals(Oracle(model), schema, tokens, (0,), parents_only)


def random_joint(schema: DagSchema, seed: int, concentration: float = 1.0) -> tuple[np.ndarray, dict]:
    """A joint over all variables of ``schema`` in their listed order, and the tables it is made of."""
    generator = np.random.default_rng(seed)
    names = [each.name for each in schema.variables]
    sizes = {each.name: len(each.values) or 2 for each in schema.variables}
    tables = {
        each.name: generator.dirichlet(
            np.full(sizes[each.name], concentration), size=[sizes[parent] for parent in each.parents]
        )
        for each in schema.variables
    }
    return product(schema, tables, names), tables


def product(schema: DagSchema, tables: dict, names: list[str], do: dict | None = None) -> np.ndarray:
    """The joint of tables; forced variables are points."""
    terms = []
    for each in schema.variables:
        table = tables[each.name]
        if do and each.name in do:
            point = np.zeros(table.shape[-1])
            point[do[each.name]] = 1.0
            terms += [point, [names.index(each.name)]]
        else:
            terms += [table, [names.index(name) for name in (*each.parents, each.name)]]
    return np.einsum(*terms, list(range(len(names))))


def true_answer(schema, tables, target, do, given):
    """p(target | do, given) by enumeration, latent variables included."""
    names = [each.name for each in schema.variables]
    joint = product(schema, tables, names, do)
    index = tuple(slice(given[name], given[name] + 1) if name in given else slice(None) for name in names)
    part = joint[index]
    axis = names.index(target)
    marginal = part.sum(axis=tuple(each for each in range(part.ndim) if each != axis))
    return marginal / marginal.sum()


def observed_joint(schema, joint):
    """Sum over latent variables; axes in topological order."""
    names = [each.name for each in schema.variables]
    latent = tuple(names.index(name) for name in schema.latent)
    left = [name for name in names if name not in schema.latent]
    summed = joint.sum(axis=latent)
    return summed.transpose([left.index(name) for name in schema.topological_order])
