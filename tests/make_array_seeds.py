#!/usr/bin/env python3
"""Writes the array seeds of tests/corpus/npy and tests/corpus/image: numpy's own bytes, and images built field by field.

The expected values in tests/test_array.c are written by hand from the literals below. Needs numpy; run it only to add a seed.
Usage: tests/make_array_seeds.py DIRECTORY   (writes DIRECTORY/npy/* and DIRECTORY/image/*)
"""
import gzip
import os
import struct
import sys

import numpy as np
from numpy.lib import format as npf

ROOT = sys.argv[1]
os.makedirs(ROOT + "/npy", exist_ok=True)
os.makedirs(ROOT + "/image", exist_ok=True)


def put(name, data):
    with open(os.path.join(ROOT, name), "wb") as f:
        f.write(data)


def npy(name, array, version=(1, 0)):
    with open(os.path.join(ROOT, "npy", name + ".npy"), "wb") as f:
        npf.write_array(f, array, version=version)


# Every accepted type, both byte orders where there are two; extreme values.
npy("i1", np.array([[-128, -1, 0], [1, 2, 127]], "i1"))
npy("u1", np.array([[0, 1, 2], [3, 128, 255]], "u1"))
npy("b1", np.array([True, False, True]))
for order, tag in (("<", "le"), (">", "be")):
    npy("i2_" + tag, np.array([-32768, -2, 258, 32767], order + "i2"))
    npy("u2_" + tag, np.array([0, 258, 65535], order + "u2"))
    npy("i4_" + tag, np.array([-2147483648, -2, 16909060, 2147483647], order + "i4"))
    npy("u4_" + tag, np.array([0, 16909060, 4294967295], order + "u4"))
    npy("i8_" + tag, np.array([-9223372036854775808, -2, 72623859790382856, 9223372036854775807], order + "i8"))
    npy("u8_" + tag, np.array([0, 72623859790382856, 18446744073709551615], order + "u8"))
    npy("f4_" + tag, np.array([0.0, -0.5, 1.5, 3.25e38, np.inf], order + "f4"))
    npy("f8_" + tag, np.array([0.0, -0.5, 1.5, 1e300, -np.inf], order + "f8"))

# Shapes, versions, column-major order.
npy("scalar", np.array(7, "<i2"))
npy("empty", np.zeros((3, 0, 2), "<f4"))
npy("rank8", np.arange(4, dtype="u1").reshape(1, 2, 1, 1, 2, 1, 1, 1))
npy("v2", np.arange(6, dtype="<i2").reshape(2, 3), (2, 0))
npy("v3", np.arange(6, dtype="<i2").reshape(2, 3), (3, 0))
npy("fortran", np.asfortranarray(np.arange(24, dtype=">i4").reshape(2, 3, 4)))

# Refused types, as numpy writes them.
npy("bad_f2", np.array([1.0], "<f2"))
npy("bad_c8", np.array([1j], "<c8"))
npy("bad_string", np.array([b"ab"]))
npy("bad_unicode", np.array(["ab"]))
npy("bad_object", np.array([None, {}], dtype=object))
npy("bad_struct", np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f4")]))
npy("bad_struct_v3", np.array([(1, 2.0)], dtype=[("\u03b1", "<i4"), ("b", "<f4")]), (3, 0))
npy("bad_date", np.array(["2020-01-01"], "<M8[D]"))
npy("bad_void", np.array([b"abc"], "V3"))

np.savez(ROOT + "/npy/one.npz", x=np.arange(6, dtype="<i2").reshape(2, 3))
np.savez(ROOT + "/npy/two.npz", x=np.array([1, 2, 3], "u1"), y=np.array([4.5], "<f8"))
np.savez_compressed(ROOT + "/npy/deflated.npz", x=np.zeros(5000, "u1"), y=np.arange(300, dtype="<i4"))

# IDX: 2 x 3 of every type; the same bytes gzipped.
for code, tag, fmt, values in ((0x08, "u1", "B", [0, 1, 2, 127, 128, 255]), (0x09, "i1", "b", [-128, -1, 0, 1, 2, 127]),
                               (0x0B, "i2", "h", [-32768, -1, 0, 1, 258, 32767]),
                               (0x0C, "i4", "i", [-2147483648, -1, 0, 1, 16909060, 2147483647]),
                               (0x0D, "f4", "f", [0.0, -0.5, 1.5, 2.0, 4.0, 8.0]), (0x0E, "f8", "d", [0.0, -0.5, 1.5, 2.0, 4.0, 1e300])):
    data = bytes([0, 0, code, 2]) + struct.pack(">II", 2, 3) + struct.pack(">6" + fmt, *values)
    put("image/%s.idx" % tag, data)
put("image/u1.idx.gz", gzip.compress(open(ROOT + "/image/u1.idx", "rb").read(), mtime=0))

put("image/plain.pgm", b"P5\n3 2\n255\n" + bytes([0, 1, 2, 128, 254, 255]))
put("image/comment.pgm", b"P5 # made by hand\n# 9 9\n3#width\n 2\t#height\r255 " + bytes([0, 1, 2, 128, 254, 255]))


def bmp(width, height, bits, palette, rows, info=40):
    body = b"".join(row + bytes(-len(row) % 4) for row in rows)
    head = struct.pack("<IiiHHIIiiII", info, width, height, 1, bits, 0, len(body), 2835, 2835, len(palette), 0) + bytes(info - 40)
    colours = b"".join(bytes(c) + b"\0" for c in palette)
    start = 14 + info + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + colours + body


# Rows are stored bottom up when the height is positive; colours as blue, green, red.
grey = [(10 * i,) * 3 for i in range(5)]
put("image/grey.bmp", bmp(3, 2, 8, grey, [bytes([3, 4, 0]), bytes([0, 1, 2])]))
put("image/grey_top.bmp", bmp(3, -2, 8, grey, [bytes([0, 1, 2]), bytes([3, 4, 0])]))
put("image/rgb.bmp", bmp(2, 2, 24, [], [bytes([9, 8, 7, 12, 11, 10]), bytes([3, 2, 1, 6, 5, 4])]))
put("image/rgb_top_v5.bmp", bmp(2, -2, 24, [], [bytes([3, 2, 1, 6, 5, 4]), bytes([9, 8, 7, 12, 11, 10])], 124))
put("image/bad_colour.bmp", bmp(3, 2, 8, [(0, 0, 0), (1, 1, 2)], [bytes([0, 1, 0]), bytes([0, 1, 1])]))
