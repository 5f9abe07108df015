#!/usr/bin/env python3
"""Random one-operator and small ONNX models with the outputs of ONNX Runtime on this CPU (must have VNNI) and on an AVX2-only CPU
(emulated by qemu-user), for tests/test_onnx.c. Needs the Python packages onnx, numpy and onnxruntime, and qemu-x86_64.

    tests/make_onnx_golden.py tests/golden/onnx_ort.gz [SEED [MODELS_PER_KIND]]

Format of the unpacked file, all numbers u32 little-endian, bytes preceded by their length: for each model its kind, the .onnx file,
number of samples, number of inputs; for each input a type code (B u8, b s8, f float32) and the samples back to back; the output's
type code (also i s32), the outputs with VNNI, the outputs with AVX2."""
import gzip, os, pickle, struct, subprocess, sys, tempfile
import numpy as np
from onnx import TensorProto as T, helper as H, numpy_helper as N

F, U, S = np.float32, T.UINT8, T.INT8
NP = {U: np.uint8, S: np.int8, T.INT32: np.int32, T.FLOAT: np.float32}
SAMPLES = 2


class Graph:
    def __init__(self, opset=13):
        self.nodes, self.inits, self.inputs, self.outputs, self.opset, self.k = [], [], [], [], opset, 0

    def const(self, a):
        self.k += 1
        self.inits.append(N.from_array(np.array(a), f"c{self.k}"))
        return f"c{self.k}"

    def input(self, name, t, shape):
        self.inputs.append(H.make_tensor_value_info(name, t, shape))
        return name

    def output(self, name, t):
        self.outputs.append(H.make_tensor_value_info(name, t, None))

    def op(self, op, ins, out=None, domain="", **kw):
        self.k += 1
        out = out or f"t{self.k}"
        self.nodes.append(H.make_node(op, ins, [out], domain=domain, **kw))
        return out

    def model(self):
        g = H.make_graph(self.nodes, "g", self.inputs, self.outputs, self.inits)
        m = H.make_model(g, opset_imports=[H.make_opsetid("", self.opset), H.make_opsetid("com.microsoft", 1)])
        m.ir_version = 8
        return m.SerializeToString()


def scale(r, lo=-8, hi=-2):
    return F(2.0 ** r.uniform(lo, hi))


def full(r, t, shape):  # a quarter of the tensors holds extremes only
    i = np.iinfo(NP[t])
    if r.random() < 0.25:
        return r.choice([i.min, i.max], shape).astype(NP[t])
    return r.integers(i.min, i.max + 1, shape).astype(NP[t])


def zero(r, t):
    i = np.iinfo(NP[t])
    return NP[t](r.choice([i.min, i.max, r.integers(i.min, i.max + 1), 0]))


def out_scale(r, sx, sw, k):
    return F(sx * float(np.mean(sw)) * 73 * 73 * np.sqrt(k) * 2 / 255 * 2.0 ** r.uniform(-1, 1))


def ints(r, lo, hi, n):
    return [int(v) for v in r.integers(lo, hi, n)]


def weights_q(r, wt, n, per, vary):
    sw = np.array([scale(r, -6, -5) for _ in range(n if per else 1)], F)
    zw = np.array([zero(r, wt) if vary else NP[wt](0 if wt == S else 128) for _ in sw], NP[wt])
    return (sw, zw) if per else (sw[0], zw[0])


# ---- QOperator form -------------------------------------------------------------------------------------------------------------

def q_conv(r, xt, wt, kind):
    g, nd = Graph(), 1 if kind == "1d" else 2
    groups = int(r.choice([8, 16, 32, 5])) if kind == "dw" else int(r.choice([1, 1, 2]))
    gic, goc = (1, int(r.choice([1, 1, 2]))) if kind == "dw" else (int(r.choice([1, 3, 4])), int(r.choice([1, 3, 16])))
    k, hw, oc = ints(r, 1, 4, nd), ints(r, 4, 7, nd), groups * goc
    per = r.random() < 0.5
    sx, (sw, zw) = scale(r), weights_q(r, wt, oc, per, r.random() < 0.5)
    x = g.input("x", xt, [1, groups * gic] + hw)
    ins = [x, g.const(sx), g.const(zero(r, xt)), g.const(full(r, wt, [oc, gic] + k)), g.const(sw), g.const(zw),
           g.const(out_scale(r, sx, sw, gic * np.prod(k))), g.const(zero(r, xt))]
    if r.random() < 0.6:
        ins.append(g.const(r.integers(-3000, 3000, oc).astype(np.int32)))
    pad = {"auto_pad": str(r.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))} if r.random() < 0.3 else {"pads": ints(r, 0, 2, 2 * nd)}
    g.op("QLinearConv", ins, "y", group=groups, strides=ints(r, 1, 3, nd), dilations=[1] * nd, **pad)
    g.output("y", xt)
    return g


def q_matmul(r, xt, wt, op):
    g, m, k, n = Graph(), int(r.choice([1, 3])), int(r.integers(1, 40)), int(r.integers(1, 20))
    x, per, sx, tb, gemm = g.input("x", xt, [m, k]), r.random() < 0.5, scale(r), int(r.integers(0, 2)), op == "QGemm"
    sw, zw = weights_q(r, wt, n, per, r.random() < 0.5)
    w = g.const(full(r, wt, [n, k] if gemm and tb else [k, n]))
    a = [x, g.const(sx), g.const(zero(r, xt)), w, g.const(sw), g.const(zw)]
    y = [g.const(out_scale(r, sx, sw, k)), g.const(zero(r, xt))]
    if gemm:
        bias = g.const(r.integers(-3000, 3000, n).astype(np.int32)) if r.random() < 0.7 else ""
        g.op(op, a + [bias] + y, "y", "com.microsoft", alpha=float(F(r.choice([1, 0.5, 1.7]))), transB=tb)
    else:
        g.op(op, a + y, "y")
    g.output("y", xt)
    return g


def q_integer(r, xt, wt, op):
    g = Graph()
    if op == "MatMulInteger":
        k, n = int(r.integers(1, 40)), int(r.integers(1, 20))
        ins, kw = [g.input("x", xt, [2, k]), g.const(full(r, wt, [k, n]))], {}
    else:
        c, oc, k = int(r.integers(1, 4)), int(r.integers(1, 4)), ints(r, 1, 4, 2)
        ins, kw = [g.input("x", xt, [1, c, 5, 5]), g.const(full(r, wt, [oc, c] + k))], {"pads": ints(r, 0, 2, 4)}
    if r.random() < 0.8:
        ins += [g.const(zero(r, xt)), g.const(zero(r, wt))]
    g.op(op, ins, "y", **kw)
    g.output("y", T.INT32)
    return g


def shapes(r):
    s = [1] + ints(r, 1, 5, 3)
    t = [v if r.random() < 0.6 else 1 for v in s] if r.random() < 0.5 else s
    return (s, t) if r.random() < 0.6 else (t, s)


def q_binary(r, xt, op):
    g, (a, b) = Graph(), shapes(r)
    x, z = g.input("x", xt, a), g.const(full(r, xt, b)) if r.random() < 0.35 else g.input("z", xt, b)
    s1, s2 = scale(r), scale(r)
    sy = F((s1 + s2) * 2.0 ** r.uniform(-0.5, 0.7)) if op == "QLinearAdd" else F(s1 * s2 * 100 * 2.0 ** r.uniform(-1, 1))
    g.op(op, [x, g.const(s1), g.const(zero(r, xt)), z, g.const(s2), g.const(zero(r, xt)), g.const(sy), g.const(zero(r, xt))], "y", "com.microsoft")
    g.output("y", xt)
    return g


def q_unary(r, xt, op):
    g, s = Graph(), scale(r, -7, -3)
    sy = F(2.0 ** r.uniform(-9, -6)) if op == "QLinearSigmoid" else F(s * 2.0 ** r.uniform(-1, 1))
    g.op(op, [g.input("x", xt, [1, 256]), g.const(s), g.const(zero(r, xt)), g.const(sy), g.const(zero(r, xt))], "y", "com.microsoft",
         **({"alpha": float(r.uniform(0.01, 0.5))} if op == "QLinearLeakyRelu" else {}))
    g.output("y", xt)
    return g


def q_pool(r, xt, op):
    g, s = Graph(), scale(r)
    kw = {}
    if op == "QLinearAveragePool":
        kw = {"kernel_shape": ints(r, 1, 4, 2), "strides": ints(r, 1, 3, 2)}
        s = F(2.0 ** int(r.integers(-7, -3))) if r.random() < 0.5 else s
    x = g.input("x", xt, [1, int(r.integers(1, 9)), 5, 6])
    g.op(op, [x, g.const(s), g.const(zero(r, xt)), g.const(F(s * 2.0 ** r.uniform(-2, 0.5))), g.const(zero(r, xt))], "y", "com.microsoft",
         channels_last=0, **kw)
    g.output("y", xt)
    return g


def q_concat(r, xt):
    g, ins = Graph(), None
    ins = [g.const(scale(r)), g.const(zero(r, xt))]
    for i in range(2):
        ins += [g.input(f"x{i}", xt, [1, int(r.integers(1, 4)), 3]), g.const(scale(r)), g.const(zero(r, xt))]
    g.op("QLinearConcat", ins, "y", "com.microsoft", axis=1)
    g.output("y", xt)
    return g


# ---- QDQ form -------------------------------------------------------------------------------------------------------------------

class Act:
    def __init__(self, name, t, s, z, shape):
        self.name, self.t, self.s, self.z, self.shape = name, t, s, z, shape


def dq(g, a):
    return g.op("DequantizeLinear", [a.name, g.const(F(a.s)), g.const(a.z)])


def qz(g, x, s, z):
    return g.op("QuantizeLinear", [x, g.const(F(s)), g.const(z)])


def d_weights(r, g, a, wt, n, shape, axis, bias, fan):
    per = r.random() < 0.5
    sw, zw = weights_q(r, wt, n, per, wt == U)
    ax = {"axis": axis} if per else {}
    ins = [dq(g, a), g.op("DequantizeLinear", [g.const(full(r, wt, shape)), g.const(sw), g.const(zw)], **ax)]
    if bias and r.random() < 0.6:
        sb = np.array(F(a.s) * sw, F)
        ins.append(g.op("DequantizeLinear", [g.const(r.integers(-3000, 3000, n).astype(np.int32)), g.const(sb), g.const(np.zeros_like(sb, np.int32))],
                        **({"axis": 0} if per else {})))
    return ins, out_scale(r, a.s, sw, fan)


def d_conv(r, g, a, wt, relu=False, dw=False):
    c = a.shape[1]
    oc, groups, k, pads = (c if dw else int(r.integers(1, 9))), (c if dw else 1), ints(r, 1, 4, 2), ints(r, 0, 2, 4)
    ins, sy = d_weights(r, g, a, wt, oc, [oc, c // groups] + k, 0, True, c // groups * k[0] * k[1])
    y, zy = g.op("Conv", ins, pads=pads, group=groups), zero(r, a.t)
    if relu:
        y, zy = g.op("Relu", [y]), NP[a.t](np.iinfo(NP[a.t]).min)
    return Act(qz(g, y, sy, zy), a.t, sy, zy, [1, oc] + [a.shape[2 + i] + pads[i] + pads[2 + i] - k[i] + 1 for i in range(2)])


def d_dense(r, g, a, wt, op):
    k, n, tb = a.shape[-1], int(r.integers(1, 12)), op == "Gemm" and r.random() < 0.5
    ins, sy = d_weights(r, g, a, wt, n, [n, k] if tb else [k, n], 0 if tb else 1, op == "Gemm", k)
    zy = zero(r, a.t)
    return Act(qz(g, g.op(op, ins, **({"transB": int(tb)} if op == "Gemm" else {})), sy, zy), a.t, sy, zy, a.shape[:-1] + [n])


def d_op(r, g, a, op, extra=(), same=False, **kw):
    y = g.op(op, [dq(g, a)] + [g.const(e) for e in extra], **kw)
    s, z = (a.s, a.z) if same else (F(a.s * 2.0 ** r.uniform(-1, 1)), zero(r, a.t))
    return Act(qz(g, y, F(1 / 200) if op == "Sigmoid" else s, z), a.t, F(1 / 200) if op == "Sigmoid" else s, z, None)


def d_binary(r, g, a, op, other):
    b = {"one": lambda: Act(g.const(full(r, a.t, [1])), a.t, scale(r), zero(r, a.t), None),
         "channel": lambda: Act(g.const(full(r, a.t, [1, a.shape[1], 1, 1])), a.t, scale(r), zero(r, a.t), None),
         "input": lambda: Act(g.input("z", a.t, a.shape), a.t, scale(r), zero(r, a.t), None)}[other]()
    d = [dq(g, a), dq(g, b)]
    sy = F(a.s * b.s * 100) if op == "Mul" else F((a.s + b.s) * 2.0 ** r.uniform(-0.5, 0.7))
    z = zero(r, a.t)
    return Act(qz(g, g.op(op, d if r.random() < 0.5 or op == "Sub" else d[::-1]), sy, z), a.t, sy, z, a.shape)


def d_net(r, g, a, wt):
    a = d_conv(r, g, d_conv(r, g, a, wt, relu=True), wt, dw=True)
    b = d_op(r, g, a, "MaxPool", same=True, kernel_shape=[2, 2], pads=[1, 1, 1, 1])
    b.shape = a.shape[:2] + [v + 1 for v in a.shape[2:]]
    c = d_conv(r, g, b, wt)
    p = d_op(r, g, c, "GlobalAveragePool")
    p.shape = c.shape[:2] + [1, 1]
    f = d_op(r, g, p, "Flatten", same=True)
    f.shape = c.shape[:2]
    return d_dense(r, g, f, wt, "Gemm")


def d_moves(r, g, a):
    a = d_op(r, g, a, "Slice", [np.array([1, 0]), np.array([4, 1000]), np.array([2, 3]), np.array([1, 2])], True)
    a = d_op(r, g, a, "Pad", [np.array([0, 0, 1, 0, 0, 1, 0, 2])], True)
    a = d_op(r, g, a, "Resize", [np.array([], F), np.array([1, 1, 2, 3], F)], True, mode="nearest")
    a = d_op(r, g, a, "Transpose", [], True, perm=[int(v) for v in r.permutation(4)])
    return d_op(r, g, a, "Reshape", [np.array([1, -1])], True)


def d_stored_moves(r, g, a):
    """Movement of a tensor that a convolution has just made (another storage order), split and joined."""
    a = d_conv(r, g, a, S)
    n, c, h, w = a.shape
    a = d_op(r, g, a, "Slice", [np.array([0, 1]), np.array([-1, 9]), np.array([2, 3])], True)
    a = d_op(r, g, a, "Gather", [np.array([-1, 0])], True, axis=int(r.choice([1, 2, 3])))
    a = d_op(r, g, a, "Pad", [np.array([0, 1, 0, 2, 0, 0, 1, 0])], True)
    d = g.op("DequantizeLinear", [a.name, g.const(F(a.s)), g.const(a.z)])
    g.k += 1
    p, q = f"p{g.k}", f"q{g.k}"
    g.nodes.append(H.make_node("Split", [d, g.const(np.array([1, 2]))], [p, q], axis=1) if c == 2 else H.make_node("Identity", [d], [p]))
    parts = [Act(qz(g, v, a.s, a.z), a.t, a.s, a.z, None) for v in ((q, p) if c == 2 else (p, p))]
    y = g.op("Concat", [dq(g, v) for v in parts], axis=int(r.choice([1, 2] if c != 2 else [1])))
    s, z = (a.s, a.z) if r.random() < 0.5 else (scale(r), zero(r, a.t))
    return Act(qz(g, y, s, z), a.t, s, z, None)


def d_shared(r, g, a, two):
    """A tensor read by a convolution and by an addition, through one DequantizeLinear or two."""
    a = d_conv(r, g, a, S, relu=True)
    c, d = a.shape[1], dq(g, a)
    w = g.op("DequantizeLinear", [g.const(full(r, S, [c, c, 1, 1])), g.const(F(0.01)), g.const(np.int8(0))])
    s = out_scale(r, a.s, np.array([0.01]), c)
    q = qz(g, g.op("Conv", [d, w]), s, a.z)
    y = g.op("Add", [g.op("DequantizeLinear", [q, g.const(F(s)), g.const(a.z)]), dq(g, a) if two else d])
    s3, z3 = F((s + a.s) * 0.7), zero(r, a.t)
    return Act(qz(g, y, s3, z3), a.t, s3, z3, None)


def d_between(r, g, a, op, **kw):
    """An operator between DequantizeLinear and convolution, or matrix product."""
    c = a.shape[1]
    d = g.op(op, [dq(g, a)], **kw)
    shape = [4, c * a.shape[2] * a.shape[3]] if op == "Flatten" else [4, c, 2, 2]
    w = g.op("DequantizeLinear", [g.const(full(r, S, shape)), g.const(F(0.01)), g.const(np.int8(0))])
    s, z = out_scale(r, a.s, np.array([0.01]), np.prod(shape[1:])), zero(r, a.t)
    y = g.op("Gemm", [d, w], transB=1) if op == "Flatten" else g.op("Conv", [d, w])
    return Act(qz(g, y, s, z), a.t, s, z, None)


def qdq(body, t, shape, float_ends, float_in=None):
    def make(r):
        g, s, z = Graph(), scale(r), zero(r, t)
        fi = float_ends if float_in is None else float_in
        x = g.input("x", T.FLOAT if fi else t, shape)
        a = body(r, g, Act(qz(g, x, s, z) if fi else x, t, s, z, shape))
        g.op("DequantizeLinear" if float_ends else "Identity", [a.name, g.const(F(a.s)), g.const(a.z)] if float_ends else [a.name], "y")
        g.output("y", T.FLOAT if float_ends else a.t)
        return g
    return make


# ---- adversarial: parameters for which another order of the same float operations gives another result ----------------------------

def rnd(v):
    return np.rint(v.astype(np.float32))


def c_alpha(r, xt):
    """QGemm: alpha*s_x*s_w/s_y against other orders of the products."""
    x = np.arange(256).astype(np.uint8) if xt == U else np.arange(-128, 128).astype(np.int8)
    for _ in range(20000):
        al, sx, sw, w = F(r.uniform(0.3, 3)), scale(r), scale(r), int(r.integers(1, 128))
        acc = (x.astype(np.int64) * w).astype(F)
        sy = F(al * sx * sw * w * 256 / 200 * r.uniform(0.8, 1.2))
        ms = [F(F(F(al * sx) * sw) / sy), F(F(F(sx * sw) * al) / sy), F(F(F(al * sw) * sx) / sy)]
        if any((rnd(acc * ms[0]) != rnd(acc * m)).any() for m in ms[1:]):
            break
    g = Graph()
    g.op("QGemm", [g.input("x", xt, [256, 1]), g.const(sx), g.const(NP[xt](0)), g.const(np.array([[w]], np.int8)), g.const(sw), g.const(np.int8(0)), "",
                   g.const(sy), g.const(NP[xt](0))], "y", "com.microsoft", alpha=float(al))
    g.output("y", xt)
    g.fixed = {"x": x.reshape(1, 256, 1)}
    return g


def fma(a, b, c):
    return (a.astype(np.float64) * np.float64(b) + np.float64(c)).astype(F)


def c_add(r, xt, form, scalar):
    """Additions near ties: orders of the three additions, and which operand is the repeated one."""
    lo, hi = (0, 255) if xt == U else (-128, 127)
    up = 128 if form == "rewritten" else 0
    a, b = (v.ravel() for v in np.meshgrid(np.arange(lo, hi + 1), np.arange(lo, hi + 1)))
    for _ in range(300):
        s1, s2, sy = scale(r), scale(r), scale(r)
        sy = F((s1 + s2) * r.uniform(0.5, 1.5))
        z1, z2, zy = int(zero(r, xt)), int(zero(r, xt)), int(zero(r, xt))

        def variants(u):
            ra, rb, za, zb = F(s1 / sy), F(s2 / sy), F(z1 + u), F(z2 + u)
            A, B, out = (a + u).astype(F), (b + u).astype(F), []
            for z in (fma(ra, za, F(rb * zb)), F(F(ra * za) + F(rb * zb)), fma(rb, zb, F(ra * za))):  # the constant part
                fixed = F(F(zy + u) - F(z))
                out += [fma(A, ra, fma(B, rb, fixed)), fma(B, rb, fma(A, ra, fixed)), fma(A, ra, (fixed + B * rb).astype(F)),
                        fma(B, rb, (fixed + A * ra).astype(F))]
            return [rnd(v) - u for v in out]
        v = variants(up) + (variants(0) if up else [])
        odd = [np.flatnonzero(np.clip(w, lo, hi) != np.clip(v[0], lo, hi)) for w in v[1:]]
        idx = np.unique(np.concatenate([o[:8] for o in odd]))
        if len(odd[3]) > 0 and len(odd[7]) > 0:  # both other forms of the constant part show
            break
    idx = np.resize(idx, 64) if len(idx) else np.arange(64)
    x, y = a[idx].astype(NP[xt]), b[idx].astype(NP[xt])
    g, one = Graph(), [64, 1]
    q = lambda s, z: [g.const(s), g.const(NP[xt](z))]
    if form == "qlinear":
        # one row per pair; `scalar` repeats that operand along the row
        if scalar == "single":  # one pair only, two values
            p, w = g.input("x", xt, [1]), g.input("z", xt, [1, 1])
            g.op("QLinearAdd", [p] + q(s1, z1) + [w] + q(s2, z2) + q(sy, zy), "y", "com.microsoft")
            g.output("y", xt)
            g.fixed = {"x": x[:1].reshape(1, 1), "z": y[:1].reshape(1, 1, 1)}
            return g
        dims = [[64, 3], [64, 3]] if scalar is None else [[64, 3 if scalar == 1 else 1], [64, 1 if scalar == 1 else 3]]
        p, w = g.input("x", xt, dims[0]), g.input("z", xt, dims[1])
        g.op("QLinearAdd", [p] + q(s1, z1) + [w] + q(s2, z2) + q(sy, zy), "y", "com.microsoft")
        g.output("y", xt)
        g.fixed = {"x": np.repeat(x.reshape(1, 64, 1), dims[0][1], 2), "z": np.repeat(y.reshape(1, 64, 1), dims[1][1], 2)}
        return g
    f1, f2 = g.input("x", T.FLOAT, one), g.input("z", T.FLOAT, one)
    d1 = g.op("DequantizeLinear", [qz(g, f1, s1, NP[xt](z1))] + q(s1, z1))
    d2 = g.op("DequantizeLinear", [qz(g, f2, s2, NP[xt](z2))] + q(s2, z2))
    g.op("DequantizeLinear", [qz(g, g.op("Add", [d1, d2]), sy, NP[xt](zy))] + q(sy, zy), "y")
    g.output("y", T.FLOAT)
    g.fixed = {"x": (F(s1) * (x.astype(F) - z1)).reshape(1, 64, 1), "z": (F(s2) * (y.astype(F) - z2)).reshape(1, 64, 1)}
    return g


def c_ties(r, xt, op):
    """Power-of-two scales: many results end in exactly one half."""
    g = Graph()
    s, n = F(2.0 ** int(r.integers(-6, -3))), 64
    sy, z = F(s * 2), [g.const(zero(r, xt)) for _ in range(3)]
    g.op(op, [g.input("x", xt, [1, n]), g.const(s), z[0], g.input("z", xt, [1, n]), g.const(s if op == "QLinearAdd" else F(0.5)), z[1], g.const(sy if op == "QLinearAdd" else F(s * 64)), z[2]],
         "y", "com.microsoft")
    g.output("y", xt)
    return g


def c_mul(r, xt):
    """Multiplication near ties, int8 rewritten to uint8: the zero point is added in binary32."""
    lo, hi = (0, 255) if xt == U else (-128, 127)
    a, b = (v.ravel() for v in np.meshgrid(np.arange(lo, hi + 1), np.arange(lo, hi + 1)))
    for _ in range(3000):
        s1, s2, z1, z2, zy = scale(r), scale(r), int(zero(r, xt)), int(zero(r, xt)), int(zero(r, xt))
        sy = F(s1 * s2 * 60 * r.uniform(0.5, 3))
        p = ((a - z1) * (b - z2)).astype(F) * F(F(s1 * s2) / sy)
        v = [np.clip(rnd(p + F(zy + u)) - u, lo, hi) for u in (0, 128)] + [np.clip(rnd(p) + zy, lo, hi)]
        idx = np.flatnonzero((v[0] != v[1]) | (v[0] != v[2]))
        if len(idx) >= 1:
            break
    idx = np.resize(idx, 64) if len(idx) else np.arange(64)
    g, q = Graph(), lambda s, z: [g.const(s), g.const(NP[xt](z))]
    f1, f2 = g.input("x", T.FLOAT, [64]), g.input("z", T.FLOAT, [64])
    d1 = g.op("DequantizeLinear", [qz(g, f1, s1, NP[xt](z1))] + q(s1, z1))
    d2 = g.op("DequantizeLinear", [qz(g, f2, s2, NP[xt](z2))] + q(s2, z2))
    g.op("DequantizeLinear", [qz(g, g.op("Mul", [d1, d2]), sy, NP[xt](zy))] + q(sy, zy), "y")
    g.output("y", T.FLOAT)
    g.fixed = {"x": (F(s1) * (a[idx].astype(F) - z1)).reshape(1, 64), "z": (F(s2) * (b[idx].astype(F) - z2)).reshape(1, 64)}
    return g


def c_mean(r, xt):
    """Global average: s_x/(s_y*n) against (s_x/s_y)/n."""
    for _ in range(50000):
        n, sx, z = int(r.choice([3, 5, 6, 7])), scale(r), zero(r, xt)
        sy = F(sx * r.uniform(0.4, 1))
        lo = np.iinfo(NP[xt]).min
        acc = np.arange((lo - int(z)) * n, (lo + 255 - int(z)) * n + 1).astype(F)
        idx = np.flatnonzero(rnd(acc * F(sx / F(sy * F(n)))) != rnd(acc * F(F(sx / sy) / F(n))))
        idx = [i for i in idx if abs(acc[i] * sx / sy / n) < 100]
        if len(idx):
            break
    total = int(acc[idx[0]]) + int(z) * n
    x = np.full(n, total // n)
    x[: total - int(x.sum())] += 1
    g = Graph()
    g.op("QLinearGlobalAveragePool", [g.input("x", xt, [1, 1, 1, n]), g.const(sx), g.const(z), g.const(sy), g.const(z)], "y", "com.microsoft", channels_last=0)
    g.output("y", xt)
    g.fixed = {"x": x.astype(NP[xt]).reshape(1, 1, 1, 1, n)}
    return g


def c_pool(r, xt):
    """Average of four with one scale before and after: ties, decided by the rounding of the float sum."""
    g, s, z = Graph(), scale(r), zero(r, xt)
    g.op("QLinearAveragePool", [g.input("x", xt, [1, 8, 8, 8]), g.const(s), g.const(z), g.const(s), g.const(z)], "y", "com.microsoft", channels_last=0,
         kernel_shape=[2, 2], strides=[2, 2])
    g.output("y", xt)
    return g


def kinds():
    k, img = {}, [1, 3, 6, 5]
    for xt, xn in ((U, "u8"), (S, "s8")):
        for wt, wn in ((U, "u8"), (S, "s8")):
            n = xn + wn
            for op in ("MatMulInteger", "ConvInteger"):
                k[f"{op}_{n}"] = lambda r, xt=xt, wt=wt, op=op: q_integer(r, xt, wt, op)
            if xt == S and wt == U:
                continue
            for kind in ("2d", "1d", "dw"):
                k[f"QLinearConv_{kind}_{n}"] = lambda r, xt=xt, wt=wt, kind=kind: q_conv(r, xt, wt, kind)
            for op in ("QLinearMatMul", "QGemm"):
                k[f"{op}_{n}"] = lambda r, xt=xt, wt=wt, op=op: q_matmul(r, xt, wt, op)
            for fl in (True,) if xt == S else (True, False):
                k[f"qdq_net_{n}_{fl}"] = qdq(lambda r, g, a, wt=wt: d_net(r, g, a, wt), xt, [1, 3, 7, 7], fl)
                k[f"qdq_Conv_{n}_{fl}"] = qdq(lambda r, g, a, wt=wt: d_conv(r, g, a, wt, r.random() < 0.5, r.random() < 0.3), xt, img, fl)
                for op in ("MatMul", "Gemm"):
                    k[f"qdq_{op}_{n}_{fl}"] = qdq(lambda r, g, a, wt=wt, op=op: d_dense(r, g, a, wt, op), xt, [2, 21], fl)
        for op in ("QLinearAdd", "QLinearMul"):
            k[f"{op}_{xn}"] = lambda r, xt=xt, op=op: q_binary(r, xt, op)
        for op in ("QLinearLeakyRelu", "QLinearSigmoid"):
            k[f"{op}_{xn}"] = lambda r, xt=xt, op=op: q_unary(r, xt, op)
        for op in ("QLinearGlobalAveragePool", "QLinearAveragePool"):
            k[f"{op}_{xn}"] = lambda r, xt=xt, op=op: q_pool(r, xt, op)
        k[f"QLinearConcat_{xn}"] = lambda r, xt=xt: q_concat(r, xt)
        for fl in (True, False):
            for op, kw in (("Relu", {}), ("LeakyRelu", {"alpha": 0.2}), ("Sigmoid", {}), ("Abs", {}), ("GlobalAveragePool", {}),
                           ("MaxPool", {"kernel_shape": [2, 3]})):
                k[f"qdq_{op}_{xn}_{fl}"] = qdq(lambda r, g, a, op=op, kw=kw: d_op(r, g, a, op, **kw), xt, img, fl)
            for op in ("Add", "Mul", "Sub", "Max"):
                for other in ("one", "channel", "input"):
                    k[f"qdq_{op}_{other}_{xn}_{fl}"] = qdq(lambda r, g, a, op=op, other=other: d_binary(r, g, a, op, other), xt, img, fl)
            k[f"qdq_moves_{xn}_{fl}"] = qdq(d_moves, xt, img, fl)
        both = xt == S
        k[f"qdq_stored_moves_{xn}"] = qdq(d_stored_moves, xt, img, both)
        for two in (False, True):
            k[f"qdq_shared_{xn}_{two}"] = qdq(lambda r, g, a, two=two: d_shared(r, g, a, two), xt, img, both)
        for op, kw in (("Transpose", {"perm": [0, 1, 3, 2]}), ("MaxPool", {"kernel_shape": [1, 2]}), ("Flatten", {}), ("Identity", {})):
            k[f"qdq_between_{op}_{xn}"] = qdq(lambda r, g, a, op=op, kw=kw: d_between(r, g, a, op, **kw), xt, img, both)
        k[f"qdq_mixed_ends_{xn}"] = qdq(lambda r, g, a: d_conv(r, g, a, S), xt, img, False, True)
        k[f"alpha_{xn}"] = lambda r, xt=xt: c_alpha(r, xt)
        for scalar in (None, 0, 1, "single"):
            k[f"add_order_{scalar}_{xn}"] = lambda r, xt=xt, scalar=scalar: c_add(r, xt, "qlinear", scalar)
        k[f"add_qdq_{xn}"] = lambda r, xt=xt: c_add(r, xt, "rewritten" if xt == S else "qdq", None)
        for op in ("QLinearAdd", "QLinearMul"):
            k[f"ties_{op}_{xn}"] = lambda r, xt=xt, op=op: c_ties(r, xt, op)
        k[f"mul_qdq_{xn}"] = lambda r, xt=xt: c_mul(r, xt)
        k[f"mean_{xn}"] = lambda r, xt=xt: c_mean(r, xt)
        k[f"pool_ties_{xn}"] = lambda r, xt=xt: c_pool(r, xt)
    return k


# ---- running --------------------------------------------------------------------------------------------------------------------

def samples(r, g):
    out = []
    for v in g.inputs:
        t = v.type.tensor_type
        shape = [SAMPLES] + [d.dim_value for d in t.shape.dim]
        fixed = getattr(g, "fixed", None)
        if fixed is not None:
            x = np.repeat(fixed[v.name], SAMPLES, 0)
            out.append((v.name, {"f": "f", "u": "B", "i": "b"}[x.dtype.kind], np.ascontiguousarray(x)))
        elif t.elem_type == T.FLOAT:
            x = r.normal(0, 1, shape)
            out.append((v.name, "f", (x * r.choice([0.05, 0.5, 5])).astype(F)))
        else:
            out.append((v.name, "B" if t.elem_type == U else "b", full(r, t.elem_type, shape)))
    return out


def run(cases):
    import onnxruntime as ort
    res = []
    for c in cases:
        o = ort.SessionOptions()
        o.log_severity_level, o.intra_op_num_threads = 4, 1
        s = ort.InferenceSession(c["model"], o, providers=["CPUExecutionProvider"])
        res.append(np.stack([s.run(None, {n: x[i] for n, _, x in c["inputs"]})[0] for i in range(SAMPLES)]))
    return res


def main():
    if sys.argv[1] == "--run":
        pickle.dump(run(pickle.load(open(sys.argv[2], "rb"))), open(sys.argv[3], "wb"))
        return
    seed, per = int((sys.argv + ["1"])[2]), int((sys.argv + ["1", "2"])[3] if len(sys.argv) > 3 else 2)
    cases = []
    for j, (name, make) in enumerate(kinds().items()):
        for i in range(per):
            r = np.random.default_rng([seed, j, i])
            g = make(r)
            cases.append({"kind": name, "model": g.model(), "inputs": samples(r, g)})
    with tempfile.TemporaryDirectory() as d:
        pickle.dump(cases, open(f"{d}/in", "wb"))
        out = []
        for cpu in ([], ["qemu-x86_64", "-cpu", "Haswell"]):
            subprocess.run(cpu + [sys.executable, os.path.abspath(__file__), "--run", f"{d}/in", f"{d}/out"], check=True, stderr=subprocess.DEVNULL)
            out.append(pickle.load(open(f"{d}/out", "rb")))
    blob = lambda b: struct.pack("<I", len(b)) + b
    data = b""
    for c, a, b in zip(cases, *out):
        data += blob(c["kind"].encode()) + blob(c["model"]) + struct.pack("<II", SAMPLES, len(c["inputs"]))
        for _, code, x in c["inputs"]:
            data += struct.pack("<I", ord(code)) + blob(x.tobytes())
        data += struct.pack("<I", ord({"u": "B", "i": "b", "f": "f"}[a.dtype.kind] if a.dtype.itemsize == 1 or a.dtype.kind == "f" else "i"))
        data += blob(a.tobytes()) + blob(b.tobytes())
    with open(sys.argv[1], "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
        z.write(data)
    print(len(cases), "models,", sum((a != b).any() for a, b in zip(*out)), "with outputs that differ between the two CPUs")


if __name__ == "__main__":
    main()
