# qverify audit: kernels with narrow stages.
. "$(dirname "$0")/lib.sh"
fc_model >"$T/fc.qir"
opaque_model >"$T/opaque.qir"
copy_model >"$T/copy.qir"
two_model >"$T/two.qir"

# Channel 1 has the pair 30 x0 + 127 x1, at most 40035 > 32767; channel 0 the pair x0 - 2 x1, which always fits.
t 'a pair saturates' 10 audit "$T/fc.qir" --kernel avx2-u8s8 --json "$T/r.json" --cex "$T/cex.npy" --witness "$T/wit"
read -r x0 x1 < <(tail -c 2 "$T/cex.npy" | od -An -tu1)
pair=$((30 * x0 + 127 * x1))
if ((pair > 32767)); then ok 'the input saturates the pair, by hand'; else not_ok "the input $x0,$x1 gives the pair $pair"; fi
has out 'both values' "channel 1 sums to $((pair + 20)) and the 32-bit accumulator gives 32787\$"
has out 'counts and share' '^ +0 +FC +adjacent pairs to 16 +2 +1 +50\.0 % +1 +17 +32 +- +REACHABLE$'
has out 'worst pair' 'channel 1, 30 \* \[0,255\] \+ 127 \* \[0,255\] \(terms 0, 1\): sum in \[0,40035\], stage holds \[-32768,32767\]'
has out 'the kernel is an assumption' 'Assumed kernel avx2-u8s8'
has out 'verdict line' '^FALSIFIED: 1 layer with a wrong result on an executed input, first: layer 0 FC$'
valid_report 'a pair saturates' "$T/r.json"
check 'report: verdict' test "$(json "$T/r.json" verdict)" = FALSIFIED
check 'report: kernel' grep -q '"kernel": "avx2-u8s8"' "$T/r.json"
check 'report: what was asked' grep -q '"requested": "audit"' "$T/r.json"
check 'report: unsafe pairs' grep -q '"unsafe": "1"' "$T/r.json"
check 'witness files' test -s "$T/wit/node0.h"
t 'proofs only' 5 audit "$T/fc.qir" --kernel avx2-u8s8 --no-search
has out 'proofs only: says so' '^UNKNOWN: not excluded, no input searched \(--no-search\)'
t 'no narrow stage' 0 audit "$T/fc.qir" --kernel vnni-u8s8
has out 'no narrow stage: proved and checked' '^VERIFIED: .*\(certificate accepted by qverify-check\)$'
has out 'no narrow stage: says so' '^No narrow stages'
t 'without a kernel: the own accumulators' 0 audit "$T/fc.qir" --json "$T/r.json"
valid_report 'no kernel' "$T/r.json"
check 'report: no stage' grep -q '"stage": null' "$T/r.json"
check 'report: no kernel' sh -c "! grep -q '\"kernel\"' '$T/r.json'"

# Signed kernel: the uint8 input is moved to x - 128, and no window of one product per lane can overflow.
t 'lanes' 0 audit "$T/fc.qir" --kernel neon-s8 --verbose --certificate "$T/a.qvc" --json "$T/r.json"
has out 'lanes: worst window' 'worst lane window: channel 1, 127 \* \[-128,127\] \(term 1\): sum in \[-16256,16129\]'
valid_report 'lanes' "$T/r.json"
t 'lanes: the certificate stands alone' 0 check "$T/a.qvc"

# 30 * 255 + 127 * 197 = 32669 fits; with 198 it is 32796.
printf 'input x [1] 0 197\n' >"$T/d197"
printf 'input x [1] 0 198\n' >"$T/d198"
t 'domain: absent' 0 audit "$T/fc.qir" --kernel avx2-u8s8 --domain "$T/d197"
has out 'domain: fewer pairs than for any byte' ' 2 +0 +0\.0 % +1 '
t 'domain: reachable one step wider' 10 audit "$T/fc.qir" --kernel avx2-u8s8 --domain "$T/d198"

# 40035 - 32767 = 7268 is more than 28 steps of 255.
printf '\377\377\0\0' >"$T/two.bin"
printf '\377\377\0\0\12\12' >"$T/cal.bin"
t 'a domain where nothing saturates' 0 audit "$T/fc.qir" --kernel avx2-u8s8 --domain "$T/d197" --repair "$T/none.qir"
has out 'nothing to repair' '^Repair \(auto\): 0 layers changed'
t 'compared on the samples of --calibrate' 10 audit "$T/fc.qir" --kernel avx2-u8s8 --calibrate "$T/cal.bin" --repair "$T/fixed.qir"
has out 'samples of --calibrate: compared' '^  On 3 samples'
t 'repair' 10 audit "$T/fc.qir" --kernel avx2-u8s8 --repair "$T/fixed.qir" --by clip --input "$T/two.bin" --json "$T/r.json"
has out 'repair: fewest steps' '^  2 weights in 1 groups moved toward zero by 29 steps'
has out 'repair: split evenly' 'layer 0 FC: 2 weights by 29 steps, at most 15'
has out 'repair: proved' 'Repaired net: VERIFIED, .*\(certificate accepted by qverify-check\)'
has out 'repair: samples' 'On 2 samples'
valid_report 'repair' "$T/r.json"
t 'the repaired net passes' 0 audit "$T/fixed.qir"
has out 'the repaired net has the pairs' 'adjacent pairs to 16 +2 +0 +0\.0 %'
check 'repair: in the report' grep -q '"least_steps": "29"' "$T/r.json"
check 'audit: share in the report' grep -q '"unsafe_per_million": 500000' "$T/r.json"

# Two channels that do not fit together are kept apart by zeros; nothing the net computes changes.
t 'permute' 10 audit "$T/fc.qir" --kernel avx2-u8s8 --repair "$T/perm.qir" --by permute --input "$T/two.bin" --json "$T/r.json"
has out 'permute: what was done' 'layer 0 FC: 2 input channels in another order, 1 of zeros added'
has out 'permute: no output changes' 'repaired net: 0 output elements in 0 samples'
has out 'permute: proved' 'Repaired net: VERIFIED, .*\(certificate accepted by qverify-check\)'
valid_report 'permute' "$T/r.json"
t 'the permuted net passes' 0 audit "$T/perm.qir"
printf '\377\377' >"$T/one.bin"
"$QVERIFY" run "$T/fc.qir" --input "$T/one.bin" --output "$T/y1.bin" >"$T/out" 2>"$T/err" && "$QVERIFY" run "$T/perm.qir" --input "$T/one.bin" --output "$T/y2.bin" >"$T/out" 2>"$T/err"
check 'permute: the same result, exactly' cmp "$T/y1.bin" "$T/y2.bin"
t 'reduced range' 10 audit "$T/fc.qir" --kernel avx2-u8s8 --repair "$T/half.qir" --by range
has out 'reduced range: what was done' 'layer 0 FC: weights halved to 7 bits'
t 'the halved net passes' 0 audit "$T/half.qir"
t 'auto: more than a quarter of zeros, so not permuted' 10 audit "$T/fc.qir" --kernel avx2-u8s8 --repair "$T/auto.qir" --json "$T/r.json"
has out 'auto: the smaller change' 'layer 0 FC: weights halved to 7 bits'
t 'a way without a repair' 1 audit "$T/fc.qir" --by clip
t 'a way that is none' 1 audit "$T/fc.qir" --repair "$T/x.qir" --by magic
# FBGEMM's 16-bit accumulation: the pair saturates, and so would the lane.
t 'lanes of pairs' 10 audit "$T/fc.qir" --kernel fbgemm-acc16 --by clip --repair "$T/fixed.qir" --json "$T/r.json"
has out 'lanes of pairs: groups are pairs and lanes' '^ +0 +FC +16-bit lanes of 128 pairs +4 +2 +50\.0 %'
has out 'lanes of pairs: clipped' 'moved toward zero by 29 steps'
valid_report 'lanes of pairs' "$T/r.json"

t 'samples without a repair' 1 audit "$T/fc.qir" --input "$T/two.bin"
t 'samples that are missing' 2 audit "$T/fc.qir" --kernel avx2-u8s8 --repair "$T/fixed.qir" --input "$T/none.bin" --json "$T/r.json"
check 'report of a failed repair' test "$(json "$T/r.json" run_state)" = INCOMPLETE

t 'opaque is never a clean pass' 5 audit "$T/opaque.qir" --kernel vnni-u8s8
has out 'opaque: named' 'MYSTERY: opaque, not audited'
t 'nothing to audit' 5 audit "$T/copy.qir" --json "$T/r.json"
check 'report: nothing selected' test "$(json "$T/r.json" run_state)" = NOTHING_SELECTED
t 'no layer for the kernel' 3 audit "$T/two.qir" --kernel avx2-u8s8 --json "$T/r.json"
has err 'no layer: says so' 'no layer would run on kernel avx2-u8s8'
valid_report 'failure' "$T/r.json"
sed 's/name "x" type u8/name "x" type i16/' "$T/fc.qir" >"$T/i16.qir"
t 'int16 activations' 3 audit "$T/i16.qir" --kernel avx2-u8s8
has err 'int16: layer and type' 'layer 0 FC: activations are i16'
sed 's/^30 127$/30 128/; s/^1 -2$/1 -129/' "$T/fc.qir" >"$T/wide.qir"
t 'nine-bit weights' 3 audit "$T/wide.qir" --kernel avx2-u8s8
has err 'nine-bit weights: says so' 'weights of more than 8 bits'

t 'unknown kernel' 1 audit "$T/fc.qir" --kernel avx2
has err 'unknown kernel: hint' "did you mean '"
t 'depthwise alone' 1 audit "$T/fc.qir" --depthwise
t 'inputs and --cex' 1 audit "$T/two.qir" --cex "$T/a.npy"
printf 'qvp 1\n' >"$T/bad.qvp"
t 'a domain that is none' 2 audit "$T/fc.qir" --domain "$T/bad.qvp"

# A convolution of ONNX whose outputs were recorded on a CPU with saturating pairs and on one without.
onnx=${QV_DATA:-../shared/data}/golden/onnx_ort_avx2/u8s8_conv.onnx
if [ -r "$onnx" ]; then
  t 'ONNX on AVX2' 10 audit "$onnx" --profile ort-avx2
  t 'ONNX with VNNI' 0 audit "$onnx" --profile ort-vnni
  t 'ONNX with 16-bit accumulation' 10 audit "$onnx" --profile fbgemm-acc16
  has out '16-bit accumulation: stages' '16-bit lanes of 128 pairs'
else
  skip "SKIPPED: $onnx is not there"
fi
finish
