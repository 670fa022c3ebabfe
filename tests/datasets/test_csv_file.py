import numpy as np
import pytest

from keras_hierproxy.datasets import ImageFiles, from_csv
from tests.official_layouts import color, write_jpeg

pytestmark = pytest.mark.host

# Variety, fruit.
CLASSES = (
    ("gala", "apple"),
    ("fuji", "apple"),
    ("anjou", "pear"),
    ("conference", "pear"),
)


@pytest.fixture
def folder(tmp_path):
    """Three images of each class, `photos/gala0.jpg` and so on."""
    for i, (variety, _) in enumerate(CLASSES):
        for j in range(3):
            write_jpeg(tmp_path / "photos" / f"{variety}{j}.jpg", i)
    return tmp_path


def write(folder, splits=None, header="path,variety,fruit", name="items.csv"):
    """A CSV file; `splits` says that of each of the images of each class."""
    lines = [header + (",split" if splits else "")]
    for i, (variety, fruit) in enumerate(CLASSES):
        for j in range(3):
            line = f"photos/{variety}{j}.jpg,{variety},{fruit}"
            lines.append(line + (f",{splits[i][j]}" if splits else ""))
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path, **options):
    return from_csv(path, **{"image_size": 8} | options)


def rows(*splits):
    return [[split] * 3 for split in splits]


@pytest.mark.parametrize("memory_limit", [0, 2**30], ids=["lazy", "in memory"])
def test_one_data_set(folder, memory_limit):
    data = read(write(folder), split=None, memory_limit=memory_limit)
    assert isinstance(data.images, ImageFiles) == (memory_limit == 0)
    assert data.level_names == ("variety", "fruit") and data.name == "items"
    assert data.class_names == (
        ("anjou", "conference", "fuji", "gala"),
        ("apple", "pear"),
    )
    assert data.taxonomy.tolist() == [[1], [1], [0], [0]]
    assert data.paths[0] == str(folder / "photos" / "gala0.jpg")
    for image, label in zip(data.images[:], data.labels[:, 0], strict=True):
        names = [variety for variety, _ in CLASSES]
        expected = color(names.index(data.class_names[0][label]))
        assert abs(image[4, 4].astype(int) - expected).max() < 4


def test_without_a_column_split_classes_are_drawn(folder):
    data = read(write(folder), split=(0.25, 0.25))
    sizes = [len(part) for part in (data.train, data.validation, data.test)]
    assert sizes == [6, 3, 3]
    names = data.train.class_names[0] + data.test.class_names[0]
    assert len(set(names + data.validation.class_names[0])) == 4


def test_the_column_split_has_the_say(folder):
    data = read(write(folder, rows("train", "validation", "test", "train")))
    assert data.train.class_names[0] == ("conference", "gala")
    assert data.validation.class_names[0] == ("fuji",)
    assert data.test.class_names == (("anjou",), ("pear",))
    assert data.test.name == "items/test" and data.test.is_query is None


def test_query_and_gallery(folder):
    splits = [["train"] * 3] * 2 + [["query", "gallery", "gallery"]] * 2
    data = read(write(folder, splits), split=(0.5, 0))
    assert data.test.is_query.tolist() == [True, False, False] * 2
    assert data.test.class_names[0] == ("anjou", "conference")
    assert data.train.is_query is None
    # None is of validation, so one of the two training classes becomes it.
    assert (data.train.num_classes, data.validation.num_classes) == (1, 1)


def test_no_lines_of_a_split(folder):
    path = write(folder, rows(*["train"] * 4))
    data = read(path, split=(0, 0))
    assert data.validation is None and data.test is None and len(data.train) == 12
    assert len(read(path, split=None)) == 12
    path = write(folder, rows(*["test"] * 4))
    with pytest.raises(ValueError, match=r"no line of the split 'train'.*\['test'\]"):
        read(path)


def test_split_none_is_one_data_set_of_all_lines(folder):
    splits = [["train", "query", "gallery"]] * 4
    data = read(write(folder, splits), split=None)
    assert len(data) == 12 and data.is_query is None
    assert data.level_names == ("variety", "fruit")


def test_one_level_and_columns_in_any_order(folder):
    path = folder / "a.csv"
    path.write_text(
        "split,kind,path\ntrain,x,photos/gala0.jpg\ntest,y,photos/fuji0.jpg"
    )
    data = read(path, split=(0, 0))
    assert data.train.level_names == ("kind",)
    assert data.test.class_names == (("y",),)


def test_root_and_absolute_paths(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    path = write(tmp_path, name="elsewhere/items.csv")
    with pytest.raises(
        FileNotFoundError, match="12 of the 12 images .*elsewhere/photos"
    ):
        read(path)
    assert len(read(path, root=folder, split=None)) == 12
    path.write_text(f"path,x\n{folder}/photos/gala0.jpg,1\n")
    assert len(read(path, split=None)) == 1


def test_quotes_byte_order_mark_and_blank_lines(folder):
    path = folder / "a.csv"
    path.write_bytes(
        b'\xef\xbb\xbfpath,name\r\n\r\n"photos/gala0.jpg","Gala, ""red"""\r\n'
        b"photos/fuji0.jpg, 007\r\n\r\n"
    )
    assert read(path, split=None).class_names == (("007", 'Gala, "red"'),)


def test_the_same_seed_the_same_split(folder):
    path = write(folder)
    held_out = {read(path, seed=s).test.class_names[0] for s in (0, 0, 1, 2, 3)}
    assert 1 < len(held_out) < 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("path,", "file,", "must name the columns: 'path'.*Received: .'file'"),
        ("variety,fruit", "fruit,fruit", "the first line must name the columns"),
        (",split", ",", "the first line must name"),
        (",variety,fruit,split", "", "the first line must name the columns"),
        ("gala1.jpg,gala,", "gala1.jpg,", r"line 3: expected 4 columns \(path, vari"),
        ("gala1.jpg,gala,", "gala1.jpg,,", "line 3: nothing in the column 'variety'"),
        ("gala1.jpg,", "gala0.jpg,", "line 3: photos/gala0.jpg is already in line 2"),
        ("pear,test", "pear,tset", "line 8: split must be one of .* Received: 'tset'"),
        ("pear,test", "pear,query", "lines of the split 'test' and of 'query' or"),
        (
            "gala1.jpg,gala,apple",
            "gala1.jpg,gala,pear",
            "nested.*variety 'gala' in both",
        ),
        ("fuji0", "lost", "1 of the 12 images .*items.csv lists .*photos/lost.jpg"),
        ("gala,apple", 'ga"la,apple', None),
        ("gala,apple", '"gala"x,apple', "items.csv is not a CSV file"),
    ],
)
def test_a_stray_line_is_named(folder, old, new, message):
    path = write(folder, rows("train", "validation", "test", "train"))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    if message is None:
        assert 'ga"la' in read(path).train.class_names[0]
        return
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read(path)


def test_files_that_are_no_tables(folder):
    path = folder / "a.csv"
    with pytest.raises(FileNotFoundError, match="There is no file .*a.csv"):
        read(path)
    path.write_bytes(b"path,x\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="a.csv is not a CSV file in UTF-8"):
        read(path)
    path.write_text("")
    with pytest.raises(ValueError, match=r"must name the columns.*Received: \[\]"):
        read(path)
    path.write_text("path,x\n")
    with pytest.raises(ValueError, match="a.csv lists no images"):
        read(path)


def test_a_corrupt_image_is_named_or_left_out(folder):
    path = write(folder, rows("train", "train", "test", "test"))
    (folder / "photos" / "anjou1.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="anjou1.jpg is not a readable image"):
        read(path)
    with pytest.warns(UserWarning, match="Skipped 1 of 12"):
        data = read(path, skip_bad=True)
    assert len(data.test) == 5 and len(data.train) + len(data.validation) == 6
    for name in ("anjou0", "anjou2", *(f"conference{j}" for j in range(3))):
        (folder / "photos" / f"{name}.jpg").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="Skipped 6 of 12"),
        pytest.raises(ValueError, match="'items/test' has no image that can be read"),
    ):
        read(path, skip_bad=True)


def test_shares_are_two(folder):
    with pytest.raises(ValueError, match=r"split must be two shares .* Received: 0.3"):
        read(write(folder), split=0.3)


def test_sizes_and_colours(folder):
    images = read(write(folder), split=None, image_size=(8, 10), color_mode="grayscale")
    assert images.images.shape == (12, 8, 10, 1)
    assert images.images.dtype == np.uint8


def test_groups(folder):
    """One that is bad takes its group along; an empty cell is of no group."""
    write(folder)
    lines = (folder / "items.csv").read_text().splitlines()
    groups = ["group", *("clip1", "clip1", "") * 3, "clip2", "clip2", "clip3"]
    pairs = zip(lines, groups, strict=True)
    text = "".join(f"{line},{group}\n" for line, group in pairs)
    (folder / "items.csv").write_text(text)
    (folder / "photos" / "gala0.jpg").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 12|1 image"):
        data = read(folder / "items.csv", split=None, skip_bad=True)
    assert data.level_names == ("variety", "fruit")
    assert data.groups.tolist() == [0, -1, 0, 0, -1, 0, 0, -1, 1, 1, 2]
    assert data.subset(data.groups >= 0).groups.min() == 0
    assert data.subset([10, 9]).groups.tolist() == [1, 0]
    arguments = data.retrieval_arguments(np.eye(11))
    assert (arguments["groups"] == data.groups).all()
    parts = read(folder / "items.csv", skip_bad=True, split=(0.25, 0.25))
    for part in (parts.train, parts.validation, parts.test):
        assert len(part.groups) == len(part)


@pytest.mark.parametrize(
    ("separator", "encoding", "message"),
    [
        (";", "utf-8", "divided by commas, and here they are by semicolons"),
        (";", "utf-8-sig", "by semicolons"),
        (";", "cp1252", "by semicolons"),
        ("\t", "utf-8", "by tabs"),
        ("\t", "utf-16", "is in UTF-16. Save it as CSV with UTF-8"),
        (",", "utf-16", "is in UTF-16"),
    ],
)
def test_what_spreadsheets_write_is_named(folder, separator, encoding, message):
    path = write(folder)
    text = path.read_text().replace(",", separator).replace("apple", "äpfel")
    path.write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=message):
        read(path)


def test_the_case_of_path_matters(folder):
    with pytest.raises(ValueError, match="Did you mean 'path'"):
        read(write(folder, header="Path,variety,fruit"))


def test_rows_of_empty_cells_and_backslashes_are_as_if_they_were_not(folder):
    path = write(folder)
    text = path.read_text().replace("photos/", "photos\\") + ",,\n,,\n"
    path.write_text(text)
    assert read(path, split=None).paths[0] == str(folder / "photos" / "gala0.jpg")


def test_a_backslash_may_be_the_name_of_the_file(folder):
    path = write(folder)
    write_jpeg(folder / "photos\\gala0.jpg", 3)
    path.write_text(path.read_text().replace("photos/gala0", "photos\\gala0"))
    assert read(path, split=None).paths[0] == str(folder / "photos\\gala0.jpg")
