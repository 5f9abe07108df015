#!/usr/bin/env python3
"""Writes tests/corpus/float/*.onnx: small float networks for the quantizer's tests and fuzzer. Needs the Python package onnx; the files are
committed, so nobody else does."""
import os
import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper as nh

rng = np.random.default_rng(7)
out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "float")


def c(name, *shape):
    return nh.from_array(rng.uniform(-1, 1, shape).astype(np.float32), name)


def save(name, nodes, init, shape_in, shape_out):
    g = h.make_graph(nodes, name, [h.make_tensor_value_info("x", T.FLOAT, shape_in)], [h.make_tensor_value_info("y", T.FLOAT, shape_out)], init)
    m = h.make_model(g, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
    onnx.save(m, os.path.join(out, name + ".onnx"))


n = h.make_node
save("dense", [n("Gemm", ["x", "w", "b"], ["h"], transB=1), n("Relu", ["h"], ["r"]), n("MatMul", ["r", "v"], ["m"]), n("Add", ["m", "d"], ["y"])],
     [c("w", 6, 4), c("b", 6), c("v", 6, 3), c("d", 3)], ["N", 4], ["N", 3])
save("image", [n("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]), n("BatchNormalization", ["c", "g", "be", "mu", "va"], ["bn"]), n("Relu", ["bn"], ["r"]),
               n("Conv", ["r", "dw"], ["e"], group=3), n("LeakyRelu", ["e"], ["l"], alpha=0.1), n("MaxPool", ["l"], ["p"], kernel_shape=[2, 2]),
               n("GlobalAveragePool", ["p"], ["ga"]), n("Flatten", ["ga"], ["f"]), n("Gemm", ["f", "fw"], ["z"]), n("Softmax", ["z"], ["y"])],
     [c("w", 3, 2, 3, 3), c("b", 3), c("g", 3), c("be", 3), c("mu", 3), nh.from_array(np.array([1, 2, .5], np.float32), "va"), c("dw", 3, 1, 2, 2), c("fw", 3, 4)],
     [1, 2, 5, 5], [1, 4])
save("residual", [n("Mul", ["x", "s"], ["xs"]), n("Sub", ["xs", "t"], ["xt"]), n("Conv", ["xt", "w"], ["c"]), n("Clip", ["c", "lo", "hi"], ["k"]),
                  n("Conv", ["k", "v"], ["e"], pads=[1, 1, 1, 1]), n("Add", ["e", "k"], ["a"]), n("Sigmoid", ["a"], ["g"]), n("Concat", ["g", "k"], ["cc"], axis=1),
                  n("Transpose", ["cc"], ["tr"], perm=[0, 2, 3, 1]), n("Reshape", ["tr", "sh"], ["f"]), n("Gemm", ["f", "fw"], ["q"]), n("Tanh", ["q"], ["y"])],
     [c("s", 2, 1, 1), c("t", 1), c("w", 2, 2, 2, 2), c("v", 2, 2, 3, 3), nh.from_array(np.float32(0), "lo"), nh.from_array(np.float32(6), "hi"),
      nh.from_array(np.array([1, -1], np.int64), "sh"), c("fw", 36, 3)], [1, 2, 4, 4], [1, 3])
