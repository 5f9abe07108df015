#!/usr/bin/env python3
"""Make the float network of docs/tutorial.md: data, training, ONNX file.

    python3 make_net.py [output-directory]

Needs numpy and ../shapes/make_shapes.py, which draws the pictures; half a
minute. Everything is made here; no outside data or weights are involved.
(The shipped files are those of one run: another numpy may round a float
product differently and so train a slightly different net.)

Written files:
    net.onnx                    the float net, 256-20-12-6 with ReLU, opset 13
    calib-images.idx3-ubyte     120 of its training images, 16x16 grey
    calib-labels.txt            their classes, one number a line
    test-images.idx3-ubyte      200 other images
    test-labels.txt             their classes
"""

import os
import struct
import sys

import numpy as np

sys.dont_write_bytecode = True

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "shapes"))
import make_shapes as shapes  # noqa: E402

LAYERS = [256, 20, 12, len(shapes.CLASSES)]
SEED, EPOCHS, BATCH, RATE, DECAY, STEP = 7, 60, 50, 0.05, 2e-4, 6 / 255


# ------------------------------------------------------------- training

def forward(net, x):
    acts = [x]
    for k, (w, b) in enumerate(net):
        x = x @ w.T + b
        if k + 1 < len(net):
            x = np.maximum(x, 0)
        acts.append(x)
    return acts


def backward(net, acts, grad):
    """Gradients of weights and biases, and of the input."""
    out = []
    for k in reversed(range(len(net))):
        out.append((grad.T @ acts[k], grad.sum(0)))
        grad = grad @ net[k][0]
        if k > 0:
            grad = grad * (acts[k] > 0)
    return out[::-1], grad


def loss_grad(logits, y):
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return p / len(y)


def train(x, y):
    """Gradient descent with momentum on images moved one step against the
    net (adversarial training), so that there is something to certify."""
    rng = np.random.default_rng(SEED)
    net = [(rng.normal(0, (2 / a) ** 0.5, (b, a)), np.zeros(b)) for a, b in zip(LAYERS, LAYERS[1:])]
    speed = [(np.zeros_like(w), np.zeros_like(b)) for w, b in net]
    for epoch in range(EPOCHS):
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        for part in np.array_split(rng.permutation(len(x)), len(x) // BATCH):
            xs, ys = x[part], y[part]
            acts = forward(net, xs)
            _, g = backward(net, acts, loss_grad(acts[-1], ys))
            acts = forward(net, np.clip(xs + STEP * np.sign(g), 0, 1))
            grads, _ = backward(net, acts, loss_grad(acts[-1], ys))
            for k, (gw, gb) in enumerate(grads):
                w, b = net[k]
                speed[k] = (0.9 * speed[k][0] - rate * (gw + DECAY * w), 0.9 * speed[k][1] - rate * gb)
                net[k] = (w + speed[k][0], b + speed[k][1])
    return [(w.astype(np.float32), b.astype(np.float32)) for w, b in net]


# ------------------------------------------- ONNX: protobuf by hand

def varint(v):
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def field(number, value):
    """An int, a string, or the bytes of a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, a):
    return b"".join(field(1, d) for d in a.shape) + field(2, 1) + field(8, name) + field(9, a.tobytes())


def value_info(name, dims):
    shape = b"".join(field(1, field(2, d) if isinstance(d, str) else field(1, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def node(op, inputs, output, attributes=b""):
    return b"".join(field(1, i) for i in inputs) + field(2, output) + field(3, output) + field(4, op) + attributes


def onnx(net):
    graph, last = field(1, node("Flatten", ["image"], "flat")), "flat"
    for k, (w, b) in enumerate(net, 1):
        name = "logits" if k == len(net) else f"fc{k}"
        graph += field(1, node("Gemm", [last, f"w{k}", f"b{k}"], name, field(5, field(1, "transB") + field(3, 1) + field(20, 2))))
        graph += field(5, tensor(f"w{k}", w)) + field(5, tensor(f"b{k}", b))
        last = name
        if k < len(net):
            graph += field(1, node("Relu", [last], f"relu{k}"))
            last = f"relu{k}"
    graph += field(2, "shapes") + field(11, value_info("image", ["N", 1, shapes.SIDE, shapes.SIDE])) + field(12, value_info("logits", ["N", LAYERS[-1]]))
    return field(1, 8) + field(2, "make_net.py") + field(7, graph) + field(8, field(2, 13))


def write_images(path, images):
    with open(path, "wb") as f:
        f.write(struct.pack(">IIII", 0x803, len(images), shapes.SIDE, shapes.SIDE))
        for i in images:
            f.write(bytes(i))


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else HERE
    images, labels = shapes.make_set(3000, SEED)
    test, test_labels = shapes.make_set(200, SEED + 1)
    net = train(np.array(images) / 255.0, np.array(labels))
    right = (forward(net, np.array(test) / 255.0)[-1].argmax(1) == np.array(test_labels)).sum()
    print(f"float net: {right} of {len(test)} test images right")
    with open(os.path.join(out, "net.onnx"), "wb") as f:
        f.write(onnx(net))
    for name, i, l in (("calib", images[:120], labels[:120]), ("test", test, test_labels)):
        write_images(os.path.join(out, f"{name}-images.idx3-ubyte"), i)
        with open(os.path.join(out, f"{name}-labels.txt"), "w") as f:
            f.writelines(f"{v}\n" for v in l)


if __name__ == "__main__":
    main()
