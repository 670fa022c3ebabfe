"""The presets and recipes that are shipped, and what is known of them."""

from keras_hierproxy import shipped
from keras_hierproxy.checks import did_you_mean


def list_presets():
    """The names of the shipped presets, for `ImageEmbedder.from_preset`.

    Returns:
        Sorted list of str.

    Example:

    >>> for name in khp.zoo.list_presets():
    ...     embedder = khp.models.ImageEmbedder.from_preset(name)
    """
    return shipped.names()


def list_recipes():
    """The names of the shipped recipes, for `load_recipe`.

    Returns:
        Sorted list of str.

    Example:

    >>> "hier_resnet50_cub" in khp.zoo.list_recipes()
    True
    """
    return sorted(path.stem for path in (shipped.folder() / "recipes").glob("*.toml"))


def describe(name):
    """What is known of a preset or a recipe.

    Args:
        name: str, of `list_presets()` or `list_recipes()`. Where a preset and the
            recipe that it was trained by share it, the preset.

    Returns:
        dict with `name` and `kind`. A preset's (`kind` is `"preset"`) has
        `description`, `method`, `architecture`, `data`, `data_licence`, `licence`,
        `limits`, `recipe` or, where others trained it, `source`; `embedding_dim`,
        `geometry`, `image_shape`, `num_classes`, `parameters` (all),
        `proxy_parameters` (of these the proxies', which embedding does not need),
        `size` in bytes; `recall@1`, a list of dicts with `test_set`,
        the `arguments` of `hierproxy evaluate` that give it, `value` of the shipped
        weights, and over the `seeds` of the same training, where there is a recipe,
        `mean`, `least` and `most`;
        `images_per_second`, a dict with `value` and `machine`; `checked`, how far
        embeddings differ on each backend; `keras_hierproxy`, the version that packed
        it; and `files`, the SHA-256 of each. A recipe's (`"recipe"`) has its settings.

    Raises:
        ValueError: there is neither.

    Example:

    >>> khp.zoo.describe("hier_resnet50_cub")["data"]["name"]
    'cub'
    """
    presets = shipped.presets()
    recipes = list_recipes()
    if name in presets:
        return {"name": name, "kind": "preset", **presets[name]}
    if name in recipes:
        settings = load_recipe(name).model_dump(mode="json", exclude_none=True)
        return {"kind": "recipe", **settings}
    close = did_you_mean(name, [*presets, *recipes])
    raise ValueError(
        f"There is no preset and no recipe {name!r}.{close} Presets: "
        f"{', '.join(sorted(presets)) or 'none'}. `hierproxy zoo list --recipes` lists "
        "the recipes. So does `khp.zoo.list_recipes()`."
    )


def card(name):
    """The model card of a preset.

    Args:
        name: str, of `list_presets()`.

    Returns:
        str, Markdown, without the lines for Hugging Face that it begins with.

    Example:

    >>> print(khp.zoo.card("so_cnn_letters").splitlines()[0])
    # so_cnn_letters
    """
    text = (shipped.preset_folder(name) / "README.md").read_text(encoding="utf-8")
    _, _, body = text.removeprefix("---\n").partition("\n---\n")
    return body.strip() + "\n"


def load_recipe(name):
    """The settings of a training run.

    Args:
        name: str, of `list_recipes()`, or the path of a TOML file.

    Returns:
        `khp.recipes.Recipe`, with an attribute for each table of the file.

    Raises:
        FileNotFoundError: there is no such recipe.
        ValueError: it has unknown fields, lacks some, or has values of a wrong type
            or that do not go together.

    Example:

    >>> khp.zoo.load_recipe("hier_resnet50_cub").model.embedding_dim
    512
    """
    # pydantic takes long to import: only for those who read recipes.
    from keras_hierproxy import recipes

    return recipes.load(name)
