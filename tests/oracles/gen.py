#!/usr/bin/env python3
"""Writes seeded random quantized .tflite models, one operator each and small chains, with inputs.

Usage: gen.py DIRECTORY MODELS_PER_KIND SEED [PATTERN...]
DIRECTORY/KIND/NNN/ gets model.tflite, in0.bin, in1.bin, ... (raw little-endian samples back to back) and meta.json (for the
reader of a report). A kind's models depend on its name, the number and the seed only. Needs numpy, flatbuffers and the schema
classes of the ai-edge-litert package.
"""
import fnmatch
import json
import os
import sys
import tempfile
import zlib

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter
from ai_edge_litert import schema_py_generated as S

NP = {"int8": np.int8, "uint8": np.uint8, "int16": np.int16, "int32": np.int32, "int64": np.int64, "float32": np.float32,
      "int4": np.int8}
RANGE = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


def f32(x):
    return float(np.float32(x))


class Rng:
    def __init__(self, kind, number, seed):
        self.r = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
        self.middle = False  # zero points near the middle of the range only

    def int(self, lo, hi):
        return int(self.r.integers(lo, hi + 1))

    def chance(self, p):
        return self.r.random() < p

    def pick(self, seq):
        return seq[self.int(0, len(seq) - 1)]

    def log(self, lo, hi):
        return f32(np.exp(self.r.uniform(np.log(lo), np.log(hi))))

    def near(self, s, spread):
        return f32(s * self.log(1 / spread, spread))

    def zp(self, ty):
        lo, hi = RANGE[ty]
        if ty == "int16":
            return 0
        if self.middle:
            return (lo + hi) // 2 + self.int(-40, 40)
        return self.int(lo, hi) if self.chance(0.85) else self.pick([lo, hi])

    def data(self, n, shape, ty):
        if ty == "float32":
            return (self.r.normal(size=(n, *shape)) * 4).astype(np.float32)
        lo, hi = RANGE[ty]
        a = self.r.integers(lo, hi + 1, (n, *shape))
        k = max(1, n // 8)
        a[:k] = self.r.choice([lo, lo + 1, 0, hi - 1, hi], (k, *shape))
        return a.astype(NP[ty])

    def act(self, p):
        return self.int(1, 3) if self.chance(p) else 0  # RELU, RELU_N1_TO_1, RELU6


class Net:
    def __init__(self):
        self.tensors, self.meta, self.buffers, self.ops, self.codes = [], [], [b""], [], []
        self.inputs, self.samples = [], []

    def tensor(self, shape, ty, scale=None, zp=0, data=None, qdim=0):
        t = S.TensorT()
        t.shape, t.type, t.name, t.buffer = [int(d) for d in shape], getattr(S.TensorType, ty.upper()), b"t%d" % len(self.tensors), 0
        m = {"shape": t.shape, "type": ty}
        if data is not None:
            a = np.asarray(data).reshape(-1)
            m["data"] = a.tolist()
            if ty == "int4":
                nib = a.astype(np.int64) & 15
                nib = np.append(nib, 0) if nib.size % 2 else nib
                raw = (nib[0::2] | nib[1::2] << 4).astype(np.uint8).tobytes()
            else:
                raw = a.astype(NP[ty]).tobytes()
            self.buffers.append(raw)
            t.buffer = len(self.buffers) - 1
        if scale is not None:
            q = S.QuantizationParametersT()
            scale = np.atleast_1d(np.float32(scale))
            q.scale, q.zeroPoint, q.quantizedDimension = [float(s) for s in scale], [int(zp)] * scale.size, qdim
            t.quantization = q
            m.update(scale=q.scale, zp=int(zp))
        self.tensors.append(t)
        self.meta.append(m)
        return len(self.tensors) - 1

    def input(self, shape, ty, scale=None, zp=0, samples=None):
        i = self.tensor(shape, ty, scale, zp)
        self.inputs.append(i)
        self.samples.append(samples)
        return i

    def op(self, name, ins, out, version, options=None, **fields):
        code = (getattr(S.BuiltinOperator, name), version)
        if code not in self.codes:
            self.codes.append(code)
        o = S.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = self.codes.index(code), list(ins), [out]
        if options:
            x = getattr(S, options + "T")()
            for k, v in fields.items():
                setattr(x, k, v)
            o.builtinOptionsType, o.builtinOptions = getattr(S.BuiltinOptions, options), x
        self.ops.append((o, {"op": name, "in": list(ins), "out": out, **{k: v if not isinstance(v, np.generic) else v.item() for k, v in fields.items()}}))
        return out

    def shape(self, t):
        return self.meta[t]["shape"]

    def ty(self, t):
        return self.meta[t]["type"]

    def scale(self, t):
        return self.meta[t]["scale"][0]

    def zp(self, t):
        return self.meta[t]["zp"]

    def save(self, d, g, out, n):
        os.makedirs(d, exist_ok=True)
        m, sub = S.ModelT(), S.SubGraphT()
        sub.tensors, sub.operators, sub.inputs, sub.outputs, sub.name = self.tensors, [o for o, _ in self.ops], self.inputs, [out], b"main"
        m.version, m.description, m.subgraphs, m.buffers, m.operatorCodes = 3, b"random", [sub], [], []
        for raw in self.buffers:
            b = S.BufferT()
            if raw:
                b.data = np.frombuffer(raw, np.uint8)
            m.buffers.append(b)
        for code, version in self.codes:
            c = S.OperatorCodeT()
            c.builtinCode, c.deprecatedBuiltinCode, c.version = code, min(code, 127), version
            m.operatorCodes.append(c)
        fb = flatbuffers.Builder(4096)
        fb.Finish(m.Pack(fb), b"TFL3")
        with open(d + "/model.tflite", "wb") as f:
            f.write(bytes(fb.Output()))
        for k, i in enumerate(self.inputs):
            x = self.samples[k]
            (g.data(n, self.shape(i), self.ty(i)) if x is None else np.ascontiguousarray(x)).tofile(f"{d}/in{k}.bin")
        with open(d + "/meta.json", "w") as f:
            json.dump({"tensors": self.meta, "ops": [x for _, x in self.ops], "inputs": self.inputs, "output": out}, f)


# ---- operators: each appends to the net and returns the output tensor --------------------------------------------------------

def op_unary(net, g, x, name, so, zo, version, oty=None, options=None, **fields):
    y = net.tensor(net.shape(x), oty or net.ty(x), so, zo)
    return net.op(name, [x], y, version, options, **fields)


def op_relu(net, g, x, name):
    ty, si, zi = net.ty(x), net.scale(x), net.zp(x)
    same = g.chance(0.3)
    so, zo = (si, zi) if same else (g.near(si, 3), g.zp(ty))
    if name == "LEAKY_RELU":
        alpha = f32(g.pick([0.01, 0.1, 0.2, 0.3, g.r.uniform(0, 1), g.r.uniform(1, 2), -g.r.uniform(0, 1)]))
        return op_unary(net, g, x, name, so, zo, 2, options="LeakyReluOptions", alpha=alpha)
    return op_unary(net, g, x, name, so, zo, 1 if "_1" in name else 3 if ty == "int16" else 2)


def op_logistic(net, g, x):
    ty = net.ty(x)
    so, zo = {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)}[ty]
    return op_unary(net, g, x, "LOGISTIC", so, zo, 3 if ty == "int16" else 2)


def op_tanh(net, g, x):
    ty = net.ty(x)
    so, zo = {"int8": (1 / 128, 0), "uint8": (1 / 128, 128), "int16": (1 / 32768, 0)}[ty]
    return op_unary(net, g, x, "TANH", so, zo, 3 if ty == "int16" else 2)


def op_hard_swish(net, g, x):
    return op_unary(net, g, x, "HARD_SWISH", g.near(net.scale(x), 2.2), g.zp(net.ty(x)), 1)


def op_softmax(net, g, x, oty):
    ty = net.ty(x)
    so, zo = {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 65536, -32768) if ty == "int8" else (1 / 32768, 0)}[oty]
    return op_unary(net, g, x, "SOFTMAX", so, zo, 3 if "int16" in (ty, oty) else 2, oty, "SoftmaxOptions", beta=f32(g.pick([1, 1, 1, 0.5, 2])))


def op_log_softmax(net, g, x):
    return op_unary(net, g, x, "LOG_SOFTMAX", 16 / 256, 127 if net.ty(x) == "int8" else 255, 2)


def op_requant(net, g, x, oty):
    ty, si, zi = net.ty(x), net.scale(x), net.zp(x)
    so, zo = g.near(si, 4), g.zp(oty)
    if ty == "int16" and oty != "int16":
        so = f32(si * 256 * g.r.uniform(0.5, 2))
    elif oty == "int16" and ty != "int16":
        so = f32(si / 256 * g.r.uniform(0.5, 2))
    elif g.chance(0.25):
        so = si
    if {ty, oty} == {"int8", "uint8"} and g.chance(0.3):
        so, zo = si, zi + 128 if oty == "uint8" else zi - 128
    return op_unary(net, g, x, "QUANTIZE", so, zo, 2, oty)


def op_mean(net, g, x):
    ty, shape, si = net.ty(x), net.shape(x), net.scale(x)
    axes = g.pick([[1, 2], [1, 2], [2, 1], [1], [3], [-3, -2], [2], [0, 1], [1, 2, 3], [2, 3]])
    keep = g.chance(0.5)
    so, zo = (si, net.zp(x)) if g.chance(0.3) else (f32(si * g.pick([0.25, 0.5, 1, 2])), g.zp(ty)) if g.chance(0.3) else (g.near(si, 4), g.zp(ty))
    gone = {a % 4 for a in axes}
    out = [1 if d in gone else v for d, v in enumerate(shape)] if keep else [v for d, v in enumerate(shape) if d not in gone]
    a = net.tensor([len(axes)], "int32", data=axes)
    return net.op("MEAN", [x, a], net.tensor(out, ty, so, zo), 3 if ty == "int16" else 2, "ReducerOptions", keepDims=keep)


def op_pool(net, g, x, name):
    ty, (_, h, w, c) = net.ty(x), net.shape(x)
    kh, kw, sh, sw, same = g.int(1, 4), g.int(1, 4), g.int(1, 3), g.int(1, 3), g.chance(0.6)
    if not same:
        kh, kw = min(kh, h), min(kw, w)
    if g.chance(0.2):
        kh, kw, same = h, w, False
    oh, ow = (-(-h // sh), -(-w // sw)) if same else ((h - kh) // sh + 1, (w - kw) // sw + 1)
    y = net.tensor([1, oh, ow, c], ty, net.scale(x), net.zp(x))
    return net.op(name, [x], y, 3 if ty == "int16" else 2, "Pool2DOptions", padding=0 if same else 1, strideW=sw, strideH=sh, filterWidth=kw,
                  filterHeight=kh, fusedActivationFunction=g.act(0.35))


def op_pad(net, g, x, v2):
    ty, shape = net.ty(x), net.shape(x)
    p = [[0, 0], [g.int(0, 3), g.int(0, 3)], [g.int(0, 3), g.int(0, 3)], [g.int(0, 2), g.int(0, 2)]]
    ins = [x, net.tensor([4, 2], "int32", data=p)]
    if v2:
        ins.append(net.tensor(g.pick([[], [1]]), ty, net.scale(x), net.zp(x), data=g.data(1, [1], ty)[0]))
    y = net.tensor([d + a + b for d, (a, b) in zip(shape, p)], ty, net.scale(x), net.zp(x))
    return net.op("PADV2" if v2 else "PAD", ins, y, 2, "PadV2Options" if v2 else "PadOptions")


def op_binary(net, g, x, x2, name, out_shape, pot=False):
    ty, s1, s2 = net.ty(x), net.scale(x), net.scale(x2)
    so = f32(s1 * s2 * g.log(2, 200)) if name == "MUL" else g.near(max(s1, s2), 3)
    if pot:
        so = max(s1, s2) if g.chance(0.7) else f32(2.0 ** round(np.log2(so)))
    fields = {"fusedActivationFunction": g.act(0.3)}
    if name != "MUL" and ty == "int16":
        fields["potScaleInt16"] = pot and g.chance(0.5)
    version = {"ADD": 4, "SUB": 5, "MUL": 4}[name] if ty == "int16" else 2
    return net.op(name, [x, x2], net.tensor(out_shape, ty, so, g.zp(ty)), version, name.capitalize() + "Options", **fields)


def op_gemm(net, g, x, name, wty="int8", bty="int32", per_channel=False, dilated=False, groups=1, tie=False, fit=False):
    """CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED. tie: weights 0 and biases next to where rounding turns. fit: choose the
    output's scale by running the net, so that a layer deep in a chain neither saturates nor collapses."""
    ty, shape, si = net.ty(x), net.shape(x), net.scale(x)
    act = g.act(0.15 if fit else 0.4)
    if name == "FULLY_CONNECTED":
        k = shape[-1]
        oc = g.int(100, 200) if tie else g.int(1, 20)
        wshape, out, taps, qdim = [oc, k], [int(np.prod(shape)) // k, oc], k, 0
    else:
        _, h, w, ci = shape
        same, kh, kw, sh, sw = g.chance(0.5), g.int(1, 4), g.int(1, 4), g.int(1, 2), g.int(1, 2)
        dh, dw = (g.int(1, 3), g.int(1, 3)) if dilated else (1, 1)
        if dilated:
            sh = sw = 1
        if g.chance(0.25):
            kh = kw = 1
        if name == "DEPTHWISE_CONV_2D":
            sw = sh
        eh, ew = (kh - 1) * dh + 1, (kw - 1) * dw + 1
        same = same or eh > h or ew > w
        oh, ow = (-(-h // sh), -(-w // sw)) if same else ((h - eh) // sh + 1, (w - ew) // sw + 1)
        geo = dict(padding=0 if same else 1, strideW=sw, strideH=sh, dilationWFactor=dw, dilationHFactor=dh)
        if name == "CONV_2D":
            oc = g.int(1, 10) * groups
            wshape, qdim, taps = [oc, kh, kw, ci // groups], 0, kh * kw * ci // groups
        else:
            geo["depthMultiplier"] = g.int(1, 3) if g.chance(0.4) else 1
            oc = ci * geo["depthMultiplier"]
            wshape, qdim, taps = [1, kh, kw, oc], 3, kh * kw
        out = [1, oh, ow, oc]
    ws, wz = g.log(0.002, 0.02), 0
    if wty == "uint8":
        wz, wdata = g.int(100, 156) if g.chance(0.8) else g.int(0, 255), g.r.integers(0, 256, wshape)
    elif wty == "int4":
        wdata = g.r.integers(-7, 8, wshape)
    else:
        wdata = g.r.integers(-127, 128, wshape)
    if per_channel:
        ws = [f32(g.log(0.002, 0.02) * 2.0 ** g.int(-3, 0)) for _ in range(oc)]
    sb = np.float32(si) * np.float32(ws)
    spread, full = (4.3 if wty == "int4" else 74), (18900 if ty == "int16" else 74)
    so = f32(si * np.mean(ws) * spread * np.sqrt(taps) * full / (12000 if ty == "int16" else 60) * g.r.uniform(0.5, 3))
    zo = g.zp(ty)
    if tie:
        wdata = np.full(wshape, wz)
        so = f32(np.mean(sb) * g.log(2e4, 1e6))
        m = np.broadcast_to(np.float64(si) * np.float64(ws) / so, (oc,))
        top = 30000 if ty == "int16" else 120
        bias = np.clip(np.rint((g.r.integers(-top, top, oc) + 0.5) / m) + g.r.integers(-8, 9, oc), -2**30, 2**30)
        zo = 128 if ty == "uint8" else 0
    elif bty:
        amp = max(1, int((9000 if ty == "int16" else 60) * so / np.min(sb)))
        bias = np.clip(g.r.integers(-amp, amp + 1, oc), -2**30, 2**30)
    ins = [x, net.tensor(wshape, wty, ws, wz, data=wdata, qdim=qdim if per_channel else 0)]
    if bty:
        ins.append(net.tensor([oc], bty, sb if per_channel else float(sb), 0, data=bias.astype(np.int64)))
    elif name == "FULLY_CONNECTED":
        ins.append(-1)
    if fit:
        zo = (0 if ty == "uint8" else -128) if act in (1, 3) else g.int(-60, 60) + (128 if ty == "uint8" else 0)
    y = net.tensor(out, ty, so, zo)
    b16 = {"quantizedBiasType": S.TensorType.INT32} if ty == "int16" and bty == "int32" else {}
    if name == "FULLY_CONNECTED":
        version = 13 if b16 and per_channel else 11 if b16 else 12 if per_channel else 8 if wty == "int4" else {"uint8": 1, "int8": 4, "int16": 7}[ty]
        net.op(name, ins, y, version, "FullyConnectedOptions", fusedActivationFunction=act, keepNumDims=False, **b16)
    elif name == "CONV_2D":
        version = 8 if b16 else 6 if groups > 1 else 7 if wty == "int4" else {"uint8": 1, "int8": 3, "int16": 4}[ty]
        net.op(name, ins, y, version, "Conv2DOptions", fusedActivationFunction=act, **geo, **b16)
    else:
        version = 7 if wty == "int4" else {"uint8": 2, "int8": 3, "int16": 5}[ty]
        net.op(name, ins, y, version, "DepthwiseConv2DOptions", fusedActivationFunction=act, **geo)
    if fit:
        fit_scale(net, g, y)
    return y


def fit_scale(net, g, y):
    lo, hi = RANGE[net.ty(y)]
    for _ in range(12):
        with tempfile.TemporaryDirectory() as d:
            net.save(d, g, y, 1)
            it = interpreter.Interpreter(model_path=d + "/model.tflite", num_threads=1)
            it.allocate_tensors()
            x = it.get_input_details()[0]
            it.set_tensor(x["index"], np.fromfile(d + "/in0.bin", x["dtype"]).reshape(x["shape"]))
            it.invoke()
            out = it.get_tensor(it.get_output_details()[0]["index"]).astype(np.int64)
        if np.mean((out == lo) | (out == hi)) > 0.3 and np.abs(out - net.zp(y)).max() > 60:
            factor = 3.0
        elif out.std() < 15:
            factor = 0.4
        else:
            return
        s = f32(net.scale(y) * factor)
        net.tensors[y].quantization.scale = [s]
        net.meta[y]["scale"] = [s]


# ---- kinds of models ------------------------------------------------------------------------------------------------------------

KINDS = {}


def kind(name, f, *args, **kw):
    KINDS[name] = lambda net, g: f(net, g, *args, **kw)


def flat_input(net, g, ty, lo, hi):
    """All 256 bytes in one sample, or an odd size, so that vector code and its tail are both seen."""
    if ty != "int16" and g.chance(0.5):
        x = np.arange(256, dtype=np.uint8).reshape(1, 256)
        return net.input([1, 256], ty, g.log(lo, hi), g.zp(ty), x.view(NP[ty])), 1
    shape = [1, 4096] if ty == "int16" and g.chance(0.5) else g.pick([[1, g.int(1, 70)], [1, g.int(1, 5), g.int(1, 5), g.int(1, 17)]])
    return net.input(shape, ty, g.log(lo, hi), g.zp(ty)), 4 if shape[-1] == 4096 else 12


def k_unary(net, g, ty, op, lo, hi, *args):
    x, n = flat_input(net, g, ty, lo, hi)
    return op(net, g, x, *args), n


def k_fixed_scale(net, g, ty, op, scales):
    s, z = g.pick(scales)
    x = np.arange(256, dtype=np.uint8).reshape(1, 256).view(NP[ty])
    return op(net, g, net.input([1, 256], ty, s, z, x)), 1


def k_act16(net, g, op):
    s = g.pick([1 / 4096, 1 / 2048, 1 / 8192]) if g.chance(0.3) else g.log(1e-5, 3e-3)
    return op(net, g, net.input([1, 4096], "int16", s, 0)), 4


def k_softmax(net, g, ty, op, *args):
    n = g.int(2, 40)
    shape = [g.int(1, 3), n] if g.chance(0.6) else [1, 2, 2, n]
    x = net.input(shape, ty, g.log(1e-5, 1e-3) if ty == "int16" else g.log(0.003, 0.4), g.zp(ty))
    return op(net, g, x, *args), 24


# Rows on which the fixed-point and the binary32-table form of SOFTMAX differ (found by search): type, scale, row.
SOFTMAX_ROWS = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "softmax_rows.json")))


def k_softmax_rows(net, g, ty):
    s, row = g.pick([(s, r) for t, s, r in SOFTMAX_ROWS if t == ty])
    x = net.input([1, len(row)], ty, s, g.zp(ty), np.array([[row]], dtype=NP[ty]))
    y = net.tensor([1, len(row)], ty, 1 / 256, -128 if ty == "int8" else 0)
    return net.op("SOFTMAX", [x], y, 2, "SoftmaxOptions", beta=1.0), 1


def k_mean(net, g, ty):
    h, w = g.pick([(2, 2), (3, 3), (5, 5), (7, 7), (9, 7), (1, 1), (4, 8), (2, 7), (g.int(1, 9), g.int(1, 9))])
    return op_mean(net, g, net.input([1, h, w, g.int(1, 40)], ty, g.log(1e-3, 0.2), g.zp(ty))), 16


def k_pool(net, g, ty, name):
    return op_pool(net, g, net.input([1, g.int(1, 9), g.int(1, 9), g.int(1, 18)], ty, g.log(1e-3, 0.2), g.zp(ty)), name), 16


def k_pad(net, g, ty, v2):
    return op_pad(net, g, net.input([1, g.int(1, 5), g.int(1, 5), g.int(1, 6)], ty, g.log(1e-3, 0.2), g.zp(ty)), v2), 8


def k_binary(net, g, ty, name, pot=False):
    s1 = g.log(0.005, 0.1)
    s2 = g.near(s1, 4)
    if pot:
        s1, s2 = f32(2.0 ** round(np.log2(s1))), f32(2.0 ** round(np.log2(s2)))
    c = g.int(1, 9)
    full = [1, g.int(1, 6), g.int(1, 6), c]
    a, b = g.pick([(full, full), (full, full), (full, [1, 1, 1, c]), ([1, 1, 1, c], full), (full, [1, 1, 1, 1]), (full, [1, full[1], 1, c]), (full, [c])])
    x = net.input(a, ty, s1, g.zp(ty))
    if len(b) == 1 and g.chance(0.6):
        x2 = net.tensor(b, ty, s2, g.zp(ty), data=g.data(1, b, ty)[0])
    else:
        x2 = net.input(b, ty, s2, g.zp(ty))
    return op_binary(net, g, x, x2, name, full, pot), 24


def k_concat(net, g, ty, same):
    axis, base, so, zo = g.int(1, 3), [1, g.int(1, 5), g.int(1, 5), g.int(1, 9)], g.log(0.01, 0.1), g.zp(ty)
    ins, total = [], 0
    for _ in range(g.int(2, 3)):
        shape = list(base)
        shape[axis] = g.int(1, 6)
        total += shape[axis]
        s, z = (so, zo) if same or g.chance(0.4) else (g.near(so, 3), g.zp(ty))
        ins.append(net.input(shape, ty, s, z))
    out = list(base)
    out[axis] = total
    y = net.tensor(out, ty, so, zo)
    return net.op("CONCATENATION", ins, y, 3 if ty == "int16" else 2, "ConcatenationOptions", axis=axis, fusedActivationFunction=0), 16


def k_quantize(net, g, ty):
    n, s = g.int(1, 80) if g.chance(0.5) else 512, g.log(0.005, 0.2)
    x = g.data(4, [1, n], "float32")
    half = (np.arange(n) - n // 2 + 0.5).reshape(1, n)
    x[1], x[2] = half.astype(np.float32) * np.float32(s), (half * s * (1 + 1e-7)).astype(np.float32)
    i = net.input([1, n], "float32", samples=x)
    return net.op("QUANTIZE", [i], net.tensor([1, n], ty, s, g.zp(ty)), 2 if ty == "int16" else 1), 4


def k_gemm(net, g, name, ty, **kw):
    s = g.log(1e-5, 1e-3) if ty == "int16" else g.log(0.005, 0.05)
    if name == "FULLY_CONNECTED":
        shape = [g.int(1, 4), g.int(1, 3) if kw.get("tie") else g.int(1, 70)]
    else:
        c = g.int(1, 12) if name == "DEPTHWISE_CONV_2D" else g.int(1, 8)
        kw = dict(kw, groups=g.int(2, 3)) if kw.get("groups") else kw
        shape = [1, g.int(1, 9), g.int(1, 9), c * kw.get("groups", 1)]
        if name == "DEPTHWISE_CONV_2D" and g.chance(0.3):
            shape[3] = g.int(16, 40)
    return op_gemm(net, g, net.input(shape, ty, s, g.zp(ty)), name, **kw), 4 if kw.get("tie") else 16


def k_chain(net, g, ty):
    """A small convolutional net: every operator reads what the one before it wrote."""
    g.middle = True
    wide = dict(wty="uint8") if ty == "uint8" else dict(per_channel=g.chance(0.7))
    x = net.input([1, g.int(6, 12), g.int(6, 12), g.int(1, 6)], ty, g.log(0.005, 0.05), g.zp(ty))
    for _ in range(g.int(2, 6)):
        step = g.pick(["conv", "conv", "dw", "dw", "max", "avg", "add", "act", "pad", "concat"])
        if step == "conv":
            x = op_gemm(net, g, x, "CONV_2D", fit=True, **wide)
        elif step == "dw" and net.shape(x)[3] <= 24:
            x = op_gemm(net, g, x, "DEPTHWISE_CONV_2D", fit=True, **wide)
        elif step in ("max", "avg"):
            x = op_pool(net, g, x, "MAX_POOL_2D" if step == "max" else "AVERAGE_POOL_2D")
        elif step == "add":
            z = op_relu(net, g, x, "LEAKY_RELU")
            x = op_binary(net, g, x, z, g.pick(["ADD", "MUL", "SUB"]), net.shape(x))
        elif step == "act":
            f = g.pick([op_logistic, op_tanh, op_hard_swish, lambda n, r, t: op_relu(n, r, t, r.pick(["RELU", "RELU6"]))])
            x = f(net, g, x)
        elif step == "pad":
            x = op_pad(net, g, x, False)
        elif step == "concat":
            shape = net.shape(x)
            y = net.tensor(shape[:3] + [2 * shape[3]], ty, net.scale(x), net.zp(x))
            x = net.op("CONCATENATION", [x, x], y, 2, "ConcatenationOptions", axis=3, fusedActivationFunction=0)
        if int(np.prod(net.shape(x))) > 6000:
            x = op_pool(net, g, x, "MAX_POOL_2D")
    tail = g.pick(["mean", "fc", "fc", "none"])
    if tail == "mean":
        x = op_mean(net, g, x)
    elif tail == "fc":
        size = int(np.prod(net.shape(x)))
        flat = net.tensor([1, size], ty, net.scale(x), net.zp(x))
        to = net.tensor([2], "int32", data=[1, size])
        net.op("RESHAPE", [x, to], flat, 1, "ReshapeOptions", newShape=[1, size])
        x = op_gemm(net, g, flat, "FULLY_CONNECTED", wty="uint8" if ty == "uint8" else "int8", fit=True)
        if g.chance(0.6):
            x = op_softmax(net, g, x, ty)
    return x, 12


for t in ("int8", "uint8", "int16"):
    kind("mean_" + t, k_mean, t)
    for o in ("ADD", "SUB", "MUL"):
        kind(f"{o.lower()}_{t}", k_binary, t, o)
    for o in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        kind(f"{o[:-3].lower()}_{t}", k_pool, t, o)
    for o in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LEAKY_RELU"):
        kind(f"{o.lower()}_{t}", k_unary, t, op_relu, 0.004, 0.15, o)
    for o in ("int8", "uint8", "int16"):
        kind(f"requant_{t}_{o}", k_unary, t, op_requant, 0.005, 0.1, o)
    kind("concat_" + t, k_concat, t, False)
    kind("concat_same_" + t, k_concat, t, True)
    kind("pad_" + t, k_pad, t, False)
    kind("padv2_" + t, k_pad, t, True)
    kind("quantize_" + t, k_quantize, t)
    if t == "int16":
        kind("logistic_int16", k_act16, op_logistic)
        kind("tanh_int16", k_act16, op_tanh)
    else:
        kind("logistic_" + t, k_unary, t, op_logistic, 0.004, 0.3)
        kind("tanh_" + t, k_unary, t, op_tanh, 0.004, 0.3)
        kind("hard_swish_" + t, k_unary, t, op_hard_swish, 0.004, 0.12)
        kind("log_softmax_" + t, k_softmax, t, op_log_softmax)
        kind("softmax_rows_" + t, k_softmax_rows, t)
        kind("chain_" + t, k_chain, t)
for o in ("ADD", "SUB"):
    kind(f"{o.lower()}_int16_pot", k_binary, "int16", o, pot=True)
for t, o in (("int8", "int8"), ("uint8", "uint8"), ("int8", "int16"), ("int16", "int16")):
    kind(f"softmax_{t}_{o}", k_softmax, t, op_softmax, o)
# Scales at which the fixed-point and the binary32-table form differ (found by search).
kind("logistic_table_int8", k_fixed_scale, "int8", op_logistic, [(0.010894975624978542, -8)])
kind("tanh_table_int8", k_fixed_scale, "int8", op_tanh, [(0.010894975624978542, -8)])
kind("logistic_table_uint8", k_fixed_scale, "uint8", op_logistic, [(0.010702699422836304, 147), (0.003071084152907133, 125)])
for o, name in (("CONV_2D", "conv"), ("DEPTHWISE_CONV_2D", "dw"), ("FULLY_CONNECTED", "fc")):
    pc = name != "fc"
    kind(name + "_uint8", k_gemm, o, "uint8", wty="uint8")
    kind(name + "_int8", k_gemm, o, "int8")
    kind(name + "_int8_pc", k_gemm, o, "int8", per_channel=True)
    kind(name + "_int8_nobias", k_gemm, o, "int8", bty=None, per_channel=pc)
    kind(name + "_int4", k_gemm, o, "int8", wty="int4", per_channel=pc)
    kind(name + "_16x8_b64", k_gemm, o, "int16", bty="int64", per_channel=pc)
    kind(name + "_16x8_nobias", k_gemm, o, "int16", bty=None, per_channel=pc)
    kind(name + "_tie_uint8", k_gemm, o, "uint8", wty="uint8", tie=True)
    kind(name + "_tie_int8", k_gemm, o, "int8", tie=True)
    kind(name + "_tie_int8_pc", k_gemm, o, "int8", per_channel=True, tie=True)
    kind(name + "_tie_16x8", k_gemm, o, "int16", bty="int64", per_channel=pc, tie=True)
    if name != "dw":  # DEPTHWISE has no 32-bit bias in any runtime
        kind(name + "_16x8_b32", k_gemm, o, "int16", bty="int32", per_channel=pc)
    if name != "fc":
        kind(name + "_int8_dilated", k_gemm, o, "int8", per_channel=True, dilated=True)
        kind(name + "_uint8_dilated", k_gemm, o, "uint8", wty="uint8", dilated=True)
kind("conv_int8_groups", k_gemm, "CONV_2D", "int8", per_channel=True, groups=2)
kind("fc_int4_pc", k_gemm, "FULLY_CONNECTED", "int8", wty="int4", per_channel=True)
kind("fc_16x8_b64_pc", k_gemm, "FULLY_CONNECTED", "int16", bty="int64", per_channel=True)


def main():
    root, count, seed, patterns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] or ["*"]
    for name in sorted(KINDS):
        if not any(fnmatch.fnmatch(name, p) for p in patterns):
            continue
        for j in range(count):
            g, net = Rng(name, j, seed), Net()
            y, n = KINDS[name](net, g)
            net.save(f"{root}/{name}/{j:03d}", g, y, n)


if __name__ == "__main__":
    main()
