"""What a run computes, in the words of the command line."""

import dataclasses
import os

DATA_SETS = (
    "glyphs",
    "omniglot",
    "grocery_store",
    "cub",
    "cars",
    "sop",
    "in_shop",
    "inaturalist",
)
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
    """Everything that decides what a run computes: the options of `hierproxy train`."""

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


SETTINGS = tuple(field.name for field in dataclasses.fields(Settings))
