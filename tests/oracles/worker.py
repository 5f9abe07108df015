#!/usr/bin/env python3
"""Runs models with a Python package's interpreter.

Usage: worker.py RUNTIME LIST
RUNTIME: tflm (tflite-micro), tf (tensorflow, builtin kernels), litert (ai-edge-litert, builtin kernels),
litert-xnnpack (ai-edge-litert, default delegate). LIST: lines MODEL<tab>OUT<tab>IN0,IN1,... A model that ran leaves OUT, one
that did not leaves OUT.err; a model whose OUT.err is there already is not tried again, so a crashed run can be started anew.
"""
import os
import sys

import numpy as np


def tflm(model, files):
    from tflite_micro.python.tflite_micro import runtime
    it = runtime.Interpreter.from_file(model, arena_size=8 << 20)
    xs = []
    for i, f in enumerate(files):
        d = it.get_input_details(i)
        xs.append(np.fromfile(f, d["dtype"]).reshape(-1, *d["shape"]))
    out = []
    for k in range(len(xs[0])):
        for i, x in enumerate(xs):
            it.set_input(x[k], i)
        it.invoke()
        out.append(np.array(it.get_output(0)).tobytes())
    return out


def tflite(model, files, runtime):
    if runtime == "tf":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        from tensorflow.lite.python import interpreter as lib
    else:
        from ai_edge_litert import interpreter as lib
    kernels = lib.OpResolverType.AUTO if runtime == "litert-xnnpack" else lib.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    it = lib.Interpreter(model_path=model, experimental_op_resolver_type=kernels, num_threads=1)
    it.allocate_tensors()
    details, y = it.get_input_details(), it.get_output_details()[0]["index"]
    xs = [np.fromfile(f, d["dtype"]).reshape(-1, *d["shape"]) for d, f in zip(details, files)]
    out = []
    for k in range(len(xs[0])):
        for d, x in zip(details, xs):
            it.set_tensor(d["index"], x[k])
        it.invoke()
        out.append(it.get_tensor(y).tobytes())
    return out


def main():
    runtime = sys.argv[1]
    with open(sys.argv[2]) as f:
        todo = [line.rstrip("\n").split("\t") for line in f]
    for model, out, files in todo:
        if os.path.exists(out) or os.path.exists(out + ".err"):
            continue
        with open(out + ".err", "w") as f:
            f.write("the runtime crashed\n")
        try:
            y = tflm(model, files.split(",")) if runtime == "tflm" else tflite(model, files.split(","), runtime)
        except Exception as e:
            with open(out + ".err", "w") as f:
                f.write(repr(e)[:500] + "\n")
            continue
        with open(out, "wb") as f:
            f.write(b"".join(y))
        os.remove(out + ".err")


if __name__ == "__main__":
    main()
