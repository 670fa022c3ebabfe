"""Small folders in the official layouts of data sets, with made-up images.

For dry runs, which try a run before its data is there, and for the tests. Each function
writes some classes, `images_per_class` images of each, by `save(path, i)`, i being the
class, and returns the folder with the official files. The last of the classes are for
the test.
"""

import json

import numpy as np
from PIL import Image, ImageDraw

# Folders of items.
IN_SHOP = (
    ("WOMEN/Dresses/id_00000002",),
    ("WOMEN/Blouses_Shirts/id_00000004",),
    ("MEN/Denim/id_00000080",),
    ("MEN/Denim/id_00000003",),
    ("WOMEN/Dresses/id_00000001",),
    ("MEN/Shorts/id_00000007",),
)
# Fine class, coarse class, department.
GROCERIES = (
    ("Golden-Delicious", "Apple", "Fruit"),
    ("Granny-Smith", "Apple", "Fruit"),
    ("Banana", "Banana", "Fruit"),
    ("Bravo-Apple-Juice", "Juice", "Packages"),
    ("Arla-Standard-Milk", "Milk", "Packages"),
    ("Brown-Cap-Mushroom", "Mushroom", "Vegetables"),
)
# Article type, sub-category, master category: for training, validation, the test.
FASHION = {
    "train": ("Handbags", "Bags", "Accessories"),
    "validation": ("Tops", "Topwear", "Apparel"),
    "test": ("Jeans", "Bottomwear", "Apparel"),
}
# Kingdom, phylum, class, order, family, genus, name. Two genera are homonyms.
SPECIES = (
    ("Animalia", "Mollusca", "Gastropoda", "Nudibranchia", "Corambidae", "Loy", "a"),
    ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Corvus", "corax"),
    ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Corvus", "corone"),
    ("Plantae", "Tracheophyta", "Lilio", "Poales", "Poaceae", "Loy", "b"),
    ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Pica", "pica"),
    ("Plantae", "Tracheophyta", "Lilio", "Poales", "Poaceae", "Poa", "annua"),
)
# Characters of the alphabets in `images_background_small1`.
ALPHABETS = {
    "Korean": 40,
    "Latin": 26,
    "Greek": 24,
    "Balinese": 24,
    "Early_Aramaic": 22,
}
CAR_FIELDS = (
    *("relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
    *("class", "test"),
)


def color(i):
    """That of the images of the i-th class, different for six."""
    return (40 * i % 256, 255 - 40 * i % 256, 100)


def save_color(path, i=0, side=12):
    """Writes an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), color(i)).save(path, quality=95)


def save_noise(path, i=0, side=256):
    """Writes an image of random pixels, always the same under a path's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([i, *path.name.encode()])
    pixels = rng.integers(0, 256, (side // 8, side // 8, 3), "uint8")
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(path)


def write_lines(path, *lines):
    """Writes a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_cub(root, num_classes=6, images_per_class=3, save=save_color):
    """CUB-200-2011; half of the classes are for the test."""
    folder = root / "CUB_200_2011"
    names = [f"{i + 1:03}.Bird_{i}" for i in range(num_classes)]
    images, labels = [], []
    for i, name in enumerate(names):
        for j in range(images_per_class):
            images.append(f"{len(images) + 1} {name}/Bird_{i}_{j:04}.jpg")
            labels.append(f"{len(images)} {i + 1}")
            save(folder / "images" / name / f"Bird_{i}_{j:04}.jpg", i)
    write_lines(folder / "images.txt", *images)
    write_lines(folder / "image_class_labels.txt", *labels)
    write_lines(folder / "classes.txt", *(f"{i + 1} {n}" for i, n in enumerate(names)))
    return folder


def struct_array(fields, rows):
    """What MATLAB saves for a struct array: 1 x N, each field an array of its own."""
    array = np.empty((1, len(rows)), [(name, object) for name in fields])
    for i, row in enumerate(rows):
        array[0, i] = row
    return array


def cell_array(values):
    """What MATLAB saves for a cell array: 1 x N."""
    cells = np.empty((1, len(values)), object)
    cells[0, :] = values
    return cells


def write_cars(root, num_classes=6, images_per_class=3, save=save_color):
    """Cars-196, as `cars_annos.mat` and `car_ims`; half are for the test."""
    from scipy.io import savemat

    rows = []
    for i in range(num_classes):
        for _ in range(images_per_class):
            path = f"car_ims/{len(rows) + 1:06}.jpg"
            save(root / path, i)
            rows.append((path, 1, 2, 11, 12, i + 1, 0))
    names = [f"Make Model {i} 2012" for i in range(num_classes)]
    savemat(
        root / "cars_annos.mat",
        {
            "annotations": struct_array(CAR_FIELDS, rows),
            "class_names": cell_array(names),
        },
    )
    return root


def write_sop(root, num_classes=6, images_per_class=3, save=save_color):
    """Stanford Online Products; a third of the classes are for the test."""
    folder = root / "Stanford_Online_Products"
    for split, classes in _two_thirds(range(num_classes)):
        lines = ["image_id class_id super_class_id path"]
        for i in classes:
            category = ("bicycle", "cabinet")[i % 2]
            for j in range(images_per_class):
                path = f"{category}_final/11108512287{i}_{j}.JPG"
                number = i * images_per_class + j + 1
                lines.append(f"{number} {i + 1} {i % 2 + 1} {path}")
                save(folder / path, i)
        write_lines(folder / f"Ebay_{split}.txt", *lines)
    return folder


def write_in_shop(root, num_classes=6, images_per_class=3, save=save_color):
    """In-Shop Clothes Retrieval; a third of the items are for the test."""
    folder = root / "In-shop Clothes Retrieval Benchmark"
    lines = []
    items = _more_of(IN_SHOP, num_classes, renamed=0)
    splits = {i: split for split, part in _two_thirds(range(num_classes)) for i in part}
    for i, (item,) in enumerate(items):
        for j in range(images_per_class):
            path = f"img/{item}/0{j}_1_front.jpg"
            status = "query" if j == 0 else "gallery"
            status = status if splits[i] == "test" else "train"
            # Columns are padded with blanks, lines end in blanks.
            lines.append(f"{path:<70} {item.split('/')[-1]} {status:<10}")
            save(folder / "Img" / path, i)
    write_lines(
        folder / "Eval" / "list_eval_partition.txt",
        len(lines),
        "image_name item_id evaluation_status",
        *lines,
    )
    return folder


def write_inaturalist(root, num_classes=6, images_per_class=3, save=save_color):
    """iNaturalist-2018; a third of the species are for the test."""
    folder = root / "Inaturalist"
    ranks = ("kingdom", "phylum", "class", "order", "family", "genus", "name")
    known = _more_of(SPECIES, num_classes, renamed=-1)
    categories = [
        {"id": i, "supercategory": "x", **dict(zip(ranks, species, strict=True))}
        for i, species in enumerate(known)
    ]
    for split, classes in _two_thirds(range(num_classes)):
        lines = []
        for i in classes:
            for j in range(images_per_class):
                lines.append(f"train_val2018/{known[i][0]}/{i}/{i}{j}ab.jpg")
                save(folder / lines[-1], i)
        name = f"Inaturalist_{split}_set1.txt"
        write_lines(folder / "Inat_dataset_splits" / name, *lines)
    (folder / "train2018.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": categories})
    )
    return folder


def write_grocery_store(root, num_classes=6, images_per_class=3, save=save_color):
    """Grocery Store; every class is in the splits `train` and `test`, two in `val`."""
    folder = root / "GroceryStoreDataset" / "dataset"
    groceries = _more_of(GROCERIES, num_classes, renamed=0)
    coarse = list(dict.fromkeys(group for _, group, _ in groceries))
    lines = [
        "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),"
        "Iconic Image Path (str),Product Description Path (str)"
    ]
    for i, (fine, group, _) in enumerate(groceries):
        lines.append(f"{fine},{i},{group},{coarse.index(group)},/a_Iconic.jpg,/a.txt")
    write_lines(folder / "classes.csv", *lines)
    every = range(num_classes)
    for split, classes in (("train", every), ("val", (1, 3)), ("test", every)):
        lines = []
        for i in classes:
            fine, group, department = groceries[i]
            for j in range(images_per_class):
                path = f"{split}/{department}/{group}/{fine}/{fine}_{j:03}.jpg"
                lines.append(f"{path}, {i}, {coarse.index(group)}")
                save(folder / path, i)
        write_lines(folder / f"{split}.txt", *lines)
    return folder


def write_fashion_products(root, num_classes=6, images_per_class=3, save=save_color):
    """Fashion Product Images: article types, of which each color is a class."""
    folder = root / "fashion-dataset"
    lines = [
        "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage"
    ]
    half = max(1, num_classes // 6)
    for i in range(num_classes):
        part = "train" if i < num_classes - 2 * half else "validation"
        part = "test" if i >= num_classes - half else part
        article, category, master = FASHION[part]
        for j in range(images_per_class):
            number = 1000 + i * images_per_class + j
            lines.append(
                f"{number},Women,{master},{category},{article},Color {i},"
                "Fall,2016,Casual"
            )
            save(folder / "images" / f"{number}.jpg", i)
    write_lines(folder / "styles.csv", *lines)
    return folder


def write_omniglot(root, alphabets=tuple(ALPHABETS), images_per_class=20):
    """Omniglot: alphabets with as many characters as they have, of random strokes."""
    folder = root / "images_background"
    rng = np.random.default_rng(0)
    for alphabet in alphabets:
        for number in range(1, 1 + ALPHABETS.get(alphabet, 26)):
            path = folder / alphabet / f"character{number:02}"
            path.mkdir(parents=True)
            for j in range(images_per_class):
                picture = Image.new("1", (105, 105), 1)
                for stroke in rng.integers(10, 95, (3, 4)).tolist():
                    ImageDraw.Draw(picture).line(stroke, fill=0, width=3)
                picture.save(path / f"{number:04}_{j + 1:02}.png")
    return folder


def write_folder(root, num_classes=6, images_per_class=3, save=save_color):
    """A folder a class, in folders of super-classes, as `from_directory` reads it."""
    for i in range(num_classes):
        for j in range(images_per_class):
            save(root / f"group{i % 4}" / f"class{i:05}" / f"{j}.jpg", i)
    return root


def _two_thirds(classes):
    cut = len(classes) * 2 // 3
    return ("train", classes[:cut]), ("test", classes[cut:])


def _more_of(rows, count, renamed):
    """So many rows, of which those beyond the first have names of their own."""
    result = []
    for i in range(count):
        row = list(rows[i % len(rows)])
        if i >= len(rows):
            row[renamed] = f"{row[renamed]}-{i // len(rows)}"
        result.append(tuple(row))
    return result
