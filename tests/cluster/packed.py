"""MessagePack for the tests, as much of it as JSON has: written after the specification, apart from the product."""
import json
import struct


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\xdb" + struct.pack(">I", len(text)) + text
    if isinstance(value, (list, tuple)):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    return (b"\xdf" + struct.pack(">I", len(value)) +
            b"".join(pack(name) + pack(member) for name, member in value.items()))


SIZED = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h",
         0xd2: ">i", 0xd3: ">q"}
LENGTHS = {0xd9: (">B", "text"), 0xda: (">H", "text"), 0xdb: (">I", "text"), 0xdc: (">H", "list"),
           0xdd: (">I", "list"), 0xde: (">H", "map"), 0xdf: (">I", "map")}


def _number(raw, at, form):
    return struct.unpack_from(form, raw, at)[0], at + struct.calcsize(form)


def _many(raw, at, n):
    values = []
    for _ in range(n):
        value, at = _value(raw, at)
        values.append(value)
    return values, at


def _filled(raw, at, kind, n):
    if kind == "text":
        return raw[at:at + n].decode(), at + n
    if kind == "list":
        return _many(raw, at, n)
    flat, at = _many(raw, at, 2 * n)
    return dict(zip(flat[::2], flat[1::2])), at


def _value(raw, at):
    tag, at = raw[at], at + 1
    if tag < 0x80 or tag >= 0xe0:
        return (tag if tag < 0x80 else tag - 256), at
    if tag < 0xc0:
        kind = "map" if tag < 0x90 else "list" if tag < 0xa0 else "text"
        return _filled(raw, at, kind, tag & (0x1f if kind == "text" else 0x0f))
    if tag in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[tag], at
    if tag in SIZED:
        return _number(raw, at, SIZED[tag])
    form, kind = LENGTHS[tag]
    n, at = _number(raw, at, form)
    return _filled(raw, at, kind, n)


def unpack(raw):
    """The one value that is there."""
    value, at = _value(raw, 0)
    assert at == len(raw), f"{len(raw) - at} bytes behind the value"
    return value


def unpack_all(raw):
    """The values of a feed."""
    values, at = [], 0
    while at < len(raw):
        value, at = _value(raw, at)
        values.append(value)
    return values


def as_json(reply):
    """The reply of one who asked for MessagePack, with the JSON text of the same value as its body."""
    if reply.body and reply.headers["Content-Type"] == "application/msgpack":
        reply.body = json.dumps(unpack(reply.body)).encode()
    return reply
