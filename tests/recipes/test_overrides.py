"""`--set PATH=VALUE`."""

import pytest

from keras_hierproxy import recipes

pytestmark = pytest.mark.host


def test_settings_are_changed_and_then_ours(tiny_recipe):
    changes = ["loss.margin=0.2", "loss.proxy_anchor.alpha=16", "training.seeds=[1, 2]"]
    recipe = recipes.load(tiny_recipe, changes)
    assert (recipe.loss[0].margin, recipe.loss[0].alpha) == (0.2, 16.0)
    assert recipe.training.seeds == [1, 2]
    assert recipe.ours == ["loss.margin", "loss.proxy_anchor.alpha", "training.seeds"]


def test_of_several_losses_each_has_its_name():
    changes = ["loss.margin=0.2", "loss.hier.margin=0.3"]
    anchor, hier = recipes.load("hier_deit_small_cub", changes).loss
    assert (anchor.margin, hier.margin) == (0.2, 0.3)


def test_a_setting_that_the_file_leaves_out(tiny_recipe):
    assert recipes.load(tiny_recipe).proxies.orthogonality is None
    changes = ["proxies.orthogonality.strength=0.1"]
    changes.append("proxies.orthogonality.per_proxy=true")
    recipe = recipes.load(tiny_recipe, changes)
    assert recipe.proxies.orthogonality.strength == 0.1


def test_no_value_leaves_a_setting_out(tiny_recipe):
    changes = ['data.sampler="random"', "data.images_per_class="]
    recipe = recipes.load(tiny_recipe, changes)
    assert recipe.data.images_per_class is None
    assert "data.images_per_class" not in recipe.ours


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("loss.margin", "--set takes PATH=VALUE, such as loss.margin=0.2. Received"),
        ("training.precision=float32", "float32 is no TOML value. Text needs quotes"),
        ("training.epochs.x=1", "training.epochs is 2, which has no x"),
        ("model.geometry=1", "that is a table. Name a setting.*model.geometry.name"),
        ("loss.proxy_anchor=1", "that is a table. Name a setting.*anchor.margin"),
    ],
)
def test_what_cannot_be_set(change, message, tiny_recipe):
    with pytest.raises(ValueError, match=message):
        recipes.load(tiny_recipe, [change])
