"""What queries find in a gallery, as a page."""

from keras_hierproxy import files
from keras_hierproxy.gallery.plain import plain_hits
from keras_hierproxy.pictures.names import shortened
from keras_hierproxy.pictures.retrieved import similarity_name, similarity_texts
from keras_hierproxy.report.retrievals import NAME_LENGTH, NO_CLASS
from keras_hierproxy.report.thumbnails import thumbnail_of_file
from keras_hierproxy.report.write import render


def write_hits(path, gallery, queries, hits, may_be_shown):
    """Writes what queries find as a page: one HTML file that needs nothing else.

    Names and paths are shown as they are, never taken for HTML.

    Args:
        path: where to write the file.
        gallery: `khp.Gallery`.
        queries: list of `n` paths of image files.
        hits: `khp.gallery.Hits` of these.
        may_be_shown: function of the path of an item's image.
    """
    uris = {}

    def picture(file):
        if file not in uris:
            uris[file] = thumbnail_of_file(file) if may_be_shown(file) else None
        return uris[file]

    rows = []
    for row, query in enumerate(queries):
        found = plain_hits(hits[row])
        texts = similarity_texts(hits[row].similarities[: len(found)], gallery.geometry)
        for hit, text in zip(found, texts, strict=True):
            hit["uri"], hit["similarity"] = picture(hit["path"]), text
            hit["names"] = [
                shortened(name or NO_CLASS, NAME_LENGTH)
                for name in hit["label"] or [None]
            ]
        rows.append((thumbnail_of_file(query), shortened(query, NAME_LENGTH), found))
    page = render(
        "hits.html.jinja",
        title=f"{len(queries):,} {'query' if len(queries) == 1 else 'queries'}",
        size=len(gallery),
        similarity_name=similarity_name(gallery.geometry),
        queries=rows,
    )
    # Names of files may hold bytes that are no text.
    files.write(path, page.encode("utf-8", "replace"))
