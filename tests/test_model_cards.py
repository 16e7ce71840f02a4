"""Cards say what the recipes measured, and nothing else."""

from pathlib import Path

import cards
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", cards.MODELS)
def test_a_card_is_what_its_recipe_measured(name):
    written = (ROOT / "model_cards" / f"{name}.md").read_text(encoding="utf-8")
    assert written == cards.card(cards.MODELS[name])


def test_every_card_has_a_recipe():
    names = {path.stem for path in (ROOT / "model_cards").glob("*.md")} - {"README"}
    assert names == set(cards.MODELS)
