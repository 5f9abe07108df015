#!/usr/bin/env python3
"""Compares qverify with ONNX Runtime, on this CPU and on an emulated one with AVX2 only, and with ONNX's reference evaluator.

Usage: ort.py --qverify FILE --dir DIRECTORY [--models N] [--seed S] [--qemu COMMAND] [--verbose] [PATTERN ...]
Random models by kind: those of tests/make_onnx_golden.py, and kinds below that separate roundings or use 16-bit activations. A kind's
models depend on its name, the number and the seed only. Needs the Python packages onnx, numpy, onnxruntime.
Every output byte must be equal where qverify accepts the model. Exit status: 0 no difference, 1 differences or a crash of
qverify, 77 nothing was compared.
"""
import argparse
import collections
import fnmatch
import os
import pickle
import subprocess
import sys
import textwrap
import zlib

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import make_onnx_golden as G  # noqa: E402
from onnx import TensorProto as T  # noqa: E402

F, U, S = G.F, G.U, G.S
I16, U16 = T.INT16, T.UINT16
G.NP.update({I16: np.int16, U16: np.uint16})
REFUSED = (1, 3)  # qverify: this profile, or no profile, has the model

# ---- kinds that separate requantizations ------------------------------------------------------------------------------------


def rounds(acc, sx, sw, sy, z, lo, hi):
    """The three functions on an array of sums."""
    m = F(F(sx * sw) / sy)
    exact = np.longdouble(sx) * np.longdouble(sw) / np.longdouble(sy) * acc.astype(np.longdouble)
    return [np.clip(np.rint((acc.astype(F) * m).astype(F)).astype(np.int64) + z, lo, hi),
            np.clip(np.rint(acc.astype(np.float64) * np.float64(m) + z).astype(np.int64), lo, hi),
            np.clip(np.rint(exact).astype(np.int64) + z, lo, hi)]


def separating(r, xt, op, want):
    """One-column products whose results differ between RQ_F32, RQ_REF and exact rounding, on the 256 bytes of the input."""
    lo, hi = (0, 255) if xt == U else (-128, 127)
    x = np.arange(lo, hi + 1)
    for _ in range(4000):
        zx, z, w = int(G.zero(r, xt)), int(G.zero(r, xt)), int(r.integers(1, 128))
        if want == "ref":  # ties: powers of two, odd zero point
            sx, sw, sy = F(2.0 ** -7), F(2.0 ** -6), F(2.0 ** -13 * w * 2 ** r.integers(1, 3))
            z |= 1
        else:
            sx, sw = G.scale(r), G.scale(r)
            sy = F(sx * sw * w * r.uniform(0.6, 3))
        v = rounds((x - zx) * w, sx, sw, sy, z, lo, hi)
        if (v[0] != (v[1] if want == "ref" else v[2])).any():
            break
    g = G.Graph()
    n = G.NP[xt]
    shape = [256, 1] if op == "QLinearMatMul" else [1, 1, 16, 16]
    a = [g.input("x", xt, shape), g.const(sx), g.const(n(zx)), g.const(np.full([1] * len(shape), w, np.int8)), g.const(sw), g.const(np.int8(0)),
         g.const(sy), g.const(n(z))]
    g.op(op, a, "y")
    g.output("y", xt)
    g.fixed = {"x": x.astype(n).reshape([1] + shape)}
    return g


def wide_conv(r, xt, power):
    """QDQ convolutions with 16-bit activations: binary32 in the runtime. power: powers of two and small sums, where that is exact."""
    g = G.Graph(21)
    c, oc, k = int(r.integers(1, 4)), int(r.integers(1, 5)), G.ints(r, 1, 4, 2)
    if power:
        sx, sw, sy = F(2.0 ** -10), F(2.0 ** -5), F(2.0 ** -9)
    else:
        sx, sw = G.scale(r, -14, -10), G.scale(r, -8, -6)
        sy = F(sx * sw * 73 * 6000 * np.sqrt(c * k[0] * k[1]) * 2 / 30000)
    z = G.NP[xt](0 if xt == I16 else 32768)
    x = g.input("x", xt, [1, c, 6, 6])
    q = lambda s, v: [g.const(s), g.const(v)]
    small = 4 if power else 127
    w = r.integers(-small, small + 1, [oc, c] + k).astype(np.int8)
    y = g.op("Conv", [g.op("DequantizeLinear", [x] + q(sx, z)), g.op("DequantizeLinear", [g.const(w)] + q(sw, np.int8(0)))], pads=[1, 0, 0, 1])
    g.op("QuantizeLinear", [y] + q(sy, z), "y")
    g.output("y", xt)
    return g


def moved(r, g, x, op):
    """Value x of shape [1, 4, 6, 6] moved by op; the new shape."""
    k = lambda v: g.const(np.array(v))
    if op == "Transpose":
        return g.op(op, [x], perm=[0, 1, 3, 2]), [1, 4, 6, 6]
    if op == "Reshape":
        return g.op(op, [x, k([1, 4, 4, 9])]), [1, 4, 4, 9]
    if op == "Squeeze":
        return g.op(op, [g.op("Unsqueeze", [x, k([0])]), k([1])]), [1, 4, 6, 6]
    if op == "Unsqueeze":
        return g.op("Reshape", [g.op(op, [x, k([0])]), k([1, 4, 6, 6])]), [1, 4, 6, 6]
    if op == "Slice":
        return g.op(op, [x, k([1]), k([5]), k([2])]), [1, 4, 4, 6]
    if op == "Gather":
        return g.op(op, [x, k([0, 2, 3])], axis=2), [1, 4, 3, 6]
    if op == "Pad":
        return g.op(op, [x, k([0, 0, 1, 0, 0, 0, 0, 1])]), [1, 4, 7, 7]
    if op == "Resize":
        return g.op(op, [x, k(np.array([], F)), k(np.array([1, 1, 2, 2], F))], mode="nearest"), [1, 4, 12, 12]
    if op == "MaxPool":
        return g.op(op, [x], kernel_shape=[2, 2]), [1, 4, 5, 5]
    if op == "Identity":
        return g.op(op, [x]), [1, 4, 6, 6]
    if op == "Flatten":
        return g.op("Reshape", [g.op(op, [x]), k([1, 4, 6, 6])]), [1, 4, 6, 6]
    raise KeyError(op)


def behind(r, g, a, op, to, twice):
    """Movement between DequantizeLinear and an operator that is fused. twice: somebody else reads the DequantizeLinear, too."""
    d = G.dq(g, a)
    x, shape = moved(r, g, d, op)
    q = lambda s, z: [g.const(F(s)), g.const(z)]
    s, z = None, G.zero(r, a.t)
    if to == "Conv":
        w = g.op("DequantizeLinear", [g.const(G.full(r, S, [4, 4, 2, 2]))] + q(0.01, np.int8(0)))
        y, s = g.op("Conv", [x, w]), G.out_scale(r, a.s, np.array([0.01]), 16)
    elif to == "MatMul":
        w = g.op("DequantizeLinear", [g.const(G.full(r, S, [shape[-1], 5]))] + q(0.01, np.int8(0)))
        y, s = g.op("MatMul", [x, w]), G.out_scale(r, a.s, np.array([0.01]), shape[-1])
    elif to == "Add":
        b = g.op("DequantizeLinear", [g.const(G.full(r, a.t, [1, 4, 1, 1]))] + q(G.scale(r), G.zero(r, a.t)))
        y, s = g.op("Add", [x, b]), F(a.s * 1.5)
    else:
        y, s = g.op(to, [x]), F(a.s * 2.0 ** r.uniform(-1, 1))
    y = g.op("QuantizeLinear", [y] + q(s, z))
    if twice:
        e = g.op("QuantizeLinear", [g.op("Abs", [d])] + q(a.s, a.z))
        flat = g.const(np.array([1, -1]))
        parts = [g.op("DequantizeLinear", [g.op("Reshape", [y, flat])] + q(s, z)), g.op("DequantizeLinear", [g.op("Reshape", [e, flat])] + q(a.s, a.z))]
        y = g.op("QuantizeLinear", [g.op("Concat", parts, axis=1)] + q(s, z))
    return G.Act(y, a.t, s, z, None)


MOVES = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Gather", "Pad", "Resize", "MaxPool", "Identity", "Flatten")


def mixed(r, xt, wt):
    """Two layers in QOperator form, the second on the first one's bytes."""
    g = G.q_conv(r, xt, wt, "2d")
    node = g.nodes[-1]
    node.output[0] = "mid"
    g.outputs.clear()
    oc = next(i for i in g.inits if i.name == node.input[3]).dims[0]
    scale = lambda lo, hi: g.const(G.scale(r, lo, hi))
    w = g.const(G.full(r, wt, [3, oc, 1, 1]))
    zw = np.int8(0) if wt == S else np.uint8(128)
    g.op("QLinearConv", ["mid", node.input[6], node.input[7], w, scale(-6, -5), g.const(zw), scale(-4, 0), g.const(G.zero(r, xt))], "y")
    g.output("y", xt)
    return g


def stacked(r, xt, wt):
    """A stack of matrix products."""
    g, m, k, n, b = G.Graph(), int(r.integers(1, 4)), int(r.integers(1, 40)), int(r.integers(1, 9)), G.ints(r, 1, 4, int(r.integers(1, 3)))
    sx, sw = G.scale(r), G.scale(r, -6, -5)
    c = lambda s, z: [g.const(s), g.const(z)]
    ins = [g.input("x", xt, b + [m, k])] + c(sx, G.zero(r, xt)) + [g.const(G.full(r, wt, b + [k, n]))] + c(sw, G.zero(r, wt) if r.random() < 0.5 else G.NP[wt](0))
    g.op("QLinearMatMul", ins + c(G.out_scale(r, sx, sw, k), G.zero(r, xt)), "y")
    g.output("y", xt)
    return g


def kinds():
    k = G.kinds()
    for xt, xn in ((U, "u8"), (S, "s8")):
        for op in ("QLinearMatMul", "QLinearConv"):
            for want in ("f32", "ref"):
                k[f"separate_{want}_{op}_{xn}"] = lambda r, xt=xt, op=op, want=want: separating(r, xt, op, want)
    for xt, wt, n in ((U, U, "u8u8"), (U, S, "u8s8"), (S, S, "s8s8")):
        k[f"stack_{n}"] = lambda r, xt=xt, wt=wt: stacked(r, xt, wt)
        k[f"two_layers_{n}"] = lambda r, xt=xt, wt=wt: mixed(r, xt, wt)
    for xt, xn in ((U, "u8"), (S, "s8")):
        for op in MOVES:
            for to in ("Conv", "MatMul", "Add", "GlobalAveragePool", "Relu"):
                k[f"behind_{op}_{to}_{xn}"] = G.qdq(lambda r, g, a, op=op, to=to: behind(r, g, a, op, to, False), xt, [1, 4, 6, 6], xt == S)
            k[f"behind_twice_{op}_{xn}"] = G.qdq(lambda r, g, a, op=op: behind(r, g, a, op, "Conv", True), xt, [1, 4, 6, 6], xt == S)
    for xt, xn in ((I16, "s16"), (U16, "u16")):
        for power in (True, False):
            k[f"wide_Conv_{xn}_{'power' if power else 'any'}"] = lambda r, xt=xt, power=power: wide_conv(r, xt, power)
    return k


# ---- running ------------------------------------------------------------------------------------------------------------------

LEVELS = ("all", "disabled")


def run_ort(src, dst, level):
    import onnxruntime as ort
    out = []
    for c in pickle.load(open(src, "rb")):
        o = ort.SessionOptions()
        o.log_severity_level, o.intra_op_num_threads = 4, 1
        o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL if level == "all" else ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            s = ort.InferenceSession(c["model"], o, providers=["CPUExecutionProvider"])
            n = len(c["inputs"][0][2])
            out.append(np.stack([s.run(None, {name: x[i] for name, _, x in c["inputs"]})[0] for i in range(n)]))
        except Exception as e:  # the runtime has no such kernel
            out.append(str(e)[:200])
    pickle.dump(out, open(dst, "wb"))


def run_reference(cases):
    import onnx
    from onnx.reference import ReferenceEvaluator
    out = []
    for c in cases:
        try:
            s = ReferenceEvaluator(onnx.load_from_string(c["model"]))
            out.append(np.stack([s.run(None, {name: x[i] for name, _, x in c["inputs"]})[0] for i in range(len(c["inputs"][0][2]))]))
        except Exception as e:
            out.append(str(e)[:200])
    return out


def run_qverify(arg, case, profile):
    """Bytes, or the message of a refusal; False: a crash."""
    d = arg.dir
    with open(f"{d}/m.onnx", "wb") as f:
        f.write(case["model"])
    cmd = [arg.qverify, "run", f"{d}/m.onnx", "--profile", profile, "--output", f"{d}/out.bin"]
    for i, (_, _, x) in enumerate(case["inputs"]):
        x.tofile(f"{d}/in{i}.bin")
        cmd += ["--input", f"{d}/in{i}.bin"]
    if case["float"]:
        cmd.append("--real")
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = p.stdout.decode(errors="replace").strip()
    if p.returncode in REFUSED:
        return text
    if p.returncode != 0:
        return False, f"exit {p.returncode}: {text[:300]}"
    with open(f"{d}/out.bin", "rb") as f:
        return f.read()


def has_vnni():
    try:
        with open("/proc/cpuinfo") as f:
            return any(w in f.read() for w in ("avx512_vnni", "avx_vnni"))
    except OSError:
        return False


def compare(arg, cases, profile, expected, title):
    count = collections.defaultdict(collections.Counter)
    why, report, elements = {}, [], 0
    for c, want in zip(cases, expected):
        kind = c["kind"]
        got = run_qverify(arg, c, profile)
        if isinstance(got, tuple):
            count[kind]["crash"] += 1
            report.append(f"{kind} {c['number']}: {got[1]}")
        elif isinstance(got, str):
            count[kind]["both refuse" if isinstance(want, str) else "refused"] += 1
            why.setdefault(kind, got.splitlines()[0] if got else "?")
        elif isinstance(want, str):
            count[kind]["no oracle"] += 1
        elif got == np.ascontiguousarray(want).tobytes():
            count[kind]["equal"] += 1
            elements += want.size
        else:
            count[kind]["DIFFERENT"] += 1
            a, b = np.frombuffer(got, want.dtype), want.ravel()
            n = int((a != b).sum()) if a.size == b.size else -1
            path = f"{arg.dir}/different-{profile}-{kind}-{c['number']}.onnx"
            with open(path, "wb") as f:
                f.write(c["model"])
            report.append(f"{kind} {c['number']}: {n} of {b.size} elements differ; kept as {path}")
    total = sum(count.values(), collections.Counter())
    print(f"\n{title}, profile {profile}: " + ", ".join(f"{v} {k}" for k, v in sorted(total.items())) + f"; {elements} elements compared equal")
    for kind, c in sorted(count.items()):
        if arg.verbose or c["DIFFERENT"] or c["crash"]:
            print(f"  {kind:36s} " + ", ".join(f"{v} {k}" for k, v in sorted(c.items())) + (f"; {why[kind].split(': ', 2)[-1][:150]}" if kind in why else ""))
    if not arg.verbose and why and profile.startswith("ort-"):
        print(textwrap.fill(f"refused, of {len(why)} kinds: " + ", ".join(sorted(why)), 120, initial_indent="  ", subsequent_indent="    "))
    for line in report[:20]:
        print("  " + line)
    return total["equal"] + total["DIFFERENT"], total["DIFFERENT"] + total["crash"]


def wide_difference(arg, cases, expected):
    """16-bit activations: the runtime computes in binary32, qverify's profiles of integer operators in exact sums."""
    n = bad = 0
    for c, want in zip(cases, expected):
        if not c["kind"].startswith("wide_") or isinstance(want, str):
            continue
        got = run_qverify(arg, c, "onnx-spec")
        if isinstance(got, bytes):
            a = np.frombuffer(got, want.dtype)
            n += a.size
            bad += int((a != want.ravel()).sum())
    print(f"\n16-bit activations, ONNX Runtime (binary32) against exact sums (onnx-spec): {bad} of {n} elements differ; not counted as differences")


def separation(arg, cases, expected):
    """How many of the models that are made for it tell ONNX Runtime's rounding from the others."""
    mine = [(c, w) for c, w in zip(cases, expected) if c["kind"].startswith("separate_") and not isinstance(w, str)]
    for profile in ("onnx-spec", "onnx-ref") if mine else ():
        got = [run_qverify(arg, c, profile) for c, _ in mine]
        n = sum(isinstance(g, bytes) and g != np.ascontiguousarray(w).tobytes() for g, (_, w) in zip(got, mine))
        print(f"  {n} of {len(mine)} models made to separate roundings give other outputs under {profile}")


def main():
    if sys.argv[1:2] == ["--run"]:
        return run_ort(*sys.argv[2:5])
    ap = argparse.ArgumentParser()
    ap.add_argument("--qverify", required=True)
    ap.add_argument("--dir", required=True)
    ap.add_argument("--models", type=int, default=6)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--qemu", default="")
    ap.add_argument("--verbose", action="store_true")
    ap.add_argument("pattern", nargs="*")
    arg = ap.parse_args()
    cases = []
    for name, make in kinds().items():
        if arg.pattern and not any(fnmatch.fnmatch(name, p) for p in arg.pattern):
            continue
        for i in range(arg.models):
            r = np.random.default_rng([arg.seed, zlib.crc32(name.encode()), i])
            g = make(r)
            cases.append({"kind": name, "number": i, "model": g.model(), "inputs": G.samples(r, g),
                          "float": g.outputs[0].type.tensor_type.elem_type == T.FLOAT})
    if not cases:
        print("oracles: SKIPPED: no kind of ONNX model matches", *arg.pattern)
        sys.exit(77)
    os.makedirs(arg.dir, exist_ok=True)
    src = f"{arg.dir}/cases"
    pickle.dump(cases, open(src, "wb"))

    import onnx
    import onnxruntime
    print(f"oracles: {len(cases)} models (seed {arg.seed}); ONNX Runtime {onnxruntime.__version__}, onnx {onnx.__version__}", flush=True)

    def ort(prefix, level):
        subprocess.run(prefix + [sys.executable, os.path.abspath(__file__), "--run", src, f"{arg.dir}/out", level], check=True, stderr=subprocess.DEVNULL)
        return pickle.load(open(f"{arg.dir}/out", "rb"))

    done = bad = 0

    def add(result):
        nonlocal done, bad
        done += result[0]
        bad += result[1]

    if has_vnni():
        native = ort([], "all")
        add(compare(arg, cases, "ort-vnni", native, "ONNX Runtime on this CPU (VNNI)"))
        separation(arg, cases, native)
        wide_difference(arg, cases, native)
        u8u8 = [i for i, c in enumerate(cases) if "u8u8" in c["kind"]]
        add(compare(arg, [cases[i] for i in u8u8], "ort-u8u8", [native[i] for i in u8u8], "ONNX Runtime on this CPU, uint8 by uint8"))
        qdq = [i for i, c in enumerate(cases) if c["kind"].startswith(("qdq", "wide", "add_qdq", "mul_qdq"))]
        if qdq:
            plain = ort([], "disabled")
            add(compare(arg, [cases[i] for i in qdq], "ort-float-qdq", [plain[i] for i in qdq], "ONNX Runtime without optimizations, QDQ models"))
    else:
        print("oracles: SKIPPED: ort-vnni, ort-u8u8, ort-float-qdq: this CPU has no VNNI")
    if arg.qemu:
        add(compare(arg, cases, "ort-avx2", ort(arg.qemu.split(), "all"), f"ONNX Runtime on an AVX2-only CPU ({arg.qemu})"))
    else:
        print("oracles: SKIPPED: ort-avx2: no qemu-x86_64 (Debian: qemu-user) to emulate a CPU with AVX2 only")
    add(compare(arg, cases, "onnx-ref", run_reference(cases), "ONNX reference evaluator"))
    print(f"\noracles: {done} comparisons with ONNX runtimes, {bad} bad")
    sys.exit(1 if bad else 0 if done else 77)


if __name__ == "__main__":
    main()
