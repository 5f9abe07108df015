#!/usr/bin/env python3
"""Compares what qverify exports with ONNX Runtime, and QONNX files with QONNX's own executor.

Usage: exports.py --qverify FILE --dir DIRECTORY --data DIRECTORY [--samples N] [--qonnx PYTHON] [PATTERN ...]
Float networks (the data folder's) are quantized and allocated; each exported file must pass `qverify overflow`, its profile's integers are
computed by `qverify run`, and ONNX Runtime executes the same file. Where the report promises equality, every output must be equal, bit for
bit; elsewhere the differences are counted beside the report's own count. QONNX files are checked by onnx.checker and executed by the
package qonnx, which computes in binary32: codes that differ are counted. Exit status: 0 as promised, 1 not, 77 nothing was compared.
"""
import argparse
import csv
import fnmatch
import gzip
import os
import re
import subprocess
import sys

import numpy as np
import onnx
from onnx import numpy_helper

F = np.float32
QUANTIZE = [["8/8"], ["4/8"], ["4/4"], ["8/8", "--pow2"], ["4/8", "--pow2", "--pow2-weights"], ["8/8", "--acc-bits", "16"],
            ["8/8", "--sums"], ["8/8", "--profile", "ort-avx2"], ["8/8", "--range", "mse", "--round-to-output", "--correct-bias"], ["6/8", "--per-tensor"],
            ["8/16"], ["16/16"], ["3/10", "--pow2", "--acc-bits", "24"]]
ALLOCATE = ["75%", "50%", "35%"]
QONNX = [["8/8"], ["4/4"], ["3/5"]]


# ---- networks and samples -----------------------------------------------------------------------------------------------------


def mnist(data, n):
    with gzip.open(f"{data}/data/mnist/t10k-images-idx3-ubyte.gz") as f:
        x = np.frombuffer(f.read()[16:], np.uint8)[:n * 784]
    return (x.reshape(-1, 28, 28, 1) / 255).astype(F)


def keywords(data, n):
    q = np.fromfile(f"{data}/data/mlperf_tiny/kws01_features_int8.bin", np.int8)[:n * 490].astype(F)
    return (F(0.584702909) * (q - 83)).reshape(-1, 49, 10, 1)


def cifar(data, n):
    """The test images there are, then the same with noise and mirrored."""
    with open(f"{data}/data/eran/cifar10_test.csv") as f:
        x = np.array([r[1:] for r in csv.reader(f)], F).reshape(-1, 32, 32, 3)
    r = np.random.default_rng(1)
    more = [x]
    while sum(map(len, more)) < n:
        y = x + r.integers(-20, 21, x.shape)
        more.append(np.clip(y[:, :, ::-1] if len(more) % 2 else y, 0, 255).astype(F))
    return np.concatenate(more)[:n]


def acas(data, n):
    low, high = [-0.3284228772] + [-0.5] * 4, [0.6798577687] + [0.5] * 4
    return np.random.default_rng(1).uniform(low, high, (n, 5)).astype(F)


NETS = {"tinymaix-valid": ("tflite/tinymaix/mnist_valid_f.tflite", mnist), "tinymaix-resnet": ("tflite/tinymaix/mnist_resnet_f.tflite", mnist),
        "kws": ("tflite/mlperf_tiny/kws_ref_model_float32.tflite", keywords), "resnet-8": ("tflite/mlperf_tiny/pretrainedResnet.tflite", cifar),
        "mnist-256x2": ("vnncomp/mnistfc/mnist-net_256x2.onnx", mnist), "acasxu-1-1": ("vnncomp/acasxu/ACASXU_run2a_1_1_batch_2000.onnx", acas)}


# ---- one exported file --------------------------------------------------------------------------------------------------------


def tool(arg, *command):
    p = subprocess.run([arg.qverify, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace").strip()


def integers(arg, path, profile, samples, out):
    rc, _, why = tool(arg, "run", path, "--profile", profile, "--input", samples, "--output", out)
    return np.load(out) if rc == 0 else why


def without_softmax(model):
    """The model cut in front of a last Softmax, so that the quantized logits show; scale and zero point of its output."""
    g = model.graph
    made = {o: n for n in g.node for o in n.output}
    const = {t.name: numpy_helper.to_array(t) for t in g.initializer}
    last = made[g.output[0].name]
    if last.op_type == "Softmax":
        g.output[0].name = last.input[0]
        g.node.remove(last)
        last = made[g.output[0].name]
    if last.op_type == "DequantizeLinear":
        return const[last.input[1]], int(const[last.input[2]])
    x, w = made[last.input[0]], made[last.input[1]]  # sums of a Gemm
    while x.op_type != "DequantizeLinear":
        x = made[x.input[0]]
    return F(const[x.input[1]] * const[w.input[1]]), 0


def runtime(path, x):
    import onnxruntime

    model = onnx.load(path)
    onnx.checker.check_model(model)
    scale, zp = without_softmax(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    s = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    i = s.get_inputs()[0]
    return np.stack([s.run(None, {i.name: v.reshape(i.shape)})[0].ravel() for v in x]), scale, zp


def compare(arg, name, how, path, said, x, samples):
    """0: as promised; 1: not."""
    profile = re.search(r"[ ,]profile ([a-z0-9-]+)", said[said.index("VERIFIED"):]).group(1)
    promised = "ONNX Runtime computes these very integers" in said or profile.startswith("ort-")
    counted = re.search(r": (\d+) of (\d+) output values", said)
    width = re.search(r"^VERIFIED: .*, (\d+) bits, profile", said, re.M)
    rc, _, _ = tool(arg, "overflow", path, "--profile", profile, *(["--acc-bits", width.group(1)] if width else []))
    q = integers(arg, path, profile, samples, f"{arg.dir}/y.npy")
    if isinstance(q, str):
        print(f"  {name:16s} {how:52s} FAILED: {q}")
        return 1
    y, scale, zp = runtime(path, x)
    want = (F(scale) * (q.reshape(len(x), -1).astype(np.int64) - zp).astype(F)).astype(F)
    differ = int((want != y).sum())
    bad = rc != 0 or (promised and differ > 0)
    text = "promised equal" if promised else f"may differ ({counted.group(1)} by its own count)" if counted else "may differ"
    print(f"  {name:16s} {how:52s} {profile:10s} {text:32s} {differ:6d} of {y.size} differ" + ("" if rc == 0 else f"; NOT PROVED (exit {rc})") +
          ("  BAD" if bad else ""), flush=True)
    return int(bad)


def qonnx_run(path, samples, out):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(path).transform(InferShapes())
    i, o = model.graph.input[0], model.graph.output[0].name
    shape = [d.dim_value for d in i.type.tensor_type.shape.dim]
    np.save(out, np.stack([execute_onnx(model, {i.name: v.reshape(shape)})[o].ravel() for v in np.load(samples)]))


def compare_qonnx(arg, name, how, path, samples, few):
    model = onnx.load(path)
    onnx.checker.check_model(model)
    rc, _, _ = tool(arg, "overflow", path, "--profile", "qonnx-exact")
    q = integers(arg, path, "qonnx-exact", few, f"{arg.dir}/y.npy")
    if isinstance(q, str) or rc != 0:
        print(f"  {name:16s} {how:52s} FAILED: {q if isinstance(q, str) else 'not proved'}")
        return 1
    g = model.graph
    made = {o: n for n in g.node for o in n.output}
    last = made[g.output[0].name]
    if last.op_type == "Softmax":
        g.output[0].name = last.input[0]
        g.node.remove(last)
        last = made[g.output[0].name]
        onnx.save(model, path)
    if not arg.qonnx:
        print(f"  {name:16s} {how:52s} qonnx-exact: checked; not executed (no package qonnx)")
        return 0
    const = {t.name: numpy_helper.to_array(t) for t in g.initializer}
    subprocess.run([arg.qonnx, os.path.abspath(__file__), "--run-qonnx", path, few, f"{arg.dir}/q.npy"], check=True, stderr=subprocess.DEVNULL)
    y = np.rint(np.load(f"{arg.dir}/q.npy") / float(const[last.input[1]])) + float(const[last.input[2]])
    want = q.reshape(y.shape).astype(np.int64)
    differ = int((want != y).sum())
    bad = differ * 50 > y.size
    print(f"  {name:16s} {how:52s} qonnx-exact; QONNX's executor (binary32): {differ} of {y.size} codes differ, largest by {int(np.abs(want - y).max())}" +
          ("  BAD" if bad else ""), flush=True)
    return int(bad)


def ends_in_gemm(said):
    return "does not end in a Gemm" not in said


def main():
    if sys.argv[1:2] == ["--run-qonnx"]:
        return qonnx_run(*sys.argv[2:5])
    ap = argparse.ArgumentParser()
    ap.add_argument("--qverify", required=True)
    ap.add_argument("--dir", required=True)
    ap.add_argument("--data", required=True)
    ap.add_argument("--samples", type=int, default=1000)
    ap.add_argument("--qonnx", default="")
    ap.add_argument("pattern", nargs="*")
    arg = ap.parse_args()
    os.makedirs(arg.dir, exist_ok=True)
    if not has_vnni():
        print("oracles: SKIPPED: exports: this CPU has no VNNI, and the exported files are promised for one that has")
        sys.exit(77)
    done = bad = 0
    for name, (path, make) in NETS.items():
        if arg.pattern and not any(fnmatch.fnmatch(name, p) for p in arg.pattern):
            continue
        if not os.path.exists(f"{arg.data}/{path}"):
            print(f"oracles: SKIPPED: {arg.data}/{path} is not there (set QV_DATA)")
            continue
        x = make(arg.data, arg.samples)
        samples, few, out = f"{arg.dir}/{name}.npy", f"{arg.dir}/few.npy", f"{arg.dir}/{name}.onnx"
        np.save(samples, x)
        np.save(few, x[:20])
        base = [f"{arg.data}/{path}", "--calib", samples, "--samples", "100"]
        for how in [["quantize", "--bits", *c] for c in QUANTIZE] + [["allocate", "--limit", "size=" + c] for c in ALLOCATE]:
            rc, said, why = tool(arg, how[0], *base, *how[1:], "-o", out)
            text = " ".join(how[2:] if how[0] == "quantize" else how)
            if rc == 1 and not ends_in_gemm(why):
                continue
            if rc == 10 and how[0] == "allocate" and "\nINFEASIBLE" in said:  # scales and biases alone are too large
                rc, said, why = tool(arg, how[0], *base, *how[1:], "--per-tensor", "-o", out)
                text += " --per-tensor"
                if rc == 10 and "\nINFEASIBLE" in said:
                    print(f"  {name:16s} {text:52s} no network is so small (proved)")
                    continue
            done += 1
            if rc == 3 and "are evaluated in binary32 and not supported" in why.replace("is evaluated", "are evaluated"):
                print(f"  {name:16s} {text:52s} refused: {why[-90:]}")
                continue
            if rc != 0:
                print(f"  {name:16s} {text:52s} FAILED (exit {rc}): {why or said.splitlines()[-1]}")
                bad += 1
                continue
            bad += compare(arg, name, text, out, said, x, samples)
        for how in QONNX:
            rc, said, why = tool(arg, "quantize", *base, "--bits", *how, "--format", "qonnx", "-o", out)
            done += 1
            if rc != 0:
                print(f"  {name:16s} {' '.join(how):52s} QONNX FAILED (exit {rc}): {why}")
                bad += 1
            else:
                bad += compare_qonnx(arg, name, " ".join(how), out, samples, few)
    print(f"\noracles: {done} exported networks, {bad} not as promised")
    sys.exit(1 if bad else 0 if done else 77)


def has_vnni():
    with open("/proc/cpuinfo") as f:
        return "avx512_vnni" in f.read() or "avx_vnni" in f.read()


if __name__ == "__main__":
    main()
