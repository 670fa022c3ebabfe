"""Trees: what a hierarchy of proxies looks like once it is learned."""

import numpy as np


class Tree:
    """A rooted tree over classes or data points, as plain arrays.

    Nodes are numbered: 0 to `num_leaves - 1` are the leaves, all others inner nodes.
    `khp.layers.HierProxies.tree` and `khp.layers.LatentHierarchy.tree` return theirs.

    Args:
        parents: int array `(n,)`, the parent of each node; -1 for the root.
        num_leaves: int.
        ids: int array `(n,)`, what each node is called where the tree comes from:
            the class or row of a leaf, the proxy of an inner node. By default the
            node's own number.

    Attributes:
        parents, num_leaves, ids: as given.
        root: int, the node without a parent.
        children: list of n int arrays.
        depth: int array `(n,)`, how many ancestors a node has.
        order: int array `(n,)`, all nodes, each after its parent.

    Raises:
        ValueError: if that is no tree, a leaf is a parent, or an inner node is none.

    Example:

    >>> # Cat (0) and dog (1) are animals (4), rose (2) and oak (3) plants (5).
    >>> tree = khp.trees.Tree([4, 4, 5, 5, 6, 6, -1], num_leaves=4)
    >>> tree.ancestors(0).tolist(), tree.leaves(5).tolist()
    ([4, 6], [2, 3])
    >>> tree.lowest_common_ancestor(0, 1), tree.lowest_common_ancestor(0, 2)
    (4, 6)
    >>> tree.linkage()  # For scipy.cluster.hierarchy.
    array([[0., 1., 1., 2.],
           [2., 3., 1., 2.],
           [4., 5., 2., 4.]])
    """

    def __init__(self, parents, num_leaves, ids=None):
        self.parents = _check_parents(parents, num_leaves)
        self.num_leaves = int(num_leaves)
        self.ids = np.arange(len(self.parents)) if ids is None else np.asarray(ids)
        if self.ids.shape != self.parents.shape:
            raise ValueError(
                f"`ids` must name each of the {len(self.parents)} nodes. Received: "
                f"shape {self.ids.shape}."
            )
        by_parent = np.argsort(self.parents, kind="stable")
        counts = np.bincount(self.parents + 1, minlength=len(self.parents) + 1)
        # The first part holds the children of -1, which is the root alone.
        self.children = np.split(by_parent, np.cumsum(counts)[:-1])[1:]
        self.root = int(by_parent[0])
        self.depth = np.zeros_like(self.parents)
        self.order = self._walk_down()

    def __len__(self):
        return len(self.parents)

    def __repr__(self):
        inner = len(self) - self.num_leaves
        return (
            f"<Tree of {self.num_leaves} leaves under {inner} inner nodes, depth "
            f"{self.depth.max()}>"
        )

    def ancestors(self, node):
        """The nodes above a node, from its parent to the root, an int array."""
        path = []
        while (node := self.parents[node]) >= 0:
            path.append(node)
        return np.array(path, dtype=int)

    def leaves(self, node):
        """The leaves below a node, ascending, an int array; a leaf is its own."""
        found, waiting = [], [node]
        while waiting:
            node = waiting.pop()
            if node < self.num_leaves:
                found.append(node)
            waiting.extend(self.children[node])
        return np.sort(np.array(found, dtype=int))

    def lowest_common_ancestor(self, a, b):
        """The deepest node that is, or is above, both of two nodes."""
        while a != b:
            if self.depth[a] < self.depth[b]:
                a, b = b, a
            a = self.parents[a]
        return int(a)

    def sizes(self):
        """How many leaves each node has below itself, int `(n,)`; 1 for a leaf."""
        sizes = (np.arange(len(self)) < self.num_leaves).astype(int)
        for node in self.order[:0:-1]:
            sizes[self.parents[node]] += sizes[node]
        return sizes

    def heights(self, values=None):
        """A height for each node, 0 for leaves and never above the parent's.

        Args:
            values: float array `(n,)` of heights to start from; where a node is
                lower than one below it, it is raised to that. By default the number
                of levels between a node and its deepest leaf.

        Returns:
            Float array `(n,)`.
        """
        step = 1.0 if values is None else 0.0
        heights = np.zeros(len(self))
        if values is not None:
            if np.shape(values) != heights.shape:
                raise ValueError(
                    f"Heights are needed for each of the {len(self)} nodes. Received: "
                    f"shape {np.shape(values)}."
                )
            heights[self.num_leaves :] = values[self.num_leaves :]
        for node in self.order[:0:-1]:
            parent = self.parents[node]
            heights[parent] = max(heights[parent], heights[node] + step)
        return heights

    def linkage(self, heights=None):
        """The tree as scipy's hierarchical clustering has it.

        scipy merges two clusters at a time: an inner node of several children becomes
        several merges of one height, one of a single child none.

        Args:
            heights: float array `(n,)`, as in `heights`; those of leaves count as 0.

        Returns:
            Float array `(num_leaves - 1, 4)`, for `scipy.cluster.hierarchy`:
            `dendrogram`, `fcluster`, `cophenet`.

        Raises:
            ValueError: if there is only one leaf.
        """
        if self.num_leaves < 2:
            raise ValueError(
                "A linkage joins 2 leaves or more. Received: a single one."
            )
        heights = self.heights(heights)
        clusters = np.arange(len(self))
        counts = [1] * self.num_leaves
        rows = []

        def merge(pair, height):
            if len(pair) == 1:
                return pair[0]
            counts.append(counts[pair[0]] + counts[pair[1]])
            rows.append([*pair, height, counts[-1]])
            return len(counts) - 1

        inner = np.arange(self.num_leaves, len(self))
        # Where heights agree, what is below comes first.
        for node in inner[np.lexsort((-self.depth[inner], heights[inner]))]:
            parts = clusters[self.children[node]].tolist()
            # Neighbours pairwise, not one to all before it: scipy draws a linkage by
            # recursion, which a chain of a thousand merges would exhaust.
            while len(parts) > 1:
                pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
                parts = [merge(pair, heights[node]) for pair in pairs]
            clusters[node] = parts[0]
        return np.array(rows, dtype=float)

    def to_networkx(self):
        """The tree as a `networkx.DiGraph`, with an edge from each parent to each of
        its children, and `id` and `leaf` (bool) as attributes of nodes.

        Raises:
            ImportError: networkx is not installed.
        """
        try:
            import networkx
        except ImportError as error:
            raise ImportError(
                "to_networkx needs networkx: pip install 'keras-hierproxy[graphs]'. "
                "`linkage` and the attributes of a tree do without."
            ) from error

        graph = networkx.DiGraph()
        for node, name in enumerate(self.ids.tolist()):
            graph.add_node(node, id=name, leaf=node < self.num_leaves)
        below = np.flatnonzero(self.parents >= 0)
        graph.add_edges_from(
            zip(self.parents[below].tolist(), below.tolist(), strict=True)
        )
        return graph

    def restrict(self, leaves):
        """The tree over some of the leaves: these, and their ancestors.

        Args:
            leaves: int array `(m,)`, distinct.

        Returns:
            A `Tree` of m leaves in ascending order; nodes keep their `ids`.
        """
        kept, parents = pruned(self.parents, np.sort(leaves))
        return Tree(parents, len(leaves), self.ids[kept])

    def _walk_down(self):
        """All nodes, each after its parent; fills in the depths on its way."""
        order = [self.root]
        for node in order:
            self.depth[self.children[node]] = self.depth[node] + 1
            order.extend(self.children[node].tolist())
        missed = np.setdiff1d(np.arange(len(self)), order)
        if len(missed):
            raise ValueError(
                "`parents` must lead from each node to the root. Received: a cycle; "
                f"from node {missed[0]} the path goes on over "
                f"{self._path(missed[0])} ..."
            )
        return np.array(order)

    def _path(self, node, length=4):
        path = []
        for _ in range(length):
            node = self.parents[node]
            path.append(int(node))
        return ", ".join(map(str, path))


def pruned(parents, leaves):
    """Leaves out what is not an ancestor of the given nodes.

    Args:
        parents: int array `(n,)`, -1 where a node has none.
        leaves: int array `(m,)`, the nodes to keep with their ancestors.

    Returns:
        `(kept, parents)`: the nodes kept, first the leaves in the order given, then
        the others ascending; and their parents, renumbered in this order.

    Example:

    >>> # Of two leaves (0, 1) under 2 and one leaf (3) under 4, keep the first.
    >>> kept, parents = khp.trees.pruned([2, 2, -1, 4, -1], [0])
    >>> kept.tolist(), parents.tolist()
    ([0, 2], [1, -1])
    """
    parents = np.asarray(parents)
    above = np.zeros(len(parents), dtype=bool)
    new = np.unique(parents[leaves])
    while len(new := new[new >= 0]):
        above[new] = True
        new = np.unique(parents[new])
        new = new[~above[new] | (new < 0)]
    kept = np.concatenate([leaves, np.flatnonzero(above)]).astype(int)
    # One entry more, for the parent -1.
    renumbered = np.full(len(parents) + 1, -1)
    renumbered[kept] = np.arange(len(kept))
    return kept, renumbered[parents[kept]]


def _check_parents(parents, num_leaves):
    array = np.asarray(parents)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            "`parents` must be an int array (nodes,), the parent of each node and -1 "
            f"for the root. Received: shape {array.shape}, dtype {array.dtype}."
        )
    if not 1 <= num_leaves <= len(array):
        raise ValueError(
            "`num_leaves` says how many of the nodes, the first ones, are leaves: at "
            f"least 1, at most all. Received: num_leaves={num_leaves} for "
            f"{len(array)} nodes."
        )
    wrong = np.flatnonzero((array < -1) | (array >= len(array)))
    if len(wrong):
        raise ValueError(
            f"`parents` must be nodes, 0 to {len(array) - 1}, or -1 for the root. "
            f"Received: {array[wrong[0]]} for node {wrong[0]}."
        )
    roots = np.flatnonzero(array == -1)
    if len(roots) > 1:
        raise ValueError(
            "A tree has one root, a node of parent -1. Received: "
            f"{len(roots)}, {roots[:4].tolist()}. Put one more node above them."
        )
    if not len(roots):
        raise ValueError(
            "A tree has a root, a node of parent -1. Received: a parent for each node."
        )
    is_parent = np.zeros(len(array), dtype=bool)
    is_parent[array[array >= 0]] = True
    above = np.flatnonzero(is_parent[:num_leaves])
    if len(above):
        raise ValueError(
            f"The first num_leaves={num_leaves} nodes are leaves and have no children. "
            f"Received: leaf {above[0]} as the parent of node "
            f"{np.flatnonzero(array == above[0])[0]}. Number inner nodes after leaves."
        )
    childless = num_leaves + np.flatnonzero(~is_parent[num_leaves:])
    if len(childless):
        raise ValueError(
            "An inner node has children. Received: none for "
            f"{len(childless)} of them, the first node {childless[0]}. Leave them out "
            "with `khp.trees.pruned`."
        )
    return array.astype(int)
