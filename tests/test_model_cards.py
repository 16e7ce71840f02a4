"""Cards say what the recipes measured, and nothing else."""

from pathlib import Path

import cards
import pytest

ROOT = Path(__file__).parents[1]
MODELS = [*cards.ORACLES, *cards.ENGINES]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.recipe)
def test_a_card_is_what_its_recipe_measured(model):
    written = (ROOT / "model_cards" / f"{model.recipe}.md").read_text(encoding="utf-8")
    assert written == cards.card(model)


def test_every_card_has_a_recipe():
    names = {path.stem for path in (ROOT / "model_cards").glob("*.md")} - {"README"}
    assert names == {model.recipe for model in MODELS}
