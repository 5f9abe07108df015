#!/usr/bin/env bash
# qverify info on float networks: described, exit 0, no claim; what neither reader takes stays refused.
. "$(dirname "$0")/lib.sh"

t "float ONNX" 0 info tests/corpus/float/dense.onnx
has out "it says what it is" 'floating-point network, [0-9]+ bytes'
has out "it says that there is no claim" '^  No integer claim is made about floating-point arithmetic'
hasnt err "nothing on standard error" .
t "a profile changes nothing" 0 info tests/corpus/float/dense.onnx --profile ort-vnni
t "proofs are refused" 3 overflow tests/corpus/float/dense.onnx --profile ort-vnni
has err "with the reason" 'no integer claim'
t "execution is refused" 3 run tests/corpus/float/dense.onnx --profile ort-vnni --input /dev/null --output /dev/null
t "an operator neither knows" 3 info tests/zoo/onnx/unknown_op.onnx --profile ort-vnni
t "a quantized model" 0 info tests/corpus/onnx/qlinearconv.onnx --profile ort-vnni
hasnt out "is none of them" 'floating-point network'
finish
