#!/usr/bin/env python3
"""Remake golden_tflite_builtin.bin and golden_wide_tflite_builtin.bin.

Needs tflite-runtime 2.14.0 and numpy < 2 (pip, Python 3.11 or older). Each
file holds the int8 outputs [200,6] of the reference kernels, without XNNPACK.
"""

import os

import numpy as np
import tflite_runtime.interpreter as tflite

folder = os.path.dirname(os.path.abspath(__file__))
images = np.load(os.path.join(folder, "test_images.npy"))
labels = np.loadtxt(os.path.join(folder, "test_labels.txt"), dtype=int)

for model, golden in (("shapes", "golden"), ("wide", "golden_wide")):
    net = tflite.Interpreter(
        os.path.join(folder, model + ".tflite"),
        experimental_op_resolver_type=tflite.OpResolverType.BUILTIN_REF)
    net.allocate_tensors()
    at_in = net.get_input_details()[0]["index"]
    at_out = net.get_output_details()[0]["index"]
    rows = []
    for image in images:
        net.set_tensor(at_in, image[None])
        net.invoke()
        rows.append(net.get_tensor(at_out)[0].copy())
    out = np.array(rows, dtype=np.int8)
    out.tofile(os.path.join(folder, golden + "_tflite_builtin.bin"))
    print(model, "right:", int((out.argmax(1) == labels).sum()), "of", len(labels))
