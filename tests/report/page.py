"""An HTML page, as far as tests ask."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Reads a page.

    Attributes:
        source: str.
        elements: list of (tag, dict of attributes), in their order.
        text: all that is shown as text.
    """

    def __init__(self, source):
        super().__init__()
        self.source = source
        self.elements, self._texts = [], []
        self._tables, self._rows = {}, []
        self._hidden = self._cell = None
        self.feed(source)
        self.close()
        self.text = " ".join(" ".join(self._texts).split())

    def table(self, id):
        """The rows of a table, each a list of its cells' texts."""
        rows = [[" ".join("".join(c).split()) for c in row] for row in self._tables[id]]
        return rows[0], rows[1:]

    def all(self, tag, **attributes):
        """The attributes of all elements of a tag that have these among theirs."""
        return [
            found
            for name, found in self.elements
            if name == tag and attributes.items() <= found.items()
        ]

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if tag in ("script", "style"):
            self._hidden = tag
        elif tag == "table":
            self._rows = self._tables[attributes.get("id")] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._cell = []
            self._rows[-1].append(self._cell)

    def handle_endtag(self, tag):
        if tag == self._hidden:
            self._hidden = None
        elif tag == "table":
            self._cell = None

    def handle_data(self, data):
        if self._hidden is None:
            self._texts.append(data)
            if self._cell is not None:
                self._cell.append(data)
