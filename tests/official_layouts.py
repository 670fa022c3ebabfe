"""Small folders in the official layouts of data sets.

The images of a class are of one colour, `color(i)` for the i-th class of the data set,
so that a label can be read off the pixels.
"""

import json

import numpy as np
from PIL import Image
from scipy.io import savemat

IMAGES_PER_CLASS = 3
# Folder of an item, which class it is, split.
IN_SHOP = (
    ("WOMEN/Dresses/id_00000002", 0, "train"),
    ("WOMEN/Blouses_Shirts/id_00000004", 1, "train"),
    ("MEN/Denim/id_00000080", 2, "train"),
    ("MEN/Denim/id_00000003", 3, "train"),
    ("WOMEN/Dresses/id_00000001", 4, "test"),
    ("MEN/Shorts/id_00000007", 5, "test"),
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
# Kingdom, phylum, class, order, family, genus, name. Two genera are homonyms.
SPECIES = (
    ("Animalia", "Mollusca", "Gastropoda", "Nudibranchia", "Corambidae", "Loy", "a"),
    ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Corvus", "corax"),
    ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Corvus", "corone"),
    ("Plantae", "Tracheophyta", "Lilio", "Poales", "Poaceae", "Loy", "b"),
    ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Pica", "pica"),
    ("Plantae", "Tracheophyta", "Lilio", "Poales", "Poaceae", "Poa", "annua"),
)


def color(i):
    return (40 * i, 255 - 40 * i, 100)


def write_jpeg(path, i=0, side=12):
    """Writes an image of the i-th class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), color(i)).save(path, quality=95)


def write_lines(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_cub(root, num_classes=6):
    folder = root / "CUB_200_2011"
    names = [f"{i + 1:03}.Bird_{i}" for i in range(num_classes)]
    images, labels = [], []
    for i, name in enumerate(names):
        for j in range(IMAGES_PER_CLASS):
            images.append(f"{len(images) + 1} {name}/Bird_{i}_{j:04}.jpg")
            labels.append(f"{len(images)} {i + 1}")
            write_jpeg(folder / "images" / name / f"Bird_{i}_{j:04}.jpg", i)
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
    cells = np.empty((1, len(values)), object)
    cells[0, :] = values
    return cells


CAR_FIELDS = (
    *("relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
    *("class", "test"),
)


def write_cars(root, num_classes=6):
    """`cars_annos.mat` and `car_ims`."""
    rows = []
    for i in range(num_classes):
        for _ in range(IMAGES_PER_CLASS):
            path = f"car_ims/{len(rows) + 1:06}.jpg"
            write_jpeg(root / path, i)
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


def write_cars_in_two_parts(root, num_classes=6):
    """`devkit`, `cars_train` and `cars_test`, which have photos of every class."""
    fields = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
    (root / "devkit").mkdir(parents=True)
    for split, per_class, file in (
        ("train", 2, "devkit/cars_train_annos.mat"),
        ("test", 1, "cars_test_annos_withlabels.mat"),
    ):
        rows = []
        for i in range(num_classes):
            for _ in range(per_class):
                name = f"{len(rows) + 1:05}.jpg"
                write_jpeg(root / f"cars_{split}" / name, i)
                rows.append((1, 2, 11, 12, i + 1, name))
        savemat(root / file, {"annotations": struct_array(fields, rows)})
    names = [f"Make Model {i} 2012" for i in range(num_classes)]
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": cell_array(names)})
    return root


def write_sop(root):
    folder = root / "Stanford_Online_Products"
    for split, classes in (("train", (0, 1, 2, 3)), ("test", (4, 5))):
        lines = ["image_id class_id super_class_id path"]
        for i in classes:
            category = ("bicycle", "cabinet")[i % 2]
            for j in range(IMAGES_PER_CLASS):
                path = f"{category}_final/11108512287{i}_{j}.JPG"
                number = i * IMAGES_PER_CLASS + j + 1
                lines.append(f"{number} {i + 1} {i % 2 + 1} {path}")
                write_jpeg(folder / path, i)
        write_lines(folder / f"Ebay_{split}.txt", *lines)
    return folder


def write_in_shop(root):
    folder = root / "In-shop Clothes Retrieval Benchmark"
    lines = []
    for item, i, split in IN_SHOP:
        for j in range(IMAGES_PER_CLASS):
            path = f"img/{item}/0{j}_1_front.jpg"
            status = ("query", "gallery", "gallery")[j] if split == "test" else split
            # Columns are padded with blanks, lines end in blanks.
            lines.append(f"{path:<70} {item.split('/')[-1]} {status:<10}")
            write_jpeg(folder / "Img" / path, i)
    write_lines(
        folder / "Eval" / "list_eval_partition.txt",
        len(lines),
        "image_name item_id evaluation_status",
        *lines,
    )
    return folder


def write_inaturalist(root):
    folder = root / "Inaturalist"
    ranks = ("kingdom", "phylum", "class", "order", "family", "genus", "name")
    categories = [
        {"id": i, "supercategory": "x", **dict(zip(ranks, species, strict=True))}
        for i, species in enumerate(SPECIES)
    ]
    for split, classes in (("train", (0, 1, 2, 3)), ("test", (4, 5))):
        lines = []
        for i in classes:
            for j in range(IMAGES_PER_CLASS):
                lines.append(f"train_val2018/{SPECIES[i][0]}/{i}/{i}{j}ab.jpg")
                write_jpeg(folder / lines[-1], i)
        name = f"Inaturalist_{split}_set1.txt"
        write_lines(folder / "Inat_dataset_splits" / name, *lines)
    (folder / "train2018.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": categories})
    )
    return folder


def write_grocery_store(root):
    folder = root / "GroceryStoreDataset" / "dataset"
    coarse = list(dict.fromkeys(group for _, group, _ in GROCERIES))
    lines = [
        "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),"
        "Iconic Image Path (str),Product Description Path (str)"
    ]
    for i, (fine, group, _) in enumerate(GROCERIES):
        lines.append(f"{fine},{i},{group},{coarse.index(group)},/a_Iconic.jpg,/a.txt")
    write_lines(folder / "classes.csv", *lines)
    for split, classes in (("train", range(6)), ("val", (1, 3)), ("test", range(6))):
        lines = []
        for i in classes:
            fine, group, department = GROCERIES[i]
            for j in range(IMAGES_PER_CLASS):
                path = f"{split}/{department}/{group}/{fine}/{fine}_{j:03}.jpg"
                lines.append(f"{path}, {i}, {coarse.index(group)}")
                write_jpeg(folder / path, i)
        write_lines(folder / f"{split}.txt", *lines)
    return folder
