#!/usr/bin/env python3
"""tests/zoo/onnx: one mistake, or one thing that is not supported, per file; NAME.expect is the status and a part of the message.
tests/corpus/onnx: good files. Needs the Python packages onnx and numpy.

    tests/make_onnx_zoo.py"""
import os
import numpy as np
from onnx import TensorProto as T, helper as H, numpy_helper as N

F, ROOT = np.float32, os.path.dirname(os.path.abspath(__file__))


class Model:
    def __init__(self, opset=13):
        self.nodes, self.inits, self.inputs, self.outputs, self.opset = [], [], [], [], opset

    def const(self, name, a):
        self.inits.append(N.from_array(np.array(a), name))
        return name

    def input(self, name="x", t=T.UINT8, shape=(1, 3, 4, 4)):
        self.inputs.append(H.make_tensor_value_info(name, t, shape))
        return name

    def output(self, name="y", t=T.UINT8):
        self.outputs.append(H.make_tensor_value_info(name, t, None))

    def op(self, op, ins, out, domain="", **kw):
        self.nodes.append(H.make_node(op, ins, [out] if isinstance(out, str) else out, domain=domain, name="n_" + op, **kw))
        return out if isinstance(out, str) else out[0]

    def proto(self):
        m = H.make_model(H.make_graph(self.nodes, "g", self.inputs, self.outputs, self.inits),
                         opset_imports=[H.make_opsetid("", self.opset), H.make_opsetid("com.microsoft", 1)], producer_name="")
        m.ir_version = 8
        return m


def write(folder, name, data):
    os.makedirs(f"{ROOT}/{folder}/onnx", exist_ok=True)
    with open(f"{ROOT}/{folder}/onnx/{name}", "wb") as f:
        f.write(data)


def bad(name, status, text, m):
    write("zoo", name + ".onnx", m if isinstance(m, bytes) else (m.proto() if isinstance(m, Model) else m).SerializeToString())
    write("zoo", name + ".expect", f"{status} {text}\n".encode())


def conv(w=None, xt=T.UINT8, x_zp=np.uint8(3), w_zp=np.int8(0), bias=None, sx=F(0.5), sw=F(0.25), sy=F(2), shape=(1, 3, 4, 4), y_zp=np.uint8(9), **kw):
    m = Model()
    w = np.arange(-27, 27).reshape(2, 3, 3, 3).astype(np.int8) if w is None else w
    ins = [m.input("x", xt, shape), m.const("sx", sx), m.const("zx", x_zp), m.const("w", w), m.const("sw", sw), m.const("zw", w_zp), m.const("sy", sy), m.const("zy", y_zp)]
    if bias is not None:
        ins.append(m.const("b", bias))
    m.op("QLinearConv", ins, "y", **kw)
    m.output()
    return m


def qdq(op="Conv", wx=True, relu=False, **kw):
    m = Model()
    s, z = m.const("s", F(0.5)), m.const("z", np.uint8(3))
    m.op("DequantizeLinear", [m.input(), s, z], "d")
    ins = ["d"]
    if wx:
        ins.append(m.op("DequantizeLinear", [m.const("w", np.ones((2, 3, 3, 3), np.int8)), s], "wd"))
    m.op(op, ins, "c", **kw)
    if relu:
        m.op("Relu", ["c"], "r")
    m.op("QuantizeLinear", ["r" if relu else "c", s, z], "y")
    m.output()
    return m


def edit(m, f):
    p = m.proto()
    f(p)
    return p


good = conv(bias=np.array([5, -7], np.int32), pads=[1, 1, 1, 1])
write("corpus", "qlinearconv.onnx", good.proto().SerializeToString())
write("corpus", "qdq_conv.onnx", qdq().proto().SerializeToString())
write("corpus", "qdq_conv_relu.onnx", edit(qdq(relu=True), lambda p: p.graph.initializer[1].ClearField("raw_data") or p.graph.initializer[1].int32_data.append(0)).SerializeToString())
m = Model(18)
s, z = m.const("s", F(0.5)), m.const("z", np.uint8(0))
m.op("QuantizeLinear", [m.input("x", T.FLOAT, ("batch", 2, 4, 4)), s, z], "q")
m.op("DequantizeLinear", ["q", s, z], "d")
m.op("MaxPool", ["d"], "p", kernel_shape=[2, 2], strides=[2, 2])
m.op("Transpose", ["p"], "t", perm=[0, 2, 3, 1])
m.op("Shape", ["t"], "sh")
m.op("Gather", ["sh", m.const("i", np.array([0]))], "n")
m.op("Concat", ["n", m.const("minus", np.array([-1]))], "to", axis=0)
m.op("Reshape", ["t", "to"], "f")
m.op("Softmax", ["f"], "y")
m.output("y", T.FLOAT)
write("corpus", "moves.onnx", m.proto().SerializeToString())
m = Model()
a = [m.input("a"), m.const("sa", F(0.5)), m.const("za", np.uint8(1))]
m.op("QLinearAdd", a + [m.input("b"), m.const("sb", F(0.3)), m.const("zb", np.uint8(2)), m.const("sy", F(0.7)), m.const("zy", np.uint8(3))], "y", "com.microsoft")
m.output()
write("corpus", "qlinearadd.onnx", m.proto().SerializeToString())

raw = good.proto().SerializeToString()
bad("cut", "parse", "not a readable ONNX file", raw[:-3])
bad("group_wire_type", "parse", "malformed protobuf", raw + b"\x0b\x0c")
bad("no_graph", "parse", "has no graph", edit(good, lambda p: p.ClearField("graph")))
bad("no_opset", "parse", "imports no operator set", edit(good, lambda p: p.ClearField("opset_import")))
deep = H.make_graph([], "leaf", [], [])
for _ in range(12):
    deep = H.make_graph([H.make_node("If", [], ["o"], then_branch=deep)], "g", [], [])
bad("nested", "parse", "nested too deeply", edit(good, lambda p: p.graph.node.append(deep.node[0])))
bad("float_model", "unsup", "float graphs make no integer claim", (lambda m: (m.op("Relu", [m.input("x", T.FLOAT)], "y"), m.output("y", T.FLOAT), m)[2])(Model()))
bad("float_input", "unsup", "reaches Relu before a QuantizeLinear", (lambda m: (m.op("Relu", [m.input("x", T.FLOAT)], "r"), m.op("QuantizeLinear", ["r", m.const("s", F(1))], "y"), m.output(), m)[3])(Model()))
bad("two_quantizers", "unsup", "quantized in two different ways", (lambda m: (m.input("x", T.FLOAT), m.op("QuantizeLinear", ["x", m.const("s", F(1))], "y"), m.op("QuantizeLinear", ["x", m.const("t", F(2))], "y2"), m.output(), m.output("y2"), m)[5])(Model()))
bad("unknown_op", "unsup", "(Erf, opset 13), value 'x' (UINT8): the operator is not supported", (lambda m: (m.op("Erf", [m.input()], "y"), m.output(), m)[2])(Model()))
bad("unknown_domain", "unsup", "(ai.example.QLinearConv, opset 13)", edit(good, lambda p: setattr(p.graph.node[0], "domain", "ai.example")))
bad("unknown_attribute", "unsup", "attribute 'colour' is not supported", edit(good, lambda p: p.graph.node[0].attribute.append(H.make_attribute("colour", 1))))
bad("attribute_type", "parse", "attribute 'group' has the wrong type", edit(good, lambda p: p.graph.node[0].attribute.append(H.make_attribute("group", 1.5))))
bad("functions", "unsup", "functions defined by the model", edit(good, lambda p: p.functions.append(H.make_function("d", "f", [], [], [], []))))
bad("external", "unsup", "external data needs a model that is read from a file", edit(good, lambda p: (setattr(p.graph.initializer[2], "data_location", 1), p.graph.initializer[2].external_data.add(key="location", value="../../secret"))))
bad("segment", "unsup", "segmented tensors", edit(good, lambda p: setattr(p.graph.initializer[2].segment, "begin", 1)))
bad("raw_length", "parse", "the data does not fit the dimensions", edit(good, lambda p: setattr(p.graph.initializer[2], "raw_data", b"abc")))
bad("negative_dim", "parse", "the dimensions are negative", edit(good, lambda p: p.graph.initializer[2].dims.__setitem__(0, -2)))
bad("dims_overflow", "parse", "the dimensions are negative, too many or too large", edit(good, lambda p: [p.graph.initializer[2].dims.__setitem__(i, 1 << 27) for i in range(4)]))
bad("int4_value", "parse", "a value is outside the element type", edit(good, lambda p: (setattr(p.graph.initializer[2], "data_type", 22), p.graph.initializer[2].ClearField("raw_data"), p.graph.initializer[2].int32_data.extend([300] * 27))))
bad("element_type", "unsup", "constants of this element type", edit(good, lambda p: setattr(p.graph.initializer[2], "data_type", 20)))
bad("twice_initializer", "parse", "two initializers have this name", edit(good, lambda p: p.graph.initializer.append(p.graph.initializer[0])))
bad("twice_written", "parse", "the value is written twice", edit(good, lambda p: p.graph.node.append(p.graph.node[0])))
bad("not_written", "parse", "nothing has written yet", edit(good, lambda p: p.graph.node[0].input.__setitem__(0, "nowhere")))
bad("output_unwritten", "parse", "nothing writes this output", edit(good, lambda p: setattr(p.graph.output[0], "name", "z")))
bad("scale_zero", "parse", "scale 0 is not a positive normal number", conv(sw=F(0)))
bad("scale_nan", "parse", "scale 0 is not a positive normal number", conv(sx=F("nan")))
bad("scale_count", "parse", "zero points for 2 scales", conv(sw=np.array([1, 1], F), w_zp=np.zeros(3, np.int8)))
bad("scale_channels", "parse", "3 zero points for 2 output channels", conv(sw=np.array([1, 1, 1], F), w_zp=np.zeros(3, np.int8)))
bad("zp_type", "parse", "the zero point is INT8", conv(x_zp=np.int8(3)))
bad("scale_input", "unsup", "reaches QLinearConv before a QuantizeLinear", edit(good, lambda p: (p.graph.initializer.remove([t for t in p.graph.initializer if t.name == "sx"][0]), p.graph.input.append(H.make_tensor_value_info("sx", T.FLOAT, [])))[0]))
bad("weights_input", "unsup", "only constant weights", edit(good, lambda p: (p.graph.initializer.remove([t for t in p.graph.initializer if t.name == "w"][0]), p.graph.input.append(H.make_tensor_value_info("w", T.INT8, [2, 3, 3, 3])))[0]))
bad("s8u8", "unsup", "has no kernel for activations INT8 with weights UINT8", conv(w=np.ones((2, 3, 3, 3), np.uint8), xt=T.INT8, x_zp=np.int8(0), w_zp=np.uint8(0), y_zp=np.int8(0)))
bad("channels", "parse", "do not fit", conv(w=np.ones((2, 2, 3, 3), np.int8)))
bad("groups", "parse", "groups of weights", conv(group=3))
bad("kernel_too_large", "parse", "the kernel does not fit into the image", conv(w=np.ones((2, 3, 5, 5), np.int8)))
bad("conv_3d", "unsup", "convolutions over 3 dimensions", conv(w=np.ones((2, 3, 2, 2, 2), np.int8), shape=(1, 3, 4, 4, 4)))
bad("auto_pad", "unsup", "attribute 'auto_pad' is not supported", conv(auto_pad="SIDEWAYS"))
bad("pads_count", "parse", "attribute 'pads' has 3 values", conv(pads=[1, 1, 1]))
bad("bias_count", "unsup", "3 bias values for 2 output channels", conv(bias=np.array([1, 2, 3], np.int32)))
bad("bias_float", "unsup", "the bias must be INT32", conv(bias=np.array([1, 2], F)))
bad("open_dimension", "unsup", "only the first may be open", conv(shape=(1, 3, "h", 4)))
bad("input_type", "unsup", "inputs of this type are not supported", (lambda m: (m.op("Identity", [m.input("x", T.INT64)], "y"), m.output(), m)[2])(Model()))
bad("dynamic_quantize", "unsup", "DynamicQuantizeLinear", (lambda m: (m.op("DynamicQuantizeLinear", [m.input("x", T.FLOAT)], ["y", "s", "z"]), m.output(), m)[2])(Model()))
bad("qdq_float_weights", "unsup", "float weights", (lambda m: (m.op("DequantizeLinear", [m.input(), m.const("s", F(1))], "d"), m.op("Conv", ["d", m.const("w", np.ones((2, 3, 3, 3), F))], "y"), m.output("y", T.FLOAT), m)[3])(Model()))
bad("qdq_relu_cuts", "unsup", "keeps ONNX Runtime from fusing", qdq(relu=True))
bad("qdq_no_quantizer", "unsup", "this output is the float result", edit(qdq(), lambda p: (p.graph.node.pop(), setattr(p.graph.output[0], "name", "c"))[0]))
bad("qdq_softmax", "unsup", "supported only as the last one", edit(qdq("Softmax", False), lambda p: (p.graph.node[-1].output.__setitem__(0, "q"), p.graph.node.append(H.make_node("Abs", ["q"], ["y"])))))
bad("blocked", "unsup", "blocked quantization", edit(qdq(), lambda p: p.graph.node[1].attribute.append(H.make_attribute("block_size", 2))))
bad("indices_wanted", "unsup", "result 1 of this operator is not supported", (lambda m: (m.op("MaxPool", [m.input()], ["y", "i"], kernel_shape=[2, 2]), m.output(), m.output("i", T.INT64), m)[3])(Model()))
bad("reshape_count", "parse", "the new shape has 7 elements instead of 48", (lambda m: (m.op("Reshape", [m.input(), m.const("s", np.array([7]))], "y"), m.output(), m)[2])(Model()))
bad("permutation", "parse", "is not a permutation", (lambda m: (m.op("Transpose", [m.input()], "y", perm=[0, 1, 2, 2]), m.output(), m)[2])(Model()))
bad("gather_index", "parse", "index 9 is out of range", (lambda m: (m.op("Gather", [m.input(), m.const("i", np.array([9]))], "y", axis=1), m.output(), m)[2])(Model()))
bad("int_add", "unsup", "overflow is not defined", (lambda m: (m.op("Add", [m.input("x"), m.input("z")], "y"), m.output(), m)[2])(Model(14)))
bad("no_inputs", "unsup", "no output of the model depends on an input", (lambda m: (m.op("Identity", [m.input()], "z"), m.const("c", np.uint8(1)), m.op("Identity", ["c"], "y"), m.output(), m)[4])(Model()))
bad("dequantize_zp_type", "parse", "the zero point is INT8", (lambda m: (m.op("DequantizeLinear", [m.input(), m.const("s", F(1)), m.const("z", np.int8(0))], "d"), m.op("QuantizeLinear", ["d", "s"], "y"), m.output(), m)[3])(Model()))
bad("max_of_neg", "unsup", "does not preserve order", (lambda m: (m.op("DequantizeLinear", [m.input(), m.const("s", F(1))], "d"), m.op("Neg", ["d"], "n"), m.op("MaxPool", ["n"], "p", kernel_shape=[2, 2]), m.op("QuantizeLinear", ["p", "s"], "y"), m.output(), m)[5])(Model()))
bad("qdq_between", "unsup", "must stand directly in front", edit(qdq(), lambda p: (p.graph.node[2].input.__setitem__(0, "t"), p.graph.node.insert(1, H.make_node("Dropout", ["d"], ["t"])))[0]))
