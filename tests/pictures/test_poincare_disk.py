import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex

from keras_hierproxy import pictures
from keras_hierproxy.pictures.tree_drawing import MIXED, OTHER, PALETTE
from keras_hierproxy.trees import Tree, pruned

pytestmark = pytest.mark.host

PNG = b"\x89PNG\r\n\x1a\n"
# Two latent proxies, 6 and 7, under the root 8.
TREE = Tree([6, 7, 6, 7, 7, 8, 8, 8, -1], 6)
RADII = np.array([0.9, 0.8, 0.7, 0.9, 0.6, 0.3, 0.5, 0.4, 0.1])


def random_tree(num_points, num_latents, seed=0):
    rng = np.random.default_rng(seed)
    latents = [-1, *(num_points + rng.integers(0, i) for i in range(1, num_latents))]
    points = num_points + rng.integers(0, num_latents, num_points)
    parents = np.concatenate([points, latents])
    return Tree(pruned(parents, np.arange(num_points))[1], num_points)


class Drawn:
    """What stands in a picture: dots, rings, circles and texts."""

    def __init__(self, figure):
        (self.axes,) = figure.axes
        *self.edges, dots, rings = self.axes.collections
        self.dots, self.rings = dots.get_offsets(), rings.get_offsets()
        self.colors = [to_hex(color) for color in dots.get_facecolors()]
        self.circles = [patch.radius for patch in self.axes.patches]
        *labels, caption = self.axes.texts
        self.labels = [label.get_text() for label in labels]
        self.caption = caption.get_text()
        self.legend = [t.get_text() for each in figure.legends for t in each.texts]

    @property
    def sizes(self):
        """Distances from the centre: of dots, then of rings."""
        return np.linalg.norm(np.concatenate([self.dots, self.rings]), axis=1)


@pytest.fixture
def draw(figures, tmp_path):
    def draw(tree, radii, *args, **options):
        figures.clear()
        path = tmp_path / "disk.png"
        pictures.plot_poincare_disk(tree, radii, path, *args, **options)
        assert path.read_bytes().startswith(PNG)
        (figure,) = figures
        return Drawn(figure)

    return draw


def test_radii_are_true(draw):
    drawn = draw(TREE, RADII)
    np.testing.assert_allclose(drawn.sizes, RADII / 0.9)
    circles = [float(label) for label in drawn.labels]
    assert circles[-1] == 0.9 and len(circles) > 3
    np.testing.assert_allclose(drawn.circles, np.array(circles) / 0.9)
    assert "6 points (dots) under 3 latent proxies" in drawn.caption
    assert "from 0 at the centre to 0.9 at the rim" in drawn.caption
    assert "stretched" not in drawn.caption


def test_radii_that_are_alike_are_stretched_and_the_caption_says_so(draw):
    tree = random_tree(300, 40)
    rng = np.random.default_rng(0)
    inner = rng.uniform(0.53, 0.55, len(tree) - 300)
    inner[tree.root - 300] = 0.52
    radii = np.concatenate([np.full(300, 0.6214), inner])
    drawn = draw(tree, radii)
    np.testing.assert_allclose(drawn.sizes[:300], 1.0)
    assert drawn.sizes[tree.root] == 0
    # No order is lost, and a quarter lies within each circle.
    order = np.argsort(inner)
    assert (np.diff(drawn.sizes[300:][order]) > 0).all()
    counts, _ = np.histogram(drawn.sizes[300:], [0, 0.25, 0.5, 0.75, 1])
    assert counts.min() >= len(inner) // 4 - 1
    assert drawn.labels == [
        f"{q:.4g}" for q in np.quantile(inner, [0.25, 0.5, 0.75])
    ] + ["0.6214"]
    assert "from 0.52 at the centre to 0.6214 at the rim" in drawn.caption
    assert "the axis is stretched: a quarter of the latent proxies" in drawn.caption


def test_each_subtree_has_a_wedge_of_its_own(draw):
    """As wide as it has leaves: no other leaf stands between two of its own."""
    tree = random_tree(80, 30)
    groups = np.random.default_rng(1).integers(0, 4, 80)
    radii = 0.1 + 0.8 * tree.depth / tree.depth.max()
    drawn = draw(tree, radii, groups, "abcd")
    angles = np.arctan2(*drawn.dots.T) % (2 * np.pi)
    places = (angles / (2 * np.pi) * 80 - 0.5).round(6)
    assert sorted(places) == list(range(80))
    for node in range(80, len(tree)):
        below = np.sort(places[tree.leaves(node)])
        np.testing.assert_array_equal(np.diff(below), 1)


def test_edges_keep_to_the_wedge_and_the_radii_of_their_ends(draw):
    tree = random_tree(40, 20)
    radii = 0.1 + 0.8 * tree.depth / tree.depth.max()
    drawn = draw(tree, radii)
    at = np.concatenate([drawn.dots, drawn.rings])
    paths = [path.vertices for edges in drawn.edges for path in edges.get_paths()]
    nodes = [node for node in range(len(tree)) if node != tree.root]
    assert len(paths) == len(nodes)
    for node, path in zip(nodes, paths, strict=True):
        np.testing.assert_allclose(path[-1], at[node])
        np.testing.assert_allclose(path[0], at[tree.parents[node]])
        # On the parent's circle up to the last point: so it crosses no other edge.
        sizes = np.linalg.norm(path[:-1], axis=1)
        np.testing.assert_allclose(sizes, drawn.sizes[tree.parents[node]])
        turn = np.cross(np.append(path[-2], 0), np.append(path[-1], 0))
        np.testing.assert_allclose(turn, 0, atol=1e-9)


def test_colors_are_super_classes(draw):
    drawn = draw(
        TREE, RADII, np.array([2, 0, 2, 0, 2, 1]), ["cat", "dog", "oak"], "kin"
    )
    assert drawn.legend == ["cat", "dog", "oak"]
    cat, dog, oak = PALETTE[:3]
    assert drawn.colors == [oak, cat, oak, cat, oak, dog]
    assert draw(TREE, RADII).legend == []


def test_the_eight_largest_super_classes_have_a_color(draw):
    sizes = [2, *range(3, 11), 1, 0]
    groups = np.repeat(np.arange(11), sizes)
    tree = Tree([len(groups)] * len(groups) + [-1], len(groups))
    radii = np.linspace(0.9, 0.1, len(tree))
    drawn = draw(tree, radii, groups, [f"group {i}" for i in range(11)])
    assert drawn.legend == [f"group {i}" for i in range(1, 9)] + ["other (2)"]
    assert [*drawn.colors[:2], drawn.colors[-1]] == [OTHER] * 3
    assert drawn.colors[2] == PALETTE[0] and drawn.colors[-2] == PALETTE[7]
    assert len({*PALETTE, OTHER, MIXED}) == 10


def test_of_many_points_a_thousand_are_drawn(draw):
    tree = random_tree(3000, 30)
    # A latent proxy for each of the last points alone: most of these go.
    parents = np.concatenate([tree.parents[:2900], 3000 + len(tree) + np.arange(100)])
    inner = tree.parents[3000:]
    parents = np.where(parents < len(tree), parents, parents - 3000)
    below_root = np.full(100, tree.root)
    tree = Tree(np.concatenate([parents, inner, below_root]), 3000)
    radii = np.concatenate(
        [np.linspace(0.6, 0.9, 3000), np.full(len(tree) - 3000, 0.2)]
    )
    groups = (np.arange(3000) < 1500).astype(int)
    drawn = draw(tree, radii, groups, ["late", "early"])
    assert len(drawn.dots) == 1000
    assert len(drawn.rings) < 30 + 60
    assert f"1,000 of 3,000 points (dots) under {len(drawn.rings)}" in drawn.caption
    # Each keeps its own radius and colour.
    early = np.array(drawn.colors) == PALETTE[drawn.legend.index("early")]
    assert 400 < early.sum() < 600
    np.testing.assert_array_equal(drawn.sizes[:1000] < 0.75 / radii.max(), early)

    again, other = draw(tree, radii).sizes, draw(tree, radii, seed=1).sizes
    np.testing.assert_array_equal(again, draw(tree, radii).sizes)
    assert len(again) != len(other) or (again != other).any()


def test_names_are_no_formulas_and_may_be_of_any_script(draw):
    names = ["costs $5 or $6_7", "日本語", "oak"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw(TREE, RADII, np.arange(6) % 3, names, "k$i$n", "a $title$")
    assert drawn.legend[0] == "costs $5 or $6_7"
    assert not drawn.axes.title.get_parse_math()


@pytest.mark.parametrize(
    ("radii", "message"),
    [
        (RADII[:6], r"each of the 9 nodes.*shape \(6,\)"),
        (RADII + 0.1, "values from 0.2 to 1"),
        (RADII * np.nan, "values from nan"),
    ],
)
def test_radii_that_are_none(radii, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        pictures.plot_poincare_disk(TREE, radii, tmp_path / "disk.png")
