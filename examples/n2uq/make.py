#!/usr/bin/env python3
"""examples/n2uq/digits.json: a small N2UQ network (docs/n2uq.md) made by rule, not by training: 8x8 images of 3 bits, a convolution with
2-bit odd weights (edge filters), learned-threshold activations of unequal steps, one channel behind a negative PReLU slope, a dense layer.

    examples/n2uq/make.py > examples/n2uq/digits.json"""
import json

FILTERS = [[-1, -1, -1, 1, 1, 1, 1, 1, 1], [-1, 1, 1, -1, 1, 1, -1, 1, 1], [3, -1, -1, -1, 3, -1, -1, -1, 3], [-1, -1, -1, -1, 3, -1, -1, -1, -1]]


def odd(k, n):  # a fixed scramble, spread over the odd numbers of [-n, n]
    return 2 * ((k * k * 7 + k * 13 + 5) % 31 % (n + 1)) - n


net = {
    "format": "n2uq", "version": 1, "name": "digits",
    "input": {"shape": [8, 8, 1], "bits": 3, "scale": 0.125},
    "layers": [
        {"type": "conv", "name": "edges", "out": 4, "kernel": [3, 3], "stride": [2, 2], "pad": [1, 1, 1, 1], "bits": 2,
         "weights": [w for f in FILTERS for w in f], "scale": [0.5, 0.5, 0.25, 0.375], "wrap_bits": 10,
         "then": [{"op": "batchnorm", "scale": [1.5, 1, -0.75, 2], "bias": [0.1, -0.2, 0.3, 0], "mean": [0.5, 0.25, 0, -0.5],
                   "var": [2, 1.5, 3, 0.7], "epsilon": 1e-5},
                  {"op": "prelu", "value": [0.25, 0.1, -0.5, 0]}],
         "ltq": {"start": -0.1, "a": [0.4, 0.7, 1.1], "scale1": 1, "scale2": 1.5}},
        {"type": "flatten"},
        {"type": "dense", "name": "hidden", "out": 8, "bits": 3, "weights": [odd(i, 7) for i in range(8 * 64)], "scale": 0.0625, "sat_bits": 12,
         "then": [{"op": "add", "value": [0.5, -0.5, 0.25, 0, 0, 1, -1, 0.125]}, {"op": "prelu", "value": -0.25}],
         "ltq": {"start": 0.5, "a": [0.5, 0.5, 0.75, 0.75, 1, 1, 1.5], "scale1": 0.5, "scale2": 2}},
        {"type": "dense", "name": "classes", "out": 3, "bits": 2, "weights": [odd(3 * i + 1, 3) for i in range(3 * 8)], "scale": 0.5},
    ],
}
print(json.dumps(net, indent=1))
