"""Small folders in the official layouts of data sets.

The images of a class are of one colour, `color(i)` for the i-th class of the data set,
so that a label can be read off the pixels.
"""

from scipy.io import savemat

from keras_hierproxy.runs.sample_layouts import CAR_FIELDS as CAR_FIELDS
from keras_hierproxy.runs.sample_layouts import SPECIES as SPECIES
from keras_hierproxy.runs.sample_layouts import (
    cell_array,
    save_color,
    struct_array,
)
from keras_hierproxy.runs.sample_layouts import color as color
from keras_hierproxy.runs.sample_layouts import write_cars as write_cars
from keras_hierproxy.runs.sample_layouts import write_cub as write_cub
from keras_hierproxy.runs.sample_layouts import (
    write_fashion_products as write_fashion_products,
)
from keras_hierproxy.runs.sample_layouts import (
    write_grocery_store as write_grocery_store,
)
from keras_hierproxy.runs.sample_layouts import write_in_shop as write_in_shop
from keras_hierproxy.runs.sample_layouts import (
    write_inaturalist as write_inaturalist,
)
from keras_hierproxy.runs.sample_layouts import write_lines as write_lines
from keras_hierproxy.runs.sample_layouts import write_sop as write_sop

write_jpeg = save_color


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
