"""The options of `hierproxy train`."""

import pathlib
from typing import Annotated

from hierproxy.known import LOSSES, METHODS
from hierproxy.options import (
    LARGEST_EMBEDDING,
    LARGEST_SEED,
    LARGEST_SIDE,
    choice,
    option,
    positive_integers,
    rate,
    whole,
)

Data = Annotated[
    str,
    option(
        "`glyphs` (letters rendered from fonts, nothing to download), `omniglot` "
        "(handwriting), `letters` (both); photos of `cub`, `cars`, `sop`, "
        "`in_shop`, `inaturalist`, `grocery_store`, `fashion_products`. All but "
        "`glyphs` need --root. Or your own: a folder of images with a folder a class "
        "(nested folders are coarser levels), or a .csv file with the columns path, "
        "one or more of labels and, if need be, split.",
        panel="Data",
        metavar="NAME",
    ),
]
ImageSize = Annotated[
    int | None,
    option(
        "Side in pixels to which images are brought. By default 32 for letters, "
        "with --preset what it was trained at, which for photos is 128, and with "
        "--from-scratch 64 for a folder and 96 for other photos. Time grows with its "
        "square.",
        panel="Data",
        metavar="N",
        parser=whole(16, LARGEST_SIDE),
    ),
]
Loss = Annotated[
    object,
    option(
        "Over proxies at each level: `hpl` (learns a hierarchy), `hpl-taxonomy` "
        "(takes that of the labels). In hyperbolic space: `hier` (Proxy-Anchor "
        "with HIER), `hpl-hier`, `hyp` (SupCon by distance). One loss alone: "
        + ", ".join(f"`{name}`" for name in LOSSES if name not in METHODS)
        + ".",
        parser=choice(*LOSSES),
        panel="Model",
        metavar="NAME",
    ),
]
LevelSizes = Annotated[
    object | None,
    option(
        "Sizes of the coarse levels of `hpl` and `hpl-hier`, such as `50` or "
        "`50,8`; by default one level of the square root of the number of classes.",
        panel="Model",
        parser=positive_integers,
        metavar="SIZES",
    ),
]
LatentProxies = Annotated[
    int | None,
    option(
        "How many latent proxies `hier` and `hpl-hier` have; 512.",
        panel="Model",
        metavar="N",
        parser=whole(2),
    ),
]
MaxTriplets = Annotated[
    int | None,
    option(
        "How many triplets `hier` and `hpl-hier` draw at most for each of HIER's "
        "two terms; by default 50 for each image and each latent proxy. Fewer are "
        "faster and noisier.",
        panel="Training",
        metavar="N",
        parser=whole(1),
    ),
]
Preset = Annotated[
    str | None,
    option(
        "The pretrained model to start from: a shipped preset (`hierproxy zoo list`), "
        "a preset's folder, or a keras-hub name or handle. By default "
        "`efficientnet_lite0_imagenet` for photos, none for letters.",
        panel="Model",
        metavar="NAME",
    ),
]
FromScratch = Annotated[
    bool,
    option(
        "Train photos from nothing, too, by a small network.",
        "--from-scratch",
        panel="Model",
    ),
]
EmbeddingDim = Annotated[
    int | None,
    option(
        "Dimensions of an embedding; 128.",
        panel="Model",
        metavar="N",
        parser=whole(2, LARGEST_EMBEDDING),
    ),
]
Epochs = Annotated[
    int,
    option(
        "Passes over the images.",
        panel="Training",
        metavar="N",
        parser=whole(1),
    ),
]
BatchSize = Annotated[
    int | None,
    option(
        "Images in a step. By default 128, and 32 where photos start from "
        "`efficientnet_lite0_imagenet`.",
        panel="Training",
        metavar="N",
        parser=whole(2),
    ),
]
ImagesPerClass = Annotated[
    int | None,
    option(
        "Draw batches class by class, with so many images of each. By default 4 "
        "for the losses over pairs and 2 for those in hyperbolic space; the others "
        "take images as they come.",
        panel="Training",
        metavar="N",
        parser=whole(2),
    ),
]
LearningRate = Annotated[
    float | None,
    option(
        "Of the network. By default 1e-3 from scratch; 3e-4 for the backbone of "
        "`efficientnet_lite0_imagenet` and 5e-4 for the rest; of other presets 1e-5 "
        "and 1e-4.",
        panel="Training",
        metavar="RATE",
        parser=rate,
    ),
]
ProxyLearningRate = Annotated[
    float,
    option("Of the proxies.", panel="Training", metavar="RATE", parser=rate),
]
Augment = Annotated[
    object | None,
    option(
        "`affine` turns, stretches and shifts images a little; `crop` cuts random "
        "parts out of them and mirrors every other one; or `none`. By default "
        "`affine` for `glyphs`, `omniglot` and `letters`, `crop` for photos.",
        parser=choice("affine", "crop", "none"),
        panel="Training",
        metavar="NAME",
    ),
]
Seed = Annotated[
    int,
    option(
        "The same seed, the same run.",
        panel="Training",
        metavar="N",
        parser=whole(0, LARGEST_SEED),
    ),
]
RecipeName = Annotated[
    str | None,
    option(
        "A recipe, which states every setting: a shipped one, as `hierproxy zoo` "
        "lists them, a .toml file, or the folder of a run, whose recipe it is. "
        "Beside it go --root, --skip-bad, --seed, --epochs, --set and the options of "
        "the run.",
        panel="Recipe",
        metavar="NAME",
    ),
]
Changes = Annotated[
    list[str] | None,
    option(
        "Changes a setting of the recipe, or of what the options above make, such as "
        "`loss.margin=0.2`; the value as in TOML. May be repeated.",
        "--set",
        panel="Recipe",
        metavar="PATH=VALUE",
    ),
]
DryRun = Annotated[
    bool,
    option(
        "Builds the model with random weights, runs two steps on random images, and "
        "tells the plan, the memory and the time of an epoch. It needs neither the "
        "data nor the network; only --preset is loaded, and downloaded if need be.",
        "--dry-run",
        panel="Recipe",
    ),
]
Output = Annotated[
    pathlib.Path | None,
    option(
        "The run's folder; by default runs/DATA-LOSS-SEED, or runs/RECIPE-SEED.",
        "--output",
        "-o",
        metavar="FOLDER",
    ),
]
Resume = Annotated[
    bool,
    option(
        "Go on with the run in --output, by its recipe; --epochs may be more.",
        "--resume",
    ),
]
