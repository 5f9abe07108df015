#!/usr/bin/env python3
"""Make the example models: data set, training, quantization, TFLite file.

    python3 make_shapes.py [output-directory]

Needs nothing but the Python standard library and about three minutes.
Given the same source it writes the same bytes on any IEEE 754 machine:
random numbers come from random.Random(seed).random() alone, float sums from
fsum (correctly rounded) or written-out additions, and exp from arithmetic.

Written files:
    shapes.tflite     the example net, int8 in and out
    wide.tflite       a net whose 16-bit accumulators can overflow
    test_images.npy   200 test images, int8 [200,16,16,1]
    test_labels.txt   their classes, one number a line
    expected.txt      accuracy of both nets on them

Five parts: data, float training, quantization, integer inference, FlatBuffer.
"""

import math
import os
import random
import struct
import sys
from operator import itemgetter, mul

SIDE = 16
CLASSES = ["circle", "square", "triangle", "cross", "hbars", "vbars"]
SEED = 20240611
N_TRAIN, N_TEST, N_CALIBRATE = 3000, 200, 500
BATCH = 20                      # divides all three


# ---------------------------------------------------------------- 1. data

def inside(kind, u, v, r, bar, phase):
    """Is the point (u, v), relative to the centre, part of the shape?"""
    if kind == "circle":
        return u * u + v * v <= r * r
    if kind == "square":
        return abs(u) <= 0.88 * r and abs(v) <= 0.88 * r
    if kind == "triangle":
        return v <= 0.8 * r and abs(u) <= 0.6 * (v + r)
    if kind == "cross":
        return (min(abs(u), abs(v)) <= 0.28 * r and max(abs(u), abs(v)) <= r)
    if max(abs(u), abs(v)) > r:
        return False
    return math.floor(((v if kind == "hbars" else u) + phase) / bar) % 2 == 0


def draw(kind, rnd):
    """One image: 256 grey values 0..255, row by row."""
    r = 4.2 + 2.3 * rnd()
    cx = r + 0.3 + (SIDE - 0.6 - 2 * r) * rnd()
    cy = r + 0.3 + (SIDE - 0.6 - 2 * r) * rnd()
    bar, phase = 1.7 + 0.7 * rnd(), 5 * rnd()
    back = 50 * rnd()
    front = back + 100 + (155 - 50) * rnd()
    noise = 4 + 10 * rnd()
    sub = (0.125, 0.375, 0.625, 0.875)
    image = []
    for y in range(SIDE):
        for x in range(SIDE):
            hit = sum(inside(kind, x + i - cx, y + j - cy, r, bar, phase)
                      for j in sub for i in sub)
            grey = back + (front - back) * hit / 16
            grey += noise * (rnd() + rnd() + rnd() + rnd() - 2)
            image.append(min(255, max(0, math.floor(grey + 0.5))))
    return image


def make_set(n, seed):
    rnd = random.Random(seed).random
    labels = [i % len(CLASSES) for i in range(n)]
    shuffle(labels, rnd)
    return [draw(CLASSES[k], rnd) for k in labels], labels


def shuffle(items, rnd):
    for i in range(len(items) - 1, 0, -1):
        j = int(rnd() * (i + 1))
        items[i], items[j] = items[j], items[i]


# ------------------------------------------------------- the nets, as data

class Node:
    """One operator. Value 0 is the input, value i+1 the output of node i.

    w[o][k] follows TFLite: o = output channel, k runs over (ky, kx, c) for
    conv and fc, over (ky, kx) for depthwise.
    """

    def __init__(self, name, op, inputs, oc=0, k=1, stride=1, act="none"):
        self.name, self.op, self.inputs = name, op, inputs
        self.oc, self.k, self.stride, self.act = oc, k, stride, act
        self.w = self.b = None


def shapes_net():
    return [
        Node("conv1", "conv", [0], oc=8, k=3, stride=2, act="relu"),
        Node("dw2", "depthwise", [1], k=3, act="relu6"),
        Node("pw2", "conv", [2], oc=8),
        Node("add2", "add", [1, 3], act="relu"),
        Node("dw3", "depthwise", [4], k=3, stride=2, act="relu"),
        Node("pw3", "conv", [5], oc=16, act="relu6"),
        Node("pool", "avgpool", [6]),
        Node("flat", "reshape", [7]),
        Node("fc", "fc", [8], oc=len(CLASSES)),
        Node("softmax", "softmax", [9]),
    ]


def wide_net():
    """256 products a sum: 4-bit weights keep every test image within 16 bits,
    but not every image. Testing would miss what a proof must find."""
    return [
        Node("flat", "reshape", [0]),
        Node("fc1", "fc", [1], oc=24, act="relu"),
        Node("fc2", "fc", [2], oc=len(CLASSES)),
        Node("softmax", "softmax", [3]),
    ]


def infer_shapes(net):
    """Set n.shape_in and n.shape = (height, width, channels); SAME padding."""
    shape = [(SIDE, SIDE, 1)]
    for n in net:
        h, w, c = n.shape_in = shape[n.inputs[0]]
        if n.op in ("conv", "depthwise"):
            n.shape = (-(-h // n.stride), -(-w // n.stride), n.oc or c)
            n.pad = tuple(max((o - 1) * n.stride + n.k - i, 0) // 2
                          for i, o in ((h, n.shape[0]), (w, n.shape[1])))
        elif n.op == "avgpool":
            n.shape = (1, 1, c)
        elif n.op == "reshape":
            n.shape = (1, 1, h * w * c)
        elif n.op == "fc":
            n.shape = (1, 1, n.oc)
        else:
            n.shape = (h, w, c)
        shape.append(n.shape)


def has_weights(n):
    return n.op in ("conv", "depthwise", "fc")


# ------------------------------------------------------ 2. float training
#
# A value is a list of planes, one per channel; a plane holds that channel for
# the whole batch, image after image. So every layer is a handful of linear
# combinations and dot products of long lists, which Python does tolerably.

def exp(x):
    """e^x from exact range reduction and a polynomial: same bits everywhere."""
    if x < -700:
        return 0.0
    k = math.floor(x / 0.6931471805599453 + 0.5)
    r, e = x - k * 0.6931471805599453, 1.0
    for i in range(14, 0, -1):
        e = 1.0 + e * r / i
    return math.ldexp(e, k)


_combiners = {}


def combine(weights, planes, bias=0.0):
    """bias + sum of weights[i] * planes[i], elementwise, in that order."""
    out = None
    for at in range(0, len(planes), 64):    # keeps the generated source small
        part = planes[at:at + 64]
        n = len(part)
        if n not in _combiners:
            xs = "".join("x%d," % i for i in range(n))
            ws = "".join("w%d," % i for i in range(n))
            total = "+".join("w%d*x%d" % (i, i) for i in range(n))
            _combiners[n] = eval("lambda b,w,p: (lambda %s: [b+%s for %s in "
                                 "zip(*p)])(*w)" % (ws, total, xs))
        s = _combiners[n](bias if out is None else 0.0, weights[at:at + n], part)
        out = s if out is None else [a + b for a, b in zip(out, s)]
    return out


def dot(a, b):
    return math.fsum(map(mul, a, b))


def tap_tables(n, batch):
    """Per tap: which input element each output reads, and the reverse.

    The index one past the end stands for padding, and reads zero.
    """
    h, w, _ = n.shape_in
    oh, ow, _ = n.shape
    n_in, n_out = batch * h * w, batch * oh * ow
    reads, read_by = [], []
    for ky in range(n.k):
        for kx in range(n.k):
            to, back = [n_in] * n_out, [n_out] * n_in
            for o in range(n_out):
                image, y, x = o // (oh * ow), o // ow % oh, o % ow
                iy, ix = y * n.stride - n.pad[0] + ky, x * n.stride - n.pad[1] + kx
                if 0 <= iy < h and 0 <= ix < w:
                    to[o] = (image * h + iy) * w + ix
                    back[to[o]] = o
            reads.append(itemgetter(*to))
            read_by.append(itemgetter(*back))
    return reads, read_by


def spread(n, planes):
    """All taps of all channels, in the order of a weight row."""
    if n.op == "fc" or (n.k == 1 and n.stride == 1):
        return planes
    padded = [list(p) + [0.0] for p in planes]
    return [read(p) for read in n.taps[0] for p in padded]


def conv_back(n, w, gout, n_ic):
    """Gradient of the input planes from that of the output planes."""
    if n.op == "fc" or (n.k == 1 and n.stride == 1):
        return [combine([row[c] for row in w], gout) for c in range(n_ic)]
    padded = [g + [0.0] for g in gout]
    taps = [read(g) for read in n.taps[1] for g in padded]
    return [combine([row[t * n_ic + c] for t in range(n.k * n.k) for row in w],
                    taps) for c in range(n_ic)]


def activate(n, planes):
    if n.act == "relu":
        return [[v if v > 0 else 0.0 for v in p] for p in planes]
    if n.act == "relu6":
        return [[0.0 if v <= 0 else 6.0 if v >= 6 else v for v in p] for p in planes]
    return planes


def forward(net, planes):
    """All values of the net but the softmax, whose place holds the logits."""
    values = [planes]
    for n in net:
        x = values[n.inputs[0]]
        area = n.shape_in[0] * n.shape_in[1]
        if n.op in ("conv", "fc"):
            n.cols = spread(n, x)
            y = [combine(row, n.cols, b) for row, b in zip(n.w, n.b)]
        elif n.op == "depthwise":
            n.cols = [spread(n, [p]) for p in x]
            y = [combine(n.w[c], n.cols[c], n.b[c]) for c in range(len(x))]
        elif n.op == "add":
            y = [[a + b for a, b in zip(p, q)]
                 for p, q in zip(x, values[n.inputs[1]])]
        elif n.op == "avgpool":
            y = [combine([1.0 / area] * area, [p[i::area] for i in range(area)])
                 for p in x]
        elif n.op == "reshape":
            y = [p[i::area] for i in range(area) for p in x]
        else:
            y = x
        values.append(activate(n, y))
    return values


def backward(net, values, glogits):
    """Set gw and gb of each node with weights."""
    grad = [None] * len(values)
    grad[-1] = glogits

    def give(i, g):
        if grad[i] is None:
            grad[i] = g
        else:
            grad[i] = [[a + b for a, b in zip(p, q)] for p, q in zip(grad[i], g)]

    for i in range(len(net) - 1, -1, -1):
        n, g, y = net[i], grad[i + 1], values[i + 1]
        area = n.shape_in[0] * n.shape_in[1]
        if n.act != "none":
            top = 6.0 if n.act == "relu6" else math.inf
            g = [[d if 0 < v < top else 0.0 for d, v in zip(p, q)]
                 for p, q in zip(g, y)]
        src = n.inputs[0]
        if has_weights(n):
            n.gb = [math.fsum(p) for p in g]
            cols = n.cols if n.op == "depthwise" else [n.cols] * len(g)
            n.gw = [[dot(p, col) for col in cols[o]] for o, p in enumerate(g)]
            if src == 0:
                continue
            if n.op == "depthwise":
                give(src, [conv_back(n, [n.w[c]], [g[c]], 1)[0]
                           for c in range(len(g))])
            else:
                give(src, conv_back(n, n.w, g, n.shape_in[2]))
        elif n.op == "add":
            give(src, g)
            give(n.inputs[1], g)
        elif n.op == "avgpool":
            give(src, [[v / area for v in p for _ in range(area)] for p in g])
        elif n.op == "reshape":
            c = n.shape_in[2]
            give(src, [[v for vs in zip(*g[k::c]) for v in vs] for k in range(c)])
        else:
            give(src, g)


def to_planes(images):
    return [[v / 255 for image in images for v in image]]


def train(net, images, labels, epochs, rate, seed):
    """Adam on the cross entropy; the rate falls linearly to a tenth."""
    rnd = random.Random(seed).random
    infer_shapes(net)
    for n in net:
        if has_weights(n):
            fan = n.k * n.k * (1 if n.op == "depthwise" else n.shape_in[2])
            span = math.sqrt(6 / fan)
            n.w = [[span * (2 * rnd() - 1) for _ in range(fan)]
                   for _ in range(n.shape[2])]
            n.b = [0.05] * n.shape[2]
            n.slots = [[[0.0, 0.0] for _ in row] for row in n.w + [n.b]]
            if n.op != "fc":
                n.taps = tap_tables(n, BATCH)
    order = list(range(len(images)))
    decay1, decay2, step, steps = 1.0, 1.0, 0, epochs * (len(images) // BATCH)
    for epoch in range(epochs):
        shuffle(order, rnd)
        loss, right = 0.0, 0
        for at in range(0, len(order), BATCH):
            pick = order[at:at + BATCH]
            values = forward(net, to_planes([images[i] for i in pick]))
            g = [list(p) for p in values[-1]]
            for j, i in enumerate(pick):
                z = [p[j] for p in values[-1]]
                e = [exp(v - max(z)) for v in z]
                s = math.fsum(e)
                right += z.index(max(z)) == labels[i]
                loss += 1 - e[labels[i]] / s
                for k in range(len(z)):
                    g[k][j] = (e[k] / s - (k == labels[i])) / BATCH
            backward(net, values, g)
            decay1, decay2 = decay1 * 0.9, decay2 * 0.999
            lr = rate * (1 - 0.9 * step / steps) * math.sqrt(1 - decay2) / (1 - decay1)
            step += 1
            for n in net:
                if has_weights(n):
                    for row, grow, slots in zip(n.w + [n.b], n.gw + [n.gb], n.slots):
                        for k, d in enumerate(grow):
                            s = slots[k]
                            s[0] += 0.1 * (d - s[0])
                            s[1] += 0.001 * (d * d - s[1])
                            row[k] -= lr * s[0] / (math.sqrt(s[1]) + 1e-8)
        print("  epoch %2d  mean(1-p) %.4f  right %d of %d" %
              (epoch + 1, loss / len(order), right, len(order)), flush=True)


def argmax(z):
    return list(z).index(max(z))


def float_right(net, images, labels):
    right = 0
    for at in range(0, len(images), BATCH):
        logits = forward(net, to_planes(images[at:at + BATCH]))[-1]
        right += sum(argmax(z) == k for z, k in zip(zip(*logits), labels[at:]))
    return right


# --------------------------------------------------------- 3. quantization

def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def round_away(x):
    """Nearest integer, ties away from zero (C round)."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def quantize_multiplier(real):
    """(m, shift) with real ~ m * 2^(shift - 31) and 2^30 <= m < 2^31."""
    q, shift = math.frexp(real)
    m = round_away(q * 2**31)
    if m == 2**31:
        m, shift = 2**30, shift + 1
    return (0, 0) if shift < -31 else (m, shift)


def quantize(net, images, weight_bits):
    """Post-training quantization from the ranges seen on the given images.

    Activations: int8 with zero point. Weights: symmetric, weight_bits wide,
    one scale per output channel, or per tensor for fully connected layers.
    Biases: int32 of scale s_x * s_w.
    """
    lo, hi = [0.0] * (len(net) + 1), [0.0] * (len(net) + 1)
    for at in range(0, len(images), BATCH):
        for i, v in enumerate(forward(net, to_planes(images[at:at + BATCH]))):
            lo[i] = min(lo[i], min(map(min, v)))
            hi[i] = max(hi[i], max(map(max, v)))
    quant = [(f32(1 / 255), -128)]
    w_max = 2**(weight_bits - 1) - 1
    for i, n in enumerate(net):
        sx, zx = quant[n.inputs[0]]
        if n.op in ("avgpool", "reshape"):
            quant.append((sx, zx))
        elif n.op == "softmax":
            quant.append((1 / 256, -128))
        else:
            s = f32((hi[i + 1] - lo[i + 1]) / 255)
            quant.append((s, min(127, max(-128, round_away(-128 - lo[i + 1] / s)))))
        n.q_in = [quant[j] for j in n.inputs]
        sy, zy = n.q = quant[-1]
        n.clamp = (zy if n.act in ("relu", "relu6") else -128,
                   min(127, zy + round_away(f32(6 / sy))) if n.act == "relu6" else 127)
        if has_weights(n):
            peak = [max(map(abs, row)) for row in n.w]
            if n.op == "fc":
                peak = [max(peak)]
            n.sw = [f32(p / w_max) for p in peak]
            scale = n.sw if len(n.sw) > 1 else n.sw * len(n.w)
            n.wq = [[min(w_max, max(-w_max, round_away(v / s))) for v in row]
                    for row, s in zip(n.w, scale)]
            n.sb = [f32(sx * s) for s in n.sw]
            n.bq = [round_away(b / (sx * s)) for b, s in zip(n.b, scale)]
            if n.op == "fc":        # TFLite rounds this product to float first
                real = [n.sb[0] / sy] * len(n.w)
            else:
                real = [sx * s / sy for s in n.sw]
            n.mult = [quantize_multiplier(r) for r in real]
        elif n.op == "add":
            twice = 2 * max(s for s, _ in n.q_in)
            n.mult = [quantize_multiplier(s / twice) for s, _ in n.q_in]
            n.mult.append(quantize_multiplier(twice / (2**20 * sy)))


# ---------------------------------------------------- 4. integer inference
#
# What TFLite's reference kernels compute, on Python integers. Nothing here is
# taken from qverify, so the two can be compared.

def srdhm(a, b):
    """Rounding doubling high multiplication."""
    return 2**31 - 1 if a == b == -2**31 else (a * b + 2**30) >> 31


def rdbp(x, e):
    """x / 2^e, nearest, ties away from zero."""
    half = (1 << e) >> 1
    return (x + half) >> e if x >= 0 else -((-x + half) >> e)


def requantize(x, mult):
    m, shift = mult
    return rdbp(srdhm(x << max(shift, 0), m), max(-shift, 0))


def clamp(v, lo, hi):
    return min(hi, max(lo, v))


def softmax_exp(t):
    """exp of a non-positive Q5.26 number, as Q0.31."""
    if t == 0:
        return 2**31 - 1
    a = (t & (2**24 - 1)) - 2**24
    u = 32 * a + 2**28
    u2 = srdhm(u, u)
    u3, u4 = srdhm(u2, u), srdhm(u2, u2)
    v = rdbp(srdhm(rdbp(u4, 2) + u3, 715827883) + u2, 1)
    r = 1895147668 + srdhm(1895147668, u + v)
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for i, factor in enumerate(factors):
        if (a - t) >> (24 + i) & 1:
            r = srdhm(r, factor)
    return r


def softmax_reciprocal(x):
    """1 / (1 + x) for x in [0, 1), both Q0.31."""
    def sat(v):
        return clamp(v, -2**31, 2**31 - 1)
    half = (x + 2**31) >> 1                 # x + 2^31 - 1, halved, half up
    y = 1515870810 + srdhm(half, -1010580540)
    for _ in range(3):
        y += sat(4 * srdhm(y, 2**29 - srdhm(half, y)))
    return sat(2 * y)


def softmax_int8(z, scale):
    m, left = quantize_multiplier(min(scale * 2**26, 2**31 - 1.0))
    diff_min = -math.floor(31 * 2**26 / 2**left)
    e = [softmax_exp(srdhm((v - max(z)) << left, m)) if v - max(z) >= diff_min else None
         for v in z]
    total = sum(rdbp(v, 12) for v in e if v is not None)
    zeros = 32 - total.bit_length()
    r = softmax_reciprocal((total << zeros) - 2**31)
    return [-128 if v is None else
            clamp(rdbp(srdhm(r, v), 12 - zeros + 31 - 8) - 128, -128, 127) for v in e]


def run_int8(net, image, peaks=None):
    """The int8 outputs for one int8 image, channel fastest.

    peaks, if given, maps a layer name to the extreme partial sums met, in
    TFLite's order: products over (ky, kx, c), bias last.
    """
    values = [image]
    for n in net:
        x = values[n.inputs[0]]
        h, w, c = n.shape_in
        oh, ow, oc = n.shape
        zy, zx = n.q[1], n.q_in[0][1]
        y = []
        if has_weights(n):
            k = 1 if n.op == "fc" else n.k
            pad = (0, 0) if n.op == "fc" else n.pad
            for at in range(oh * ow * oc):
                oy, ox, o = at // (ow * oc), at // oc % ow, at % oc
                channels = [o] if n.op == "depthwise" else range(c)
                acc = low = high = 0
                for t in range(k * k):
                    iy = oy * n.stride - pad[0] + t // k
                    ix = ox * n.stride - pad[1] + t % k
                    if 0 <= iy < h and 0 <= ix < w:
                        row = n.wq[o][t * len(channels):]
                        for weight, ch in zip(row, channels):
                            acc += weight * (x[(iy * w + ix) * c + ch] - zx)
                            low, high = min(low, acc), max(high, acc)
                acc += n.bq[o]
                if peaks is not None:
                    was = peaks.get(n.name, (0, 0))
                    peaks[n.name] = min(was[0], low, acc), max(was[1], high, acc)
                y.append(clamp(requantize(acc, n.mult[o]) + zy, *n.clamp))
        elif n.op == "add":
            za, zb = n.q_in[0][1], n.q_in[1][1]
            for a, b in zip(x, values[n.inputs[1]]):
                s = (requantize((a - za) << 20, n.mult[0]) +
                     requantize((b - zb) << 20, n.mult[1]))
                y.append(clamp(requantize(s, n.mult[2]) + zy, *n.clamp))
        elif n.op == "avgpool":
            for ch in range(c):
                s = sum(x[ch::c])
                mean = (abs(s) + h * w // 2) // (h * w)
                y.append(clamp(mean if s > 0 else -mean, *n.clamp))
        elif n.op == "softmax":
            y = softmax_int8(x, n.q_in[0][0])
        else:
            y = x
        values.append(y)
    return values[-1]


# ---------------------------------------------------------- 5. FlatBuffer
#
# Written front to back: every object returns its position after appending
# itself, and its children follow it, so that all offsets point forward.

def align(buf, size, ahead=0):
    """Pad so that position + ahead is a multiple of size."""
    buf += bytes(-(len(buf) + ahead) % size)


def patch(buf, at, target):
    struct.pack_into("<I", buf, at, target - at)


def vector(fmt, values, alignment=4):
    """A vector of scalars; fmt is a struct code."""
    def emit(buf):
        align(buf, max(alignment, struct.calcsize(fmt)), 4)
        at = len(buf)
        buf += struct.pack("<I%d%s" % (len(values), fmt), len(values), *values)
        return at
    return emit


def string(text):
    def emit(buf):
        align(buf, 4)
        at = len(buf)
        buf += struct.pack("<I", len(text)) + text.encode("ascii") + b"\0"
        return at
    return emit


def vector_of(children):
    def emit(buf):
        align(buf, 4)
        at = len(buf)
        buf += struct.pack("<I", len(children)) + bytes(4 * len(children))
        for i, child in enumerate(children):
            patch(buf, at + 4 + 4 * i, child(buf))
        return at
    return emit


def table(*fields):
    """Field i of the schema: None (absent), (struct code, scalar), or a child.

    A scalar equal to 0 may be given as None, since 0 is the default.
    """
    def emit(buf):
        vtable, body, children = [], 4, []
        for f in fields:
            if f is None:
                vtable.append(0)
                continue
            size = struct.calcsize(f[0]) if isinstance(f, tuple) else 4
            body += -body % size
            vtable.append(body)
            body += size
        head = 4 + 2 * len(vtable)
        align(buf, 4, head)
        buf += struct.pack("<%dH" % (2 + len(vtable)), head, body, *vtable)
        at = len(buf)
        buf += struct.pack("<i", head) + bytes(body - 4)
        for f, offset in zip(fields, vtable):
            if isinstance(f, tuple):
                struct.pack_into("<" + f[0], buf, at + offset, f[1])
            elif f is not None:
                children.append((at + offset, f))
        for slot, child in children:
            patch(buf, slot, child(buf))
        return at
    return emit


INT8, INT32 = 9, 2                                          # TensorType
ACTIVATION = {"none": None, "relu": ("b", 1), "relu6": ("b", 3)}
OPCODE = {"add": (0, 2), "avgpool": (1, 2), "conv": (3, 3), "depthwise": (4, 3),
          "fc": (9, 4), "reshape": (22, 1), "softmax": (25, 2)}   # (code, version)
OPTIONS_TYPE = {"conv": 1, "depthwise": 2, "avgpool": 5, "fc": 8, "softmax": 9,
                "add": 11, "reshape": 17}
VALID = ("b", 1)                                            # SAME is 0


def options(n):
    act = ACTIVATION[n.act]
    stride = ("i", n.stride)
    if n.op == "conv":
        return table(None, stride, stride, act)
    if n.op == "depthwise":
        return table(None, stride, stride, ("i", 1), act)
    if n.op == "avgpool":
        h, w = ("i", n.shape_in[0]), ("i", n.shape_in[1])
        return table(VALID, w, h, w, h, act)
    if n.op == "reshape":
        return table(vector("i", [1, n.shape[2]]))
    if n.op == "softmax":
        return table(("f", 1.0))
    return table(act)                                       # fc, add


def tflite_bytes(net, name):
    buffers = [table()]                                     # buffer 0 is empty
    tensors, operators, codes = [], [], []

    def tensor(label, shape, kind, scales=None, zeros=None, axis=0, data=None):
        quant = None
        if scales:
            quant = table(None, None, vector("f", scales), vector("q", zeros),
                          None, None, ("i", axis) if axis else None)
        at = None
        if data is not None:
            at = ("I", len(buffers))
            buffers.append(table(vector("B", data, 16)))
        tensors.append(table(vector("i", shape), ("b", kind), at, string(label), quant))
        return len(tensors) - 1

    def activation(label, shape, q):
        return tensor(label, shape, INT8, [q[0]], [q[1]])

    index = [activation("image", [1, SIDE, SIDE, 1], net[0].q_in[0])]
    for n in net:
        inputs = [index[i] for i in n.inputs]
        if has_weights(n):
            c = n.shape_in[2]
            if n.op == "depthwise":
                shape, axis = [1, n.k, n.k, c], 3
                flat = [row[t] for t in range(n.k * n.k) for row in n.wq]
            else:
                shape, axis = ([n.oc, n.k, n.k, c] if n.op == "conv" else [n.oc, c]), 0
                flat = [v for row in n.wq for v in row]
            zeros = [0] * len(n.sw)
            inputs.append(tensor(n.name + "/weights", shape, INT8, n.sw, zeros, axis,
                                 struct.pack("%db" % len(flat), *flat)))
            inputs.append(tensor(n.name + "/bias", [len(n.bq)], INT32, n.sb, zeros, 0,
                                 struct.pack("<%di" % len(n.bq), *n.bq)))
        if n.op == "reshape":
            inputs.append(tensor(n.name + "/shape", [2], INT32,
                                 data=struct.pack("<2i", 1, n.shape[2])))
        flat = n.op in ("reshape", "fc", "softmax")
        index.append(activation(n.name, [1, n.shape[2]] if flat else [1, *n.shape], n.q))
        if n.op not in codes:
            codes.append(n.op)
        operators.append(table(("I", codes.index(n.op)), vector("i", inputs),
                               vector("i", [index[-1]]),
                               ("B", OPTIONS_TYPE[n.op]), options(n)))

    op_codes = [table(("b", OPCODE[op][0]), None, ("i", OPCODE[op][1]), ("i", OPCODE[op][0]))
                for op in codes]
    graph = table(vector_of(tensors), vector("i", [index[0]]), vector("i", [index[-1]]),
                  vector_of(operators), string("main"))
    model = table(("I", 3), vector_of(op_codes), vector_of([graph]), string(name),
                  vector_of(buffers))
    buf = bytearray(struct.pack("<I4s", 0, b"TFL3"))
    patch(buf, 0, model(buf))
    align(buf, 16)
    return bytes(buf)


# ------------------------------------------------------------------ main

def npy_bytes(images):
    head = "{'descr': '|i1', 'fortran_order': False, 'shape': (%d, %d, %d, 1), }" % (
        len(images), SIDE, SIDE)
    head += " " * (-(len(head) + 11) % 64) + "\n"
    flat = [v for image in images for v in image]
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode("ascii") +
            struct.pack("%db" % len(flat), *flat))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))

    def save(name, data):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)

    images, labels = make_set(N_TRAIN, SEED)
    tests, truth = make_set(N_TEST, SEED + 1)
    tests_int8 = [[v - 128 for v in image] for image in tests]
    save("test_images.npy", npy_bytes(tests_int8))
    save("test_labels.txt", "".join("%d\n" % k for k in truth).encode())

    report = "# correct classifications of the test images\n# model images float int8\n"
    for name, net, epochs, rate, weight_bits in (
            ("shapes", shapes_net(), 16, 0.008, 8),
            ("wide", wide_net(), 12, 0.003, 4)):
        print(name)
        train(net, images, labels, epochs, rate, SEED + 2)
        quantize(net, images[:N_CALIBRATE], weight_bits)
        save(name + ".tflite", tflite_bytes(net, name))
        peaks = {}
        right = sum(argmax(run_int8(net, x, peaks)) == k for x, k in zip(tests_int8, truth))
        line = "%s.tflite %d %d %d\n" % (name, N_TEST, float_right(net, tests, truth), right)
        print("  test: " + line, end="")
        for layer, (low, high) in peaks.items():
            print("  partial sums of %s on the test images: %d .. %d" % (layer, low, high))
        report += line
    save("expected.txt", report.encode())


if __name__ == "__main__":
    main()
