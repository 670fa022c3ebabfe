"""What a run computes, in the words of the command line."""

import dataclasses
import os

from keras_hierproxy import recipes
from keras_hierproxy.datasets import NAMES as DATA_SETS

# Losses with HIER beside them.
WITH_HIER = ("hier", "hpl-hier")
# Options that say nothing to other losses.
_ONLY_WITH = {
    "level_sizes": ("hpl", "hpl-hier"),
    "latent_proxies": WITH_HIER,
    "max_triplets": WITH_HIER,
}


@dataclasses.dataclass
class Settings:
    """Everything that decides what a run computes: the options of `hierproxy train`.

    Of a run by a recipe, `recipe` is all of it, as its file and --set say; the other
    fields say the same as far as they can, for what reads data and tells of runs.
    """

    data: str = "glyphs"
    root: str | None = None
    train_groups: list[str] | None = None
    test_groups: list[str] | None = None
    test_split: str | None = None
    image_size: int | None = None
    skip_bad: bool = False
    loss: str = "hpl"
    level_sizes: list[int] | None = None
    latent_proxies: int | None = None
    max_triplets: int | None = None
    preset: str | None = None
    embedding_dim: int | None = None
    epochs: int = 10
    batch_size: int = 128
    images_per_class: int | None = None
    learning_rate: float | None = None
    proxy_learning_rate: float = 1e-2
    augment: str | None = None
    seed: int = 0
    validation: float | None = None
    quarter_turns: bool = False
    recipe: dict | None = None

    def __post_init__(self):
        for option, losses in _ONLY_WITH.items():
            if getattr(self, option) is not None and self.loss not in losses:
                raise ValueError(
                    f"--{option.replace('_', '-')} goes with --loss "
                    f"{' or '.join(losses)}. Received: --loss {self.loss}."
                )
        # So that a run is understood in another working folder, too.
        for name in ("data", "root", "preset"):
            value = getattr(self, name)
            if value is not None and value not in DATA_SETS and os.path.exists(value):
                setattr(self, name, os.path.abspath(value))

    @classmethod
    def of_recipe(cls, recipe, **options):
        """Those of a run by a recipe.

        Args:
            recipe: `khp.recipes.Recipe`.
            **options: `root`, `skip_bad`, `seed` and `epochs`, where they were given.
        """
        data = recipe.data
        return cls(
            data=data.name,
            train_groups=data.train_groups,
            test_groups=data.test_groups,
            test_split=data.test_split,
            image_size=data.image_size,
            validation=data.validation,
            quarter_turns=data.quarter_turns,
            loss=_loss_of(recipe),
            embedding_dim=recipe.model.embedding_dim,
            batch_size=data.batch_size,
            images_per_class=data.images_per_class,
            recipe=recipe.model_dump(mode="json", exclude_none=True),
            **{
                "epochs": recipe.training.epochs,
                "seed": recipe.training.seeds[0],
                **options,
            },
        )

    @property
    def method(self):
        """What to call it in reports and pictures."""
        return self.loss if self.recipe is None else self.recipe["name"]

    def plan(self):
        """The recipe with the epochs of this run, or None where options say it all."""
        if self.recipe is None:
            return None
        recipe = dict(self.recipe)
        # Else the recipe is damaged, which is told below.
        if isinstance(recipe.get("training"), dict):
            recipe["training"] = {**recipe["training"], "epochs": self.epochs}
        return recipes.from_dict(recipe, f"The recipe {recipe.get('name')}")


def name_of(value):
    """A data set, preset or run as others know it: of a path its last part."""
    is_path = os.path.isabs(value) or os.path.exists(value)
    return os.path.basename(os.path.abspath(value)) if is_path else str(value)


def _loss_of(recipe):
    """The nearest that `--loss` has a name for."""
    hierarchy = recipe.proxies.hierarchy
    main = recipe.loss[0].name.replace("_", "-")
    if hierarchy is not None:
        main = "hpl" if hierarchy.learned else "hpl-taxonomy"
    if not recipe.has_loss("hier"):
        return main
    return "hpl-hier" if hierarchy is not None else "hier"


SETTINGS = tuple(field.name for field in dataclasses.fields(Settings))
