"""Damages that keep a part of a file's structure, so that they get further into a reader than noise does."""

import gzip
import io
import json
import re
import zipfile

_NUMBERS = [0, -1, 1, 255, 2**15, 2**31 - 1, -(2**31), 2**32, 2**53, 2**63, 10**20, 10**400, 1e308, -1e308, 1e-320]
_CELLS = [
    "", " ", "NaN", "inf", "-inf", "1e999", "1,5", "1.234,5", "0x1F", "1_000", "--", "\u0661", "\ufeff", "\x00", "\x1a",
    '"', '""', '"a', "'", "a\nb", "=1+1", "#", "//", "\u202e", "\ud7ff", "12:00", "2024-02-30", "Bad", "T" * 3000,
    " " * 3000, "9" * 5000, "\t", ";", ",", "|", "1e", "+", "-",
]  # fmt: skip
_JSON = [
    None,
    True,
    False,
    -1,
    0,
    1e308,
    10**12,
    "",
    "text",
    "NaN",
    [],
    {},
    [[]],
    [None],
    {"a": {}},
    [1] * 50,
    "x" * 5000,
]


def mutated(data, generator):
    """The content of a file, damaged once to three times."""
    for _ in range(generator.randint(1, 3)):
        data = _mutated(data, generator)
    return data


def _mutated(data, generator):
    if data.startswith(b"PK\x03\x04") and generator.random() < 0.7:
        return _in_zip(data, generator)
    if data.startswith(b"\x1f\x8b") and generator.random() < 0.7:
        try:
            return gzip.compress(_mutated(gzip.decompress(data), generator), 1)
        except (OSError, EOFError, gzip.zlib.error):
            return _bytes(data, generator)
    if data.startswith(b"\x93NUMPY") and generator.random() < 0.6:
        return _in_npy_header(data, generator)
    if data[:1] in (b"{", b"[") and generator.random() < 0.7:
        return _in_json(data, generator)
    if b"\0" not in data[:1000] and generator.random() < 0.8:
        return _in_text(data, generator)
    return _bytes(data, generator)


def _bytes(data, generator):
    """Flipped bits, lost, doubled or strange bytes, and numbers at the ends of their ranges."""
    data = bytearray(data)
    if not data:
        return bytes(generator.randbytes(9))
    # Headers are at the beginning or at the end.
    near = generator.choice([len(data), min(64, len(data)), min(4000, len(data))])
    place = generator.randrange(near)
    if generator.random() < 0.2:
        place = len(data) - 1 - place
    length = generator.choice([1, 2, 4, 8, 64, 512])
    match generator.randrange(6):
        case 0:
            data[place] ^= 1 << generator.randrange(8)
        case 1:
            del data[place : place + length]
        case 2:
            data[place:place] = data[place : place + length] * generator.randint(1, 5)
        case 3:
            data[place : place + length] = generator.randbytes(length)
        case 4:
            value = generator.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**16 - 1, 2**63])
            data[place : place + 4] = (value % 2**32).to_bytes(4, generator.choice(["big", "little"]))
        case _:
            del data[place:]
    return bytes(data)


def _in_text(data, generator):
    """Cells, lines and separators of a text."""
    text = data.decode("utf-8", "replace")
    match generator.randrange(7):
        case 0 | 1:
            places = [found.span() for found in re.finditer(r"[^\s,;|\t]+", text)]
            if not places:
                return data
            start, end = generator.choice(places)
            cell = generator.choice([*_CELLS, *map(str, _NUMBERS)])
            text = text[:start] + cell + text[end:]
        case 2:
            lines = text.split("\n")
            del lines[generator.randrange(len(lines))]
            text = "\n".join(lines)
        case 3:
            lines = text.split("\n")
            lines.insert(generator.randrange(len(lines) + 1), generator.choice([*lines, *_CELLS]))
            text = "\n".join(lines)
        case 4:
            old, new = generator.sample([",", ";", "\t", " ", "|", ".", '"', "\n", "\r", ":", "-"], 2)
            text = text.replace(old, new, generator.choice([1, -1]))
        case 5:
            place = generator.randrange(len(text) + 1)
            text = text[:place] + generator.choice(_CELLS) + text[place:]
        case _:
            return text.encode(generator.choice(["utf-16", "utf-8-sig", "cp1252", "utf-16-be"]), "replace")
    return text.encode("utf-8", "surrogatepass")


def _in_json(data, generator):
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return _in_text(data, generator)
    if generator.random() < 0.05:
        return b"[" * 50_000 + data
    return json.dumps(changed(content, generator)).encode()


def changed(content, generator):
    """A value of JSON with a part that is another, is not there, or is there twice."""
    places = _places(content, ())
    if not places:
        return generator.choice(_JSON)
    *parents, last = generator.choice(places)
    node = content
    for name in parents:
        node = node[name]
    match generator.randrange(4):
        case 0:
            del node[last]
        case 1 if isinstance(node, list):
            node.insert(last, node[last])
        case 2 if isinstance(node, dict):
            node[generator.choice(["", "x", "kind"])] = node.pop(last)
        case _:
            node[last] = generator.choice([*_JSON, *(number for number in _NUMBERS if abs(number) < 1e300)])
    return content


def _places(value, place):
    if not isinstance(value, dict | list):
        return []
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for name, part in list(inside)[:60]:
        found += [(*place, name), *_places(part, (*place, name))]
    return found


def _in_zip(data, generator):
    """A member of an archive, with a check sum that fits."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        return _bytes(data, generator)
    name = generator.choice(sorted(members)) if members else ""
    match generator.randrange(6):
        case 0 if members:
            del members[name]
        case 1:
            members[generator.choice(["x.npy", "columns.npy", "y", "../z", "[Content_Types].xml"])] = members.get(
                name, b""
            )
        case _ if members:
            members[name] = _mutated(members[name], generator)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _in_npy_header(data, generator):
    """Another shape or type of the same numbers."""
    end = data.find(b"\n") + 1
    header = data[10:end].decode("latin1")
    shape = generator.choice(
        ["()", "(0,)", "(0, 3)", "(1,)", "(-1, 2)", "(2, 3, 4)", f"({10**12}, 4)", "(3,", "('a',)", "(1.5, 2)"]
    )
    kind = generator.choice(
        [
            "'<f4'",
            "'<c16'",
            "'|O'",
            "'|S5'",
            "'<U3'",
            "'<M8[s]'",
            "'|b1'",
            "'<i8'",
            "'|V0'",
            "'<f2'",
            "'>f8'",
            "'x'",
            "[('a','<f8')]",
            "__import__('os')",
        ]
    )
    if generator.random() < 0.5:
        header = re.sub(r"'shape': \([^)]*\)", f"'shape': {shape}", header)
    else:
        header = re.sub(r"'descr': [^,]+", lambda _: f"'descr': {kind}", header)
    packed = header.encode("latin1")
    return data[:8] + len(packed).to_bytes(2, "little") + packed + data[end:]
