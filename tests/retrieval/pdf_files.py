"""Small PDF files, made by hand."""


def write_pdf(path, pages, *, title=None):
    """Write a file; a page is a list of (x, y, text) from the bottom left corner in 10 point Helvetica, or of operators."""
    info = b"" if title is None else b"/Title(%s)" % title.encode()
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        3: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        4: b"<<%s>>" % info,
    }
    kids = []
    for number, page in enumerate(pages):
        content = b"\n".join(_operators(item) for item in page)
        place = 5 + 2 * number
        kids.append(b"%d 0 R" % place)
        objects[place] = (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
            % (place + 1)
        )
        objects[place + 1] = b"<</Length %d>>stream\n%s\nendstream" % (len(content), content)
    objects[2] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(kids), len(kids))
    content, offsets = b"%PDF-1.4\n", []
    for number in sorted(objects):
        offsets.append(len(content))
        content += b"%d 0 obj%s endobj\n" % (number, objects[number])
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    tail = b"trailer<</Size %d/Root 1 0 R/Info 4 0 R>>\nstartxref\n%d\n%%%%EOF" % (size, len(content))
    path.write_bytes(content + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + tail)
    return path


def lines_at(x, y, lines, leading=12):
    """Text lines below each other."""
    return [(x, y - i * leading, line) for i, line in enumerate(lines)]


def _operators(item):
    if isinstance(item, bytes):
        return item
    x, y, text = item
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return b"BT /F1 10 Tf %d %d Td (%s) Tj ET" % (x, y, escaped.encode("cp1252"))
