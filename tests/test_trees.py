import subprocess
import sys
import time

import networkx
import numpy as np
import pytest
from scipy.cluster import hierarchy

from keras_hierproxy.trees import Tree, pruned

pytestmark = pytest.mark.host

# Under 9: 7 over the leaves 0, 1, 2 and 8 over 6, which has 3 and 4; and leaf 5.
PARENTS = [7, 7, 7, 6, 6, 9, 8, 9, 9, -1]


@pytest.fixture
def tree():
    return Tree(PARENTS, 6)


def random_tree(num_leaves, num_inner, seed):
    """Inner nodes under earlier ones, so that there are long chains, too."""
    rng = np.random.default_rng(seed)
    inner = [-1, *(rng.integers(max(0, i - 9), i) for i in range(1, num_inner))]
    inner = np.array(inner)
    inner[1:] += num_leaves
    leaves = num_leaves + rng.integers(0, num_inner, num_leaves)
    parents = np.concatenate([leaves, inner])
    kept, parents = pruned(parents, np.arange(num_leaves))
    return Tree(parents, num_leaves, kept)


def test_plain_arrays(tree):
    assert tree.root == 9 and len(tree) == 10
    assert tree.depth.tolist() == [2, 2, 2, 3, 3, 1, 2, 1, 1, 0]
    children = [child.tolist() for child in tree.children]
    assert children == [[], [], [], [], [], [], [3, 4], [0, 1, 2], [6], [5, 7, 8]]
    assert tree.sizes().tolist() == [1] * 6 + [2, 3, 2, 6]
    assert tree.ids.tolist() == list(range(10))
    place = np.argsort(tree.order)
    assert sorted(tree.order) == list(range(10))
    assert all(place[p] < place[node] for node, p in enumerate(PARENTS) if p >= 0)


def test_ancestors_leaves_and_what_nodes_have_in_common(tree):
    assert tree.ancestors(3).tolist() == [6, 8, 9]
    assert tree.ancestors(9).tolist() == []
    assert tree.leaves(8).tolist() == [3, 4]
    assert tree.leaves(9).tolist() == [0, 1, 2, 3, 4, 5]
    assert tree.leaves(5).tolist() == [5]
    for a, b, ancestor in ((0, 2, 7), (3, 4, 6), (3, 5, 9), (3, 8, 8), (5, 5, 5)):
        assert tree.lowest_common_ancestor(a, b) == ancestor
        assert tree.lowest_common_ancestor(b, a) == ancestor


def test_heights_are_those_above_the_deepest_leaf(tree):
    assert tree.heights().tolist() == [0] * 6 + [1, 1, 2, 3]


def test_heights_are_made_monotone(tree):
    given = [9.0] * 6 + [5.0, -1.0, 2.0, 3.0]
    assert tree.heights(given).tolist() == [0] * 6 + [5, 0, 5, 5]
    with pytest.raises(ValueError, match=r"each of the 10 nodes.*shape \(6,\)"):
        tree.heights(np.ones(6))


def test_linkage_is_what_scipy_draws(tree):
    linkage = tree.linkage([0.0] * 6 + [1.0, 2.0, 2.5, 4.0])
    assert hierarchy.is_valid_linkage(linkage, throw=True)
    # Merged are 3 with 4; 0 with 1, and 2; then 5 with 0-1-2, and 3-4, whose node 8
    # has one child and is no merge.
    assert linkage.tolist() == [
        [3, 4, 1.0, 2],
        [0, 1, 2.0, 2],
        [7, 2, 2.0, 3],
        [5, 8, 4.0, 4],
        [9, 6, 4.0, 6],
    ]
    assert sorted(hierarchy.dendrogram(linkage, no_plot=True)["leaves"]) == [*range(6)]


@pytest.mark.parametrize("seed", range(3))
def test_linkage_says_what_the_tree_says(seed):
    """The height at which two leaves merge is that of their common ancestor."""
    tree = random_tree(60, 25, seed)
    for values in (None, np.random.default_rng(seed).uniform(size=len(tree))):
        linkage = tree.linkage(values)
        assert hierarchy.is_valid_linkage(linkage, throw=True)
        assert hierarchy.is_monotonic(linkage)
        merged = hierarchy.cophenet(linkage)
        heights = tree.heights(values)
        expected = [
            heights[tree.lowest_common_ancestor(a, b)]
            for a in range(60)
            for b in range(a + 1, 60)
        ]
        np.testing.assert_array_equal(merged, expected)


def test_a_wide_node_is_no_deep_linkage():
    """scipy's dendrogram recurses: over a chain of 5,000 merges it would raise."""
    star = Tree([5000] * 5000 + [-1], 5000)
    drawn = hierarchy.dendrogram(star.linkage(), no_plot=True)
    assert drawn["leaves"] == list(range(5000))


def test_networkx(tree):
    graph = tree.to_networkx()
    assert networkx.is_arborescence(graph)
    assert sorted(graph.successors(9)) == [5, 7, 8]
    named = Tree(PARENTS, 6, ids=np.arange(10) * 10).to_networkx()
    assert named.nodes[7] == {"id": 70, "leaf": False}
    assert named.nodes[5] == {"id": 50, "leaf": True}


WITHOUT_NETWORKX = """
import sitecustomize

# As if it were not there: torch looks for it too, and goes on without.
sitecustomize.absent.add("networkx")
import keras_hierproxy as khp

tree = khp.trees.Tree([4, 4, 5, 5, 6, 6, -1], num_leaves=4)
assert tree.linkage().shape == (3, 4)
try:
    tree.to_networkx()
except ImportError as error:
    print(error)
"""


@pytest.mark.host(on="jax")
def test_without_networkx_all_but_its_graphs_work():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORKX], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'keras-hierproxy[graphs]'" in done.stdout


def test_restrict_keeps_ancestors_and_ids():
    tree = Tree(PARENTS, 6, ids=np.arange(10) * 10)
    part = tree.restrict([4, 0, 1])
    assert part.num_leaves == 3
    assert part.ids.tolist() == [0, 10, 40, 60, 70, 80, 90]
    above = part.ids[part.ancestors(2)]
    assert above.tolist() == [60, 80, 90]


def test_pruned():
    kept, parents = pruned(np.array([3, 3, 4, 5, 5, -1, 5]), [2, 1])
    assert kept.tolist() == [2, 1, 3, 4, 5]
    assert parents.tolist() == [3, 2, 4, 4, -1]


def test_one_class():
    alone = Tree([-1], 1)
    assert alone.root == 0 and alone.leaves(0).tolist() == [0]
    assert Tree([1, -1], 1).depth.tolist() == [1, 0]
    with pytest.raises(ValueError, match="joins 2 leaves or more"):
        alone.linkage()


@pytest.mark.parametrize(
    ("parents", "num_leaves", "message"),
    [
        ([3, 2, -1, 4, 3], 2, "Received: a cycle; from node 0 .* 3, 4, 3, 4"),
        ([2, 2, -1, -1], 2, r"has one root.*Received: 2, \[2, 3\]"),
        ([2, 2, 3, 2], 2, "has a root.*a parent for each node"),
        ([2, 0, -1], 2, "have no children. Received: leaf 0 as the parent of node 1"),
        ([3, 3, 3, -1], 2, "none for 1 of them, the first node 2"),
        ([4, 2, -1], 2, "nodes, 0 to 2.*Received: 4 for node 0"),
        ([-2, 2, -1], 2, "Received: -2 for node 0"),
        ([2, 2, -1], 0, "num_leaves=0 for 3 nodes"),
        ([2, 2, -1], 4, "num_leaves=4 for 3 nodes"),
        ([2.0, 2.0, -1.0], 2, "dtype float64"),
        ([[2, 2, -1]], 2, r"shape \(1, 3\)"),
    ],
)
def test_what_is_no_tree(parents, num_leaves, message):
    with pytest.raises(ValueError, match=message):
        Tree(parents, num_leaves)


def test_ids_of_another_length():
    with pytest.raises(ValueError, match=r"each of the 10 nodes.*shape \(6,\)"):
        Tree(PARENTS, 6, ids=np.arange(6))


def test_many_leaves_take_seconds():
    """0.5 s where this was written; what is quadratic takes minutes."""
    started = time.monotonic()
    tree = random_tree(25_000, 3000, 0)
    assert hierarchy.is_valid_linkage(tree.linkage())
    assert tree.to_networkx().number_of_edges() == len(tree) - 1
    assert time.monotonic() - started < 20
