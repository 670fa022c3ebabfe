import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy.datasets import RetrievalDataset

pytestmark = pytest.mark.host

# Six images of four letters in two scripts; the ids given are sparse.
LABELS = np.array([[7, 3], [7, 3], [2, 3], [5, 1], [5, 1], [9, 1]])
NAMES = [[f"letter{i}" for i in range(10)], ["s0", "Greek", "s2", "Latin"]]


@pytest.fixture
def letters():
    images = np.arange(6, dtype="uint8").reshape(6, 1, 1, 1)
    paths = [f"{i}.png" for i in range(6)]
    return RetrievalDataset(
        images, LABELS, NAMES, ("letter", "script"), "letters", paths
    )


def test_ids_become_dense_in_the_order_given_and_keep_their_names(letters):
    np.testing.assert_array_equal(
        letters.labels, [[2, 1], [2, 1], [0, 1], [1, 0], [1, 0], [3, 0]]
    )
    assert letters.labels.dtype == np.int32
    assert letters.class_names[0] == ("letter2", "letter5", "letter7", "letter9")
    assert letters.class_names[1] == ("Greek", "Latin")
    assert (letters.num_classes, letters.num_levels, len(letters)) == (4, 2, 6)


def test_taxonomy_holds_the_coarse_class_of_each_fine_one(letters):
    np.testing.assert_array_equal(letters.taxonomy, [[1], [0], [1], [0]])
    assert letters.taxonomy.dtype == np.int32


def test_taxonomy_of_three_levels_is_finest_first():
    labels = [[0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 1]]
    data = RetrievalDataset(np.zeros((4, 1)), labels)
    np.testing.assert_array_equal(data.taxonomy, [[0, 0], [0, 0], [1, 0], [2, 1]])
    assert data.level_names == ("class", "level1", "level2")


def test_flat_labels_are_one_level_named_by_their_ids():
    data = RetrievalDataset(np.zeros((3, 1)), [4, 4, 8])
    np.testing.assert_array_equal(data.labels, [[0], [0], [1]])
    assert data.class_names == (("4", "8"),)
    assert data.taxonomy.shape == (2, 0)


def test_subset_keeps_images_labels_names_and_paths_together(letters):
    part = letters.subset([5, 0, 1])
    assert part.images.ravel().tolist() == [5, 0, 1]
    assert part.paths == ("5.png", "0.png", "1.png")
    named = [
        tuple(part.class_names[level][i] for level, i in enumerate(row))
        for row in part.labels
    ]
    assert named == [("letter9", "Greek"), ("letter7", "Latin"), ("letter7", "Latin")]
    assert part.level_names == ("letter", "script")


def test_subset_takes_a_mask(letters):
    part = letters.subset(letters.labels[:, 1] == 0)
    assert part.images.ravel().tolist() == [3, 4, 5]


def test_a_subset_may_look_one_hot(letters):
    part = letters.subset([2, 3])  # fine 0 in coarse 1, fine 1 in coarse 0
    assert part.labels.tolist() == [[0, 1], [1, 0]]


def test_select_classes_of_a_level(letters):
    assert letters.select_classes([1], level=1).images.ravel().tolist() == [0, 1, 2]
    assert letters.select_classes([3, 0]).images.ravel().tolist() == [2, 5]


@pytest.mark.parametrize("classes", [[4], [-1], []])
def test_select_classes_refuses_unknown_ids(letters, classes):
    with pytest.raises(ValueError, match=r"ids in \[0, 4\) of level 0 \('letter'\)"):
        letters.select_classes(classes)


@pytest.mark.parametrize("level", [0, 1])
def test_split_covers_everything_with_disjoint_classes(level):
    labels = np.stack([np.arange(120) // 3, np.arange(120) // 12], axis=1)
    data = RetrievalDataset(np.arange(120), labels)
    splits = data.split(validation=0.2, test=0.3, seed=1, level=level)
    parts = [splits.train, splits.validation, splits.test]
    assert sorted(np.concatenate([part.images for part in parts])) == list(range(120))
    names = [set(part.class_names[level]) for part in parts]
    assert [len(part) for part in names] == ([20, 8, 12] if level == 0 else [5, 2, 3])
    assert len(set.union(*names)) == sum(map(len, names))
    assert splits.validation.name == "dataset/validation"


def test_split_is_a_function_of_the_seed():
    data = RetrievalDataset(np.zeros(60), np.arange(60) // 2)
    names = [data.split(seed=seed).test.class_names for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


def test_a_share_of_zero_gives_no_set():
    data = RetrievalDataset(np.zeros(8), np.arange(8) // 2)
    with pytest.warns(UserWarning, match="single class.*validation=0.01"):
        splits = data.split(validation=0.01, test=0)
    assert splits.test is None
    assert splits.validation.num_classes == 1
    assert splits.train.num_classes == 3


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (-0.1, 0.2), (1, 0)])
def test_split_refuses_to_leave_no_training_class(validation, test):
    data = RetrievalDataset(np.zeros(8), np.arange(8) // 2)
    with pytest.raises(ValueError, match="of 4 classes .* leave no training class"):
        data.split(validation, test)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0.0, 1.0, 1.0]), "integer class ids. Received dtype float"),
        (np.array([True, False, True]), "Received dtype bool"),
        (np.array(["a", "b", "b"]), "Received dtype <U1"),
        (np.eye(3), "argmax"),
        (np.eye(3, dtype=int), "look one-hot: pass `labels.argmax"),
        ([0, -2, 1], r"0 or more.* -1 .*Received labels\[1, 0\] = -2"),
        ([0, 1], "2 rows of labels and 3 images"),
        ([[0, 0], [0, 1], [1, 1]], "class '0' in both level1 '0' and '1'"),
        (np.zeros((3, 1, 1), int), r"Received shape \(3, 1, 1\)"),
        ([-1, -1, -1], "must hold a class"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        RetrievalDataset(np.zeros((3, 2, 2, 1), "uint8"), labels)


def test_not_nested_names_the_class():
    labels = [[0, 0], [1, 1], [0, 1]]
    with pytest.raises(ValueError, match="letter 'a' in both script 'Y' and 'Z'"):
        RetrievalDataset(
            np.zeros(3), labels, [["a", "b"], ["Y", "Z"]], ("letter", "script")
        )


def test_no_images():
    with pytest.raises(ValueError, match="at least one row"):
        RetrievalDataset(np.zeros((0, 8, 8, 1), "uint8"), np.zeros(0, int))


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("class_names", [["a"], ["b"]], "1 names, and the id 1"),
        ("class_names", [["a", "b"]], "each of the 2 label levels. Received 1"),
        ("level_names", ["letter"], "each of the 2 label levels. Received 1"),
        ("paths", ["x"], "each of the 2 images. Received 1"),
    ],
)
def test_names_that_do_not_fit(argument, value, message):
    with pytest.raises(ValueError, match=message):
        RetrievalDataset(np.zeros(2), [[0, 0], [1, 0]], **{argument: value})


def test_images_of_different_shapes():
    images = np.empty(2, object)
    images[:] = [np.zeros((2, 2)), np.zeros((3, 3))]
    with pytest.raises(ValueError, match="different shapes"):
        RetrievalDataset(images, [0, 1])


def test_queries_and_gallery():
    labels, points = [0, 1, 0, 1, 2], np.arange(10).reshape(5, 2)
    is_query = np.array([True, False, False, True, False])
    data = RetrievalDataset(np.zeros(5), labels, is_query=is_query)
    assert data.gallery_size == 3
    arguments = data.retrieval_arguments(points)
    assert {name: value.tolist() for name, value in arguments.items()} == {
        "queries": [[0, 1], [6, 7]],
        "query_labels": [[0], [1]],
        "gallery": [[2, 3], [4, 5], [8, 9]],
        "gallery_labels": [[1], [0], [2]],
    }
    assert data.subset([3, 1]).is_query.tolist() == [True, False]
    # A gallery that no query is left for is no task.
    with pytest.raises(ValueError, match="0 queries of 2 images"):
        data.subset([1, 2])


def test_every_image_is_a_query_by_default():
    data = RetrievalDataset(np.zeros(3), [0, 0, 1])
    assert data.is_query is None and data.gallery_size == 2
    assert set(data.retrieval_arguments(np.eye(3))) == {"queries", "query_labels"}


@pytest.mark.parametrize(
    ("is_query", "message"),
    [
        ([0, 1, 1], r"bool array of shape \(3,\).*int64"),
        ([True, False], r"bool of shape \(2,\)"),
        ([True, True, True], "3 queries of 3 images.*pass None"),
    ],
)
def test_bad_queries(is_query, message):
    with pytest.raises(ValueError, match=message):
        RetrievalDataset(np.zeros(3), [0, 0, 1], is_query=is_query)


def test_groups_of_queries_and_gallery():
    is_query = np.array([True, False, False, True, False])
    groups = ["b", "a", "b", "", "b"]
    data = RetrievalDataset(
        np.zeros(5), [0, 1, 0, 1, 2], is_query=is_query, groups=groups
    )
    assert data.groups.tolist() == [1, 0, 1, -1, 1]
    arguments = data.retrieval_arguments(np.eye(5))
    assert arguments["groups"].tolist() == [1, -1]
    assert arguments["gallery_groups"].tolist() == [0, 1, 1]
    numbers = RetrievalDataset(np.zeros(3), [0, 0, 1], groups=[10**12, -1, 5])
    assert (numbers.groups == -1).tolist() == [False, True, False]


def test_distractors():
    """They have no class, no name and no place in the taxonomy."""
    labels = [[3, 1], [-1, -1], [3, 1], [-1, 0], [0, 0]]
    names = [["a", "b", "c", "d"], ["Y", "Z"]]
    data = RetrievalDataset(np.arange(5), labels, names)
    assert data.labels.tolist() == [[1, 1], [-1, -1], [1, 1], [-1, 0], [0, 0]]
    assert data.class_names == (("a", "d"), ("Y", "Z")) and data.num_classes == 2
    assert data.taxonomy.tolist() == [[0], [1]]
    assert data.subset([1, 2, 0]).labels.tolist() == [[-1, -1], [0, 0], [0, 0]]
    assert data.select_classes([0], level=1).labels.tolist() == [[-1, 0], [0, 0]]
    with pytest.raises(ValueError, match="2 of 5 images have no class.*data.subset"):
        data.batches(2)
    labels = np.append(np.arange(8) // 2, [-1, -1])
    with pytest.warns(UserWarning, match="2 images of 'dataset' have no class"):
        splits = RetrievalDataset(np.arange(10), labels).split(0.5, 0)
    assert len(splits.train) + len(splits.validation) == 8


def test_queries_without_a_class_in_the_gallery():
    is_query = np.array([True, True, False, False])
    with pytest.raises(ValueError, match=r"No query .*\['0'\].*gallery of \['1'\]"):
        RetrievalDataset(np.zeros(4), [0, 0, 1, 1], is_query=is_query)
    with pytest.raises(ValueError, match="No query"):
        RetrievalDataset(np.zeros(4), [0, 0, -1, -1], is_query=is_query)
    with pytest.raises(ValueError, match="No query"):
        RetrievalDataset(np.zeros(4), [-1, -1, 0, 0], is_query=is_query)
    labels = [[0, 0], [0, 0], [1, 0], [2, 1]]
    with pytest.warns(UserWarning, match="share super-classes alone"):
        RetrievalDataset(np.zeros(4), labels, is_query=is_query)


def test_two_classes_with_names_are_not_taken_for_one_hot(recwarn):
    # Of two classes, each alone in its coarser one, ids are [0, 1] and [1, 0].
    data = RetrievalDataset(
        np.zeros((4, 8, 8, 1), "uint8"),
        [[0, 1], [0, 1], [1, 0], [1, 0]],
        class_names=[["round", "square"], ["boat", "house"]],
    )
    results = khp.retrieval.evaluate(**data.retrieval_arguments(np.eye(4)), k=1)
    assert set(results) >= {"recall@1", "level1_recall@1"}
    assert not recwarn.list
