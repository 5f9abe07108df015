#!/usr/bin/env python3
"""Writes the fixtures of this folder: one tiny net per public report of a wrong or undefined integer sum, and a variant that is
safe. tests/regress/expected.tsv says what must come out; tests/test_regress.c checks it. Run in this folder; the output is
committed.

Numbers are those of the reports named in the file names (OWNER-REPOSITORY-ISSUE), reduced to one output channel."""

TYPES = {"i8": (-128, 127), "u8": (0, 255), "i16": (-32768, 32767), "u16": (0, 65535)}
rows = []


def acc(mode, bits=32, order="kernel", bias="last", form="corrected", stage=""):
    head = "exact" if mode == "exact" else f"{mode} bits {bits}"
    return f"acc {head} order {order} bias {bias} form {form}{' ' + stage if stage else ''}"


def pairs(pairing="adjacent"):
    return acc("pair16", form="raw", stage=f"pairing {pairing}")


def lanes(n, spill, bits=16, form="corrected"):
    return acc("lanes", form=form, stage=f"lanes {n} lane_bits {bits} lane wrap spill {spill}")


def pairlanes(n, spill, lane="sat", form="raw"):
    return acc("pairlanes", form=form, stage=f"pairing adjacent lanes {n} lane {lane} spill {spill}")


def dense(accumulator, weights, bias=None, x_zp=0, w_zp=0):
    k, oc = len(weights[0]), len(weights)
    return (f"window n 1 ih 1 iw 1 ic {k} oh 1 ow 1 oc {oc} kh 1 kw 1 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups 1\n"
            f"{accumulator}\nx_zp {x_zp}\nw_zp 1 {w_zp}\nb {' '.join(map(str, bias or [0] * oc))}\nw\n"
            + "\n".join(" ".join(map(str, r)) for r in weights)), oc


def conv(accumulator, h, w, kh, kw, pad_h, pad_w, weights, bias=0):
    oh, ow = h + 2 * pad_h - kh + 1, w + 2 * pad_w - kw + 1
    return (f"window n 1 ih {h} iw {w} ic 1 oh {oh} ow {ow} oc 1 kh {kh} kw {kw} sh 1 sw 1 dh 1 dw 1 pt {pad_h} pl {pad_w} groups 1\n"
            f"{accumulator}\nx_zp 0\nw_zp 1 0\nb {bias}\nw\n{' '.join(map(str, weights))}"), oh * ow


def step(par, lo, hi, out_zp=0):
    return f"step in_zp 0 lshift 0 out_zp {out_zp} lo {lo} hi {hi} inner 1\nidx none\npar 1\n{par}"


def net(name, title, size, nodes, type="i8", lo=None, hi=None, expect=None):
    """nodes: (kind, op, attributes, elements). expect: list of (acc_bits, verdict, node, input, element, exact, machine)."""
    d = TYPES[type]
    t = [f'tensor 0 name "x" type {type} dims 2 1 {size} scale none const no']
    n = []
    for i, (kind, attributes, elems) in enumerate(nodes):
        t.append(f'tensor {i + 1} name "y{i}" type i32 dims 2 1 {elems} scale none const no')
        n.append(f'node {i} {kind} op "{kind.upper()}" layer {i} in 1 {i} out {i + 1}\n{attributes}')
    text = "\n".join(["qir 1", 'source ""', 'sha256 ""', 'profile ""', 'format "regress"', "notes 1", f'note "{title}"',
                      f"tensors {len(t)}", *t, "inputs 1",
                      f'input 0 tensor 0 lo {d[0] if lo is None else lo} hi {d[1] if hi is None else hi} end int name "x"',
                      f"nodes {len(n)}", *n, "outputs 1", f'output 0 tensor {len(nodes)} end int name "y" tail none', "end", ""])
    with open(name + ".qir", "w") as f:
        f.write(text)
    for e in expect:
        rows.append("\t".join([name + ".qir", *map(str, e)]))


def affine(name, title, part, type="i8", lo=None, hi=None, expect=None, size=None, then=None):
    attributes, elems = part
    k = size if size is not None else len(attributes.split("\nw\n")[1].split("\n")[0].split())
    net(name, title, k, [("affine", attributes, elems)] + (then or []), type, lo, hi, expect)


def good(bits=0):
    return [(bits, "verified", "-", "-", "-", "-", "-")]


def bad(inputs, exact, machine, node=0, element=0, bits=0):
    return [(bits, "falsified", node, inputs, element, exact, machine)]


def main():
    # saturating pairs in a saturating int16 lane: pairs of 64 + 64 are safe, their running sum is not
    affine("pytorch-FBGEMM-376", "16-bit accumulation: the running sum saturates", dense(pairlanes(1, 128), [[64] * 8]), type="u8",
           expect=bad("255*8", 130560, 32767))
    affine("pytorch-FBGEMM-376-fixed", "32 bits after every pair", dense(pairlanes(1, 1), [[64] * 8]), type="u8", expect=good())
    affine("pytorch-FBGEMM-376-order", "the sum fits, a prefix does not", dense(pairlanes(1, 128), [[64, 64, 64, 0, -64, -64, -64, 0]]), type="u8",
           lo=200, expect=bad("255*8", 0, -16193))
    affine("pytorch-FBGEMM-376-wrap", "the same sums in a lane that wraps", dense(pairlanes(1, 128, "wrap"), [[64, 64, 64, 0, -64, -64, -64, 0]]), type="u8",
           lo=200, expect=good())
    # int16 lanes that wrap
    w16 = [-128] + [0] * 7 + [-128] + [0] * 7
    affine("microsoft-onnxruntime-31573", "NEON int8: terms k and k+8 share an int16 lane", dense(lanes(8, 2), [w16]),
           expect=bad("-128,0*7,-128,0*7", 32768, -32768))
    affine("microsoft-onnxruntime-31573-weight", "one weight of -127 suffices", dense(lanes(8, 2), [[-127] + w16[1:]]), expect=good())
    affine("microsoft-onnxruntime-31573-widened", "every product widened", dense(lanes(8, 1), [w16]), expect=good())
    affine("google-gemmlowp-174", "-128*-128 twice in int16", dense(lanes(1, 2), [[-128, -128]]), expect=bad("-128*2", 32768, -32768))
    affine("google-gemmlowp-174-fixed", "weights >= -127", dense(lanes(1, 2), [[-127, -127]]), expect=good())
    affine("tencent-ncnn-717", "3x3 taps chained in one int16 lane", conv(lanes(1, 9), 3, 3, 3, 3, 0, 0, [127] * 9), size=9,
           expect=bad("127*9", 145161, 14089))
    affine("tencent-ncnn-717-fixed", "pairs widened, activations >= -127", conv(lanes(1, 2), 3, 3, 3, 3, 0, 0, [-128] * 9), size=9, lo=-127,
           expect=good())
    affine("microsoft-BitNet-459", "256 two-bit weights in one int16 lane", dense(lanes(1, 256), [[2] * 256]), expect=bad("127*256", 65024, -512))
    affine("microsoft-BitNet-459-fixed", "widened every 8", dense(lanes(1, 8), [[2] * 256]), expect=good())
    affine("microsoft-BitNet-629", "128 pair sums of at most 508 in one int16 lane", dense(lanes(1, 256), [[2] * 256]), lo=0,
           expect=bad("127*256", 65024, -512))
    affine("microsoft-BitNet-629-fixed", "64 pair sums", dense(lanes(1, 128), [[2] * 256]), lo=0, expect=good())
    # saturating pairs
    b7524 = [[25, 42, -81], [36, -123, -86], [125, 76, 35]]
    affine("microsoft-onnxruntime-7524", "MatMulInteger u8*s8 on AVX2", dense(pairs(), b7524, x_zp=42, w_zp=-26), "u8",
           expect=bad("238,115,94", 40214, 34491, element=2) + bad("245,111,102", 41351, 35057, element=2)
           + bad("158,225,48", 36548, 32465, element=2))
    affine("microsoft-onnxruntime-7524-vnni", "32-bit sums", dense(acc("wrap", form="raw"), b7524, x_zp=42, w_zp=-26), "u8", expect=good())
    affine("microsoft-onnxruntime-16105", "u8*s8 convolution, vpmaddubsw", dense(pairs(), [[113, 113]]), "u8", expect=bad("255*2", 57630, 32767))
    affine("microsoft-onnxruntime-16105-vnni", "32-bit sums", dense(acc("wrap", form="raw"), [[113, 113]]), "u8", expect=good())
    affine("microsoft-onnxruntime-16105-reduce-range", "7-bit weights", dense(pairs(), [[64, 64]]), "u8", expect=good())
    affine("pytorch-pytorch-44939", "FBGEMM pairs", dense(pairs(), [[71, 107]]), "u8", expect=bad("211,171", 33278, 32767))
    affine("pytorch-pytorch-44939-reduce-range", "7-bit activations", dense(pairs(), [[71, 107]]), "u8", hi=127, expect=good())
    affine("pytorch-pytorch-76390", "64 and 65 are too much, 64 and 64 are not", dense(pairs(), [[64, 65]]), "u8", expect=bad("255*2", 32895, 32767))
    affine("pytorch-FBGEMM-125", "acc16: a running 16-bit sum saturates", dense(acc("sat", 16), [[64] * 8]), "u8", expect=bad("255*8", 130560, 32767))
    affine("pytorch-FBGEMM-125-fixed", "widened after two products", dense(acc("sat", 16), [[64] * 2]), "u8", expect=good())
    affine("uxlfoundation-oneDNN-476", "s8*s8 as u8*s8 with x + 128", dense(pairs(), [[127, 127]], x_zp=128), "u8", expect=bad("255*2", 32258, 255))
    affine("uxlfoundation-oneDNN-476-small", "small weights hide it", dense(pairs(), [[64, 64]], x_zp=128), "u8", expect=good())
    # 16x8
    affine("tensorflow-tflite-micro-3598", "16x8 with a 32-bit accumulator", dense(acc("wrap"), [[127] * 600]), "i16",
           expect=bad("32767*600", 2496845400, -1798121896))
    affine("tensorflow-tflite-micro-3598-i64", "64-bit accumulator, 16-bit multiplier", dense(acc("wrap", 62), [[127] * 600]), "i16",
           then=[("step", step("RQ_64 1073741824 -16", -32768, 32767), 1)], expect=good())
    affine("ARM-software-CMSIS-NN-convolve-s16", "left-over column: int32 for all depths", dense(acc("trap"), [[127] * 517]), "i16",
           expect=bad("-32768*517", -2151514112, "trap"))
    affine("ARM-software-CMSIS-NN-convolve-s16-516", "one tap less", dense(acc("trap"), [[127] * 516]), "i16", expect=good())
    # fixed point
    one = lambda mode, bits: dense(acc(mode, bits), [[1]])
    affine("fastmachinelearning-hls4ml-68-wrap", "8.99 in ap_fixed<10,4>, units of 1/64", one("wrap", 10), "i16", -600, 600, expect=bad("575", 575, -449))
    affine("fastmachinelearning-hls4ml-68-sat", "the same, AP_SAT", one("sat", 10), "i16", -600, 600, expect=bad("575", 575, 511))
    affine("fastmachinelearning-hls4ml-68-fixed", "one bit more", one("wrap", 11), "i16", -600, 600, expect=good())
    affine("fastmachinelearning-hls4ml-311", "mean of 64 values, accum_t = data type", dense(acc("wrap", 10), [[1] * 64]), "i16", -512, 511,
           expect=bad("144*64", 9216, 0))
    affine("fastmachinelearning-hls4ml-311-fixed", "accum_t of 16 bits", dense(acc("wrap", 16), [[1] * 64]), "i16", -512, 511, expect=good())
    affine("ARM-software-ComputeLibrary-1012", "narrowed by wrapping: 200 becomes -56", dense(acc("wrap", 8), [[2]]), lo=0, hi=100,
           expect=bad("100", 200, -56))
    affine("ARM-software-ComputeLibrary-1012-fixed", "narrowed by clamping", dense(acc("wrap", 32), [[2]]), lo=0, hi=100,
           then=[("clamp", "clamp lo -128 hi 127", 1)], expect=good())
    # widths that other tools get wrong
    affine("Xilinx-finn-1517", "2^31 needs 33 bits; binary32 cannot tell 2^31 from 2^31 - 1", dense(acc("wrap"), [[32767]], [2 ** 31 - 65535 * 32767]),
           "u16", expect=bad("65535", 2147483648, -2147483648))
    affine("Xilinx-finn-1517-fixed", "one less", dense(acc("wrap"), [[32767]], [2 ** 31 - 1 - 65535 * 32767]), "u16", expect=good())
    affine("Xilinx-finn-1324", "the lower end counts too", dense(acc("wrap", 16), [[-157]]), "u8", expect=bad("255", -40035, 25501))
    affine("Xilinx-finn-1324-fixed", "-128", dense(acc("wrap", 16), [[-128]]), "u8", expect=good())
    affine("a2q-plus-post-hoc", "the formula for zero-centred weights says 19 bits", dense(acc("wrap", 19), [[127] * 9]), "u8",
           expect=bad("255*9", 291465, -232823))
    affine("a2q-plus-post-hoc-fixed", "20 bits", dense(acc("wrap", 20), [[127] * 9]), "u8", expect=good())
    affine("prefix-beyond-final", "final [-5,5], prefix [5,10]", dense(acc("sat", 4), [[1, -1]]), lo=5, hi=10, expect=bad("10,5", 5, 2))
    affine("prefix-beyond-final-wrap", "harmless where the sum wraps", dense(acc("wrap", 4), [[1, -1]]), lo=5, hi=10, expect=good())
    affine("qonnx-padding", "x in [5,10], border outputs are [10,20]: with bias -43 they reach -33", conv(acc("wrap", 6), 1, 8, 1, 3, 0, 1, [1, 1, 1], -43),
           size=8, lo=5, hi=10, expect=bad("5*8", -33, 31))
    affine("qonnx-padding-fixed", "bias -42", conv(acc("wrap", 6), 1, 8, 1, 3, 0, 1, [1, 1, 1], -42), size=8, lo=5, hi=10, expect=good())
    twice, _ = dense(acc("wrap", 8), [[4]])
    net("own-width-first", "wraps at its own 8 bits; the layer behind it then fits 10 bits", 1,
        [("affine", twice, 1), ("affine", twice.replace("bits 8", "bits 32"), 1)], lo=0, hi=127, expect=bad("127", 508, -4))
    minus = ("step", step("RQ_D -1073741824 1", -128, 127), 1)
    last, _ = dense(acc("wrap", 5), [[3]])
    net("qonnx-negative-alpha", "times -1, then times 3: [-30,-15]", 1, [minus, ("affine", last, 1)], lo=5, hi=10, expect=bad("10", -30, 2, node=1))
    net("qonnx-negative-alpha-fixed", "6 bits", 1, [minus, ("affine", last.replace("bits 5", "bits 6"), 1)], lo=5, hi=10, expect=good())
    for k, off, bits in ((1152, 11, 26), (4608, 98, 27)):  # how much a binary32 midpoint-radius bound is short there
        w, s = [], 2026
        for _ in range(k):
            s = (s * 6364136223846793005 + 1442695040888963407) % 2 ** 64
            w.append((s >> 33) % 256 - 128)
        top = 255 * sum(v for v in w if v > 0)
        x = ",".join("255" if v > 0 else "0" for v in w)
        affine(f"sira-float32-{k}", f"the exact maximum is 2^{bits - 1}; a bound short by {off} would fit {bits} bits", dense(acc("wrap", bits), [w], [2 ** (bits - 1) - top]), "u8",
               expect=bad(x, 2 ** (bits - 1), -2 ** (bits - 1)))
        affine(f"sira-float32-{k}-fixed", "one less", dense(acc("wrap", bits), [w], [2 ** (bits - 1) - 1 - top]), "u8", expect=good())
    with open("expected.tsv", "w") as f:
        f.write("file\tacc_bits\tverdict\tnode\tinput\telement\texact\tmachine\n" + "\n".join(rows) + "\n")


main()
