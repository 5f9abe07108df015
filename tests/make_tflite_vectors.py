#!/usr/bin/env python3
"""Packs one-operator nets and what live runtimes answered into one file, read by tests/test_vectors.c.

    make_tflite_vectors.py OUT DIR... [--whole NET...]

DIR/<operator>/<number>/ as tests/oracles/gen.py and run.sh leave them: model.tflite, in0.bin, in1.bin, ..., meta.json and
out.<runtime>. Kept are, per operator, the smallest net and the smallest one with enough channels to leave both the vector
and the scalar part of a kernel in use; of each the first samples. NET: a single net to be kept with all its samples (nets that
separate two rounding functions by chosen ties).

Format, little endian: "QVV1", then records: string name; bytes model; u32 inputs, each bytes; u32 outputs, each string
profile and bytes. string and bytes: u32 length and data.
"""
import glob, json, os, struct, sys

RUNTIMES = {"tfo": "tflite-double", "tf29": "tflite-ruy-x86", "xnn": "xnnpack"}
SAMPLES, LIMIT = 4, 12000


def blob(b):
    return struct.pack("<I", len(b)) + b


def samples(d, meta):
    t = meta["tensors"][meta["inputs"][0]]
    size = {"int8": 1, "uint8": 1, "int16": 2, "float32": 4}[t["type"]]
    for k in t["shape"]:
        size *= k
    return os.path.getsize(d + "in0.bin") // size


def record(d, name, limit=SAMPLES):
    meta = json.load(open(d + "meta.json"))
    n = samples(d, meta)
    keep = min(n, limit)

    def cut(path):
        b = open(path, "rb").read()
        assert len(b) % n == 0, path
        return b[: len(b) // n * keep]

    ins = [cut(p) for p in sorted(glob.glob(d + "in*.bin"))]
    outs = [(RUNTIMES[r], cut(d + "out." + r)) for r in RUNTIMES if os.path.exists(d + "out." + r)]
    if not outs:
        return None
    r = blob(name.encode()) + blob(open(d + "model.tflite", "rb").read())
    r += struct.pack("<I", len(ins)) + b"".join(map(blob, ins))
    return r + struct.pack("<I", len(outs)) + b"".join(blob(p.encode()) + blob(o) for p, o in outs)


def wide(d):
    """Both parts of a vectorised kernel: 16 channels and a rest; for MEAN also the form that has such a kernel."""
    meta = json.load(open(d + "meta.json"))
    op = meta["ops"][-1]
    t = meta["tensors"]
    shape = t[op["out"] if "out" in op else op["outs"][0]]["shape"]
    if op["op"] == "MEAN":
        axes = t[op["in" if "in" in op else "ins"][1]]["data"]
        if sorted(axes) != [1, 2] or not op.get("opt", op)["keepDims"]:
            return False
    return bool(shape) and shape[-1] > 16 and shape[-1] % 8 != 0


def main():
    records, small, large = [], set(), set()
    bases = sys.argv[2:]
    whole = bases.index("--whole") if "--whole" in bases else len(bases)
    for net in bases[whole + 1:]:
        records.append(record(net.rstrip("/") + "/", net.rstrip("/").split("/")[-2], 1 << 30))
    for base in bases[:whole]:
        for op in sorted(glob.glob(base + "/*/")):
            name = os.path.basename(op[:-1])
            if name.startswith("dequantize"):
                continue
            nets = []
            for d in glob.glob(op + "*/"):
                r = record(d, name)
                if r is not None and len(r) <= LIMIT:
                    nets.append((len(r), d, r))
            nets.sort()
            for done, picks in ((small, nets), (large, [x for x in nets if wide(x[1])])):
                if picks and name not in done:
                    done.add(name)
                    if picks[0][2] not in records:
                        records.append(picks[0][2])
    open(sys.argv[1], "wb").write(b"QVV1" + b"".join(records))
    print(len(records), "records")


main()
