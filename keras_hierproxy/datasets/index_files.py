"""Index files: lines of columns, whose errors name the file and the line."""


def read_lines(file):
    """The lines of a text file that are not blank, each `(line number, line)`."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text file: {error}. Get it again.") from error
    lines = enumerate(text.splitlines(), start=1)
    lines = [(number, line) for number, line in lines if line.strip()]
    if not lines:
        raise ValueError(f"{file} is empty. Get it again.")
    return lines


def parse_lines(file, lines, columns, separator=None):
    """Splits lines into columns.

    Args:
        file: path, for the errors.
        lines: pairs `(line number, line)`.
        columns: dict of each column's name to its type, `int` or `str`. One called
            "path" must hold no path twice.
        separator: what is between columns; by default white space.

    Returns:
        List of tuples `(line number, value, ...)`.
    """
    rows, seen = [], {}
    for number, line in lines:
        fields = [field.strip() for field in line.split(separator)]
        check_columns(file, number, fields, columns, line)
        row = dict(zip(columns, fields, strict=True))
        for name, kind in columns.items():
            if kind is int:
                row[name] = parse_number(file, number, name, row[name])
        if "path" in row and (first := seen.setdefault(row["path"], number)) != number:
            raise line_error(file, number, f"{row['path']} is already in line {first}.")
        rows.append((number, *row.values()))
    return rows


def check_columns(file, number, fields, columns, line):
    """Raises unless a line has a field for each column."""
    if len(fields) != len(columns):
        raise line_error(
            file,
            number,
            f"expected {len(columns)} columns ({', '.join(columns)}). "
            f"Received: {line!r}",
        )


def parse_number(file, number, name, text):
    """The number that a column of a line holds."""
    if not (text.isascii() and text.isdecimal()):
        raise line_error(file, number, f"{name} must be a number. Received: {text!r}")
    return int(text)


def read_pairs(file, columns):
    """A file of two columns, the first a number, as a dictionary."""
    pairs = {}
    for line, key, value in parse_lines(file, read_lines(file), columns):
        if key in pairs:
            raise line_error(file, line, f"{key} is already in a line before.")
        pairs[key] = value
    return pairs


def line_error(file, number, message):
    """A `ValueError` about a line of a file."""
    return ValueError(f"{file}, line {number}: {message}")
