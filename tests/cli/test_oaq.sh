# qverify oaq: weights for narrow accumulators, proved.
. "$(dirname "$0")/lib.sh"
fc_model >"$T/fc.qir"
copy_model >"$T/copy.qir"

# 30 x0 + 127 x1 + 20 of bytes: 40055 needs 17 bits. On r of 127 levels it is r*(30+127)/127 * 255 + 20 r/127, rounded: 104 levels are
# the most for 16 bits (25 + 104 = 129, 129 * 255 = 32895 with bias does not fit; 103: 24 + 103 = 127, 32385 + 16 fits).
printf '\0\0\12\12' >"$T/small.bin"
t '16-bit sums' 0 oaq "$T/fc.qir" --acc-bits 16 --output "$T/o.qir"
has out '16-bit sums: most levels' '^ +0 +FC +2 +127 +can overflow +none found +- +- +- +103 '
has out '16-bit sums: verdict' '^VERIFIED: by scale, 1 layers changed, written to .*\(certificate accepted by qverify-check\)$'
t '16-bit sums: what was written is proved' 0 overflow "$T/o.qir"
# 40055 - 32767 = 7288 is more than 28 steps of 255: 29 steps.
t 'report' 0 oaq "$T/fc.qir" --acc-bits 16 --input "$T/small.bin" --json "$T/r.json"
valid_report 'report' "$T/r.json"
check 'report: what was done' grep -q '"levels": "103"' "$T/r.json"
check 'report: verdict' test "$(json "$T/r.json" verdict)" = VERIFIED
check 'report: of the written net' grep -q '"samples": "2"' "$T/r.json"
t 'clipping' 0 oaq "$T/fc.qir" --acc-bits 16 --by clip --output "$T/c.qir"
has out 'clipping: fewest steps' ' 103 +29 +2 +15$'
t 'clipping: what was written is proved' 0 overflow "$T/c.qir"
t 'samples' 0 oaq "$T/fc.qir" --acc-bits 16 --input "$T/small.bin" --samples 2
has out 'samples: the rule sees nothing' '^ +0 +FC +2 +127 +can overflow +none found +0 +127 +OVERFLOWS +103 '
has out 'samples: an input that overflows' 'layer 0 FC: an input was executed on which channel 1 sums to [0-9]+ and the 16-bit accumulator wraps to -'
has out 'samples: differences' "On 2 samples, against the given weights with wide accumulators"
t 'pairs: another order does, with zeros' 0 oaq "$T/fc.qir" --kernel avx2-u8s8 --by permute
has out 'pairs: order' 'can overflow +with zeros '
t 'domain' 0 oaq "$T/fc.qir" --acc-bits 16 --calibrate "$T/small.bin"
has out 'domain: safe as given' 'safe \(proved\)'
t 'unchecked' 0 oaq "$T/fc.qir" --acc-bits 16 --no-check
has out 'unchecked: says so' 'NOT independently checked'

t 'no layer' 3 oaq "$T/copy.qir"
t 'two accumulators' 1 oaq "$T/fc.qir" --acc-bits 16 --kernel mnn-oaq
t 'a kernel that is none' 1 oaq "$T/fc.qir" --kernel x
t 'a way that is none' 1 oaq "$T/fc.qir" --by x
t 'bits out of range' 1 oaq "$T/fc.qir" --acc-bits 7
t 'report of a failure' 3 oaq "$T/copy.qir" --json "$T/r.json"
check 'report of a failure: state' test "$(json "$T/r.json" run_state)" = INCOMPLETE
t 'samples that are missing' 2 oaq "$T/fc.qir" --input "$T/none.bin"
t 'too many sample files' 1 oaq "$T/fc.qir" --input "$T/small.bin" --input "$T/small.bin"
finish
