import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_trace.discovery.blocks import AllowedPairs
from hf_trace.graphs.knowledge import BackgroundKnowledge

TYPES = tuple("abcdefg")
NAMES = st.sampled_from(TYPES)
ENDS = st.sampled_from((*TYPES, "*"))


def parted(names):
    """Some types, each in one of three parts at most."""
    return st.dictionaries(names, st.integers(0, 2)).map(
        lambda part_of: [[name for name, part in part_of.items() if part == number] for number in range(3)]
    )


# Documents, not objects: the type checker of the tests uses `random`, which strategies must not.
RULES = st.fixed_dictionaries(
    {
        "forbidden": st.lists(st.tuples(ENDS, ENDS), max_size=5),
        "tiers": parted(NAMES),
        "groups": parted(NAMES).map(lambda parts: dict(zip("xyz", parts, strict=True))),
        "neighbours": st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")), max_size=2),
    }
)


@given(RULES, st.permutations(range(3, 10)))
def test_tokens_are_allowed_as_names_are(document, token_ids):
    known = BackgroundKnowledge.from_dict(document)
    tokens = torch.tensor(token_ids)
    allowed = AllowedPairs.of(known, TYPES, tokens, 12)
    table = allowed(tokens[:, None], tokens[None])
    assert table.tolist() == [[known.allows(cause, effect) for effect in TYPES] for cause in TYPES]
    # One rule alone is no weaker than all of them.
    for key in ("forbidden", "tiers"):
        alone = AllowedPairs.of(BackgroundKnowledge.from_dict({key: document[key]}), TYPES, tokens, 12)
        assert (table <= alone(tokens[:, None], tokens[None])).all()


@given(RULES)
def test_what_is_written_reads_back_as_the_same(document):
    known = BackgroundKnowledge.from_dict(document)
    assert BackgroundKnowledge.from_dict(known.to_dict()) == known
