#!/bin/bash
# Solvers that misbehave, limits, and questions about nothing. Solver libraries are replaced by ones that fail on purpose (a library of
# the same name found first): the program itself has no switch for it.
. "$(dirname "$0")/lib.sh"
fc_model >"$T/fc.qir" # u8 x[2] -> i8 y[2]
all_pairs >"$T/all.bin"

# ---- a dot product of 64 inputs as bit-vectors ------------------------------------------------------------------------------------------
awk 'BEGIN { srand(7); print "name dot\ninput 64 0 255\nlayers 1\nlayer 64 2 shift 1 clamp -10000000 10000000\nbias 0 0"
  for (i = 0; i < 64; i++) { w = int(rand() * 255) - 127; v = int(rand() * 255) - 127; print w, v
    a += (w > 0) * w; b += (v > 0) * v; ab += (w + v > 0) * (w + v) }
  print int(255 * (a + b + ab) / 4) >"/dev/stderr" }' >"$T/dot.qtxt" 2>"$T/d" # between what both reach together and one by one
head -c 64 /dev/zero >"$T/zero.bin"
printf 'violations 1\nviolation 1\nge %s 2 1 0 0 1 0 1\n' "$(cat "$T/d")" >"$T/cond"
DOT=(robust "$T/dot.qtxt" -i "$T/zero.bin" --eps 255 --condition "$T/cond")
t 'dot product: one second' 5 "${DOT[@]}" --engine bv --timeout 1 --json "$T/r.json"
has out 'dot product: the reason is time' 'UNKNOWN: time'
took=$(sed -nE 's/.* in ([0-9.]+) s \(.*/\1/p' "$T/out")
if awk -v t="$took" 'BEGIN { exit !(t < 1.5) }'; then ok "dot product: $took s"; else not_ok "dot product: $took s at a limit of 1 s"; fi
check 'dot product: a complete report' test "$(json "$T/r.json" run_state) $(json "$T/r.json" verdict)" = 'COMPLETE UNKNOWN'
if [ "$MODE" = san ]; then skip 'dot product: a sanitizer needs its address space'; else
  (
    ulimit -v 100000
    exec "$QVERIFY" "${DOT[@]}" --engine bv --timeout 60
  ) >"$T/out" 2>"$T/err"
  check 'dot product: little memory: 5' test $? = 5
  has out 'dot product: the reason is memory' 'UNKNOWN: memory'
fi
t 'dot product: integers decide what bits cannot' 0 "${DOT[@]}"
if command -v z3 >/dev/null; then t 'dot product: so does Z3' 0 "${DOT[@]}" --cross-check --timeout 20; has out 'dot product: Z3 agrees' 'z3 agrees'; fi

# ---- libraries that fail ------------------------------------------------------------------------------------------------------------------
library() { ldconfig -p 2>/dev/null | sed -nE "s/.*$1 .*=> (.*)/\1/p" | head -n 1; }
PATH=$PATH:/sbin:/usr/sbin
cat >"$T/z3.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *real(const char *name) {
  static void *lib;
  if (lib == NULL) lib = dlopen(getenv("REAL"), RTLD_NOW | RTLD_LOCAL);
  return dlsym(lib, name);
}
#define FORWARD(name, args, call)                                                                                                          \
  void *name args {                                                                                                                        \
    void *(*f) args = (void *(*)args)real(#name);                                                                                          \
    return f call;                                                                                                                         \
  }
FORWARD(Z3_global_param_set, (const char *a, const char *b), (a, b))
FORWARD(Z3_get_full_version, (void), ())
FORWARD(Z3_mk_config, (void), ())
FORWARD(Z3_mk_context, (void *c), (c))
FORWARD(Z3_set_error_handler, (void *c, void *h), (c, h))
const char *Z3_eval_smtlib2_string(void *c, const char *text) {
  const char *(*f)(void *, const char *) = (const char *(*)(void *, const char *))real("Z3_eval_smtlib2_string");
  const char *how = getenv("HOW");
  if (strcmp(how, "unsat") == 0) return "unsat\n";
  if (strcmp(how, "exit") == 0) exit(1);
  if (strcmp(how, "abort") == 0) abort();
  char *p = malloc(strlen(text) + 100);
  sprintf(p, "(assert (= (bvadd #b01 #b1) #b01))\n%s", text);
  return f(c, strcmp(how, "sorts") == 0 ? p : text);
}
C
cat >"$T/glpk.c" <<'C'
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
static void *real(const char *name) {
  static void *lib;
  if (lib == NULL) lib = dlopen(getenv("REAL"), RTLD_NOW | RTLD_LOCAL);
  return dlsym(lib, name);
}
#define FORWARD(ret, name, args, call)                                                                                                     \
  ret name args {                                                                                                                          \
    ret (*f) args = (ret(*) args)real(#name);                                                                                              \
    return f call;                                                                                                                         \
  }
FORWARD(const char *, glp_version, (void), ())
FORWARD(int, glp_term_out, (int f_), (f_))
FORWARD(void *, glp_term_hook, (void *f_, void *i), (f_, i))
FORWARD(void *, glp_error_hook, (void *f_, void *i), (f_, i))
FORWARD(void *, glp_create_prob, (void), ())
FORWARD(int, glp_read_lp, (void *p, void *o, const char *s), (p, o, s))
FORWARD(void *, glp_init_iocp, (void *o), (o))
FORWARD(int, glp_mip_status, (void *p), (p))
FORWARD(int, glp_get_num_cols, (void *p), (p))
FORWARD(const char *, glp_get_col_name, (void *p, int j), (p, j))
FORWARD(double, glp_mip_col_val, (void *p, int j), (p, j))
int glp_intopt(void *p, void *o) {
  (void)o;
  const char *(*f)(void *, int) = (const char *(*)(void *, int))real("glp_get_row_name");
  return f(p, 1 << 30) != NULL; /* a bad row index: GLPK prints and aborts */
}
C
# broken NAME EXIT HOW ARGUMENTS...: with failing libraries in front. An error leaves a report that claims nothing, and stdout is JSON.
broken() {
  local name=$1 want=$2 how=$3 rc
  shift 3
  HOW=$how LD_LIBRARY_PATH="$T/lib" "$QVERIFY" "$@" --json - >"$T/out" 2>"$T/err" </dev/null
  rc=$?
  check "$name: $want" test "$rc" = "$want"
  check "$name: the report says so" test "$(json "$T/out" exit_code)" = "$want"
  if ((want == 6)); then check "$name: claims nothing" test "$(json "$T/out" verdict)" = UNKNOWN; fi
  if [ -x "$TOOLS/schema_check" ]; then check "$name: standard output is a report" "$TOOLS/schema_check" docs/report.schema.json "$T/out"; fi
}
mkdir "$T/lib"
FLIP=(robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 255) # some input changes the class
REAL=$(library 'libz3\.so\.4')
export REAL
if [ -n "$REAL" ] && ${CC:-cc} -shared -fPIC -w -o "$T/lib/libz3.so.4" "$T/z3.c" -ldl 2>"$T/err"; then
  (cd "$T" && mkdir -p kept)
  broken 'Z3 forwarded' 10 '' "${FLIP[@]}" --engine smt
  broken 'Z3 refuses sorts' 6 sorts "${FLIP[@]}" --engine smt
  broken 'Z3 calls exit(1)' 6 exit "${FLIP[@]}" --engine smt
  broken 'Z3 calls exit(1) as a second opinion' 6 exit "${FLIP[@]}" --cross-check
  broken 'Z3 lies' 6 unsat "${FLIP[@]}" --cross-check --certificate "$T/kept"
  has err 'Z3 lies: engines disagree' 'engines disagree'
  for k in qir qvp smt2; do check "Z3 lies: a reproducer: $k" test -s "$T/kept/disagreement-0.$k"; done
  if command -v z3 >/dev/null; then check 'Z3 lies: the reproducer has the answer' sh -c "z3 '$T/kept/disagreement-0.smt2' | head -n 1 | grep -qx sat"; fi
  HOW=abort LD_LIBRARY_PATH="$T/lib" "$QVERIFY" "${FLIP[@]}" --engine smt --json - >"$T/out" 2>"$T/err"
  check 'Z3 aborts: no verdict' test "$? $(json "$T/out" verdict)" = '5 UNKNOWN'
  HOW=unsat LD_LIBRARY_PATH="$T/lib" "$QVERIFY" "${FLIP[@]}" --engine smt --json - >"$T/out" 2>"$T/err"
  check 'Z3 alone lies: its word is no proof' test "$? $(json "$T/out" verdict)" = '5 UNKNOWN'
else skip 'SKIPPED: no libz3, or no compiler'; fi
REAL=$(library 'libglpk\.so\.40')
if [ -n "$REAL" ] && ${CC:-cc} -shared -fPIC -w -o "$T/lib/libglpk.so.40" "$T/glpk.c" -ldl 2>"$T/err"; then
  broken 'GLPK: a bad index' 6 '' "${FLIP[@]}" --engine milp
else skip 'SKIPPED: no libglpk, or no compiler'; fi

# ---- leaves of a proof that rest on Z3 alone are counted, and are no proof --------------------------------------------------------------------
cat >"$T/two.qtxt" <<'END'
name s
input 2 0 255
layers 2
layer 2 6 shift 5 clamp 0 15
bias -300 200 500 -700 100 0
13 -7 5 21 -16 9
-11 17 -3 8 12 -19
layer 6 2 shift 3 clamp -128 127
bias 10 0
17 -9
-21 11
3 8
12 -15
-6 7
9 -13
END
head -c 2 /dev/zero >"$T/two.bin"
printf 'violations 1\nviolation 1\nge 30 2 1 0 0 1 0 1\n' >"$T/cond"
TWO=(robust "$T/two.qtxt" -i "$T/two.bin" --eps 255 --condition "$T/cond")
if [ -n "$(library 'libz3\.so\.4')" ]; then
  t 'trusted leaves: no proof' 5 "${TWO[@]}" --engine bnb --steps 2 --leaves smt --certificate "$T/trusted"
  has out 'trusted leaves: counted' 'UNKNOWN: trusted: proved but for 1 leaf '
  check 'trusted leaves: the checker says so' sh -c "'$(dirname "$QVERIFY")/qverify-check' '$T/trusted/net.qir' '$T/trusted/0.qvp' '$T/trusted/0.qvc' | grep -qx 'c verdict trusted 1'"
fi
t 'trusted leaves: none are needed' 0 "${TWO[@]}"
t 'trusted leaves: another solver' 1 "${TWO[@]}" --leaves magic

# ---- numbers too large for any machine -----------------------------------------------------------------------------------------------------
q() { printf '(vnnlib-version <2.0>)\n(declare-network f (declare-input X uint8 [1,2]) (declare-output Y int8 [1,2]))\n(assert (>= Y[0,0] %s))\n' "$1"; }
q 1e999999999999 >"$T/q.vnnlib"
t 'a huge exponent' 2 verify "$T/q.vnnlib" --network "f=$T/fc.qir"
q "$(head -c 3000000 /dev/zero | tr '\0' 9)" >"$T/q.vnnlib"
t 'three million digits' 2 verify "$T/q.vnnlib" --network "f=$T/fc.qir"
t 'a distance with a huge exponent' 1 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps-real 1e999999999
t 'a distance with many digits' 1 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps-real "0.$(head -c 100000 /dev/zero | tr '\0' 3)"

# ---- boxes of nothing, and of one input ------------------------------------------------------------------------------------------------------
printf 'qvp 1\nclaim robust\ninput 0 elements 2\n5 4\n0 0\nkeep first 0 output 0\nend\n' >"$T/p.qvp"
t 'a property with lo > hi' 2 robust "$T/fc.qir" --property "$T/p.qvp"
for i in 0 257 65535; do # lo = hi: the class is the class
  t "one input ($i)" 0 robust "$T/fc.qir" -i "$T/all.bin" --index $i --eps 0
  has out "one input ($i): verified" '^1 verified, 0 falsified'
  for e in interval enumerate linear bnb; do t "one input ($i), $e alone" 0 robust "$T/fc.qir" -i "$T/all.bin" --index $i --eps 0 --engine $e; done
done
t 'one input, another class' 10 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 0 --label "$("$QVERIFY" robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 0 | sed -nE 's/.*class ([01]).*/\1/p;q' | tr 01 10)"

# ---- element types -----------------------------------------------------------------------------------------------------------------------------
typed() { printf '(vnnlib-version <2.0>)\n(declare-network f (declare-input X %s [1,2]) (declare-output Y %s [1,2]))\n(assert (and (>= X[0,0] 0) (<= X[0,0] 1) (>= X[0,1] 0) (<= X[0,1] 1) (>= Y[0,0] 100)))\n' "$1" "$2"; }
t 'types' 0 supports --onnx-element-types
cp "$T/out" "$T/types"
for type in float16 bfloat16 float64 float8e4m3fn complex64 string bool uint64; do
  if grep -qx "$type" "$T/types"; then not_ok "$type is said to be supported"; else ok "$type is not said to be supported"; fi
  typed "$type" int8 >"$T/q.vnnlib"
  t "$type: refused" 3 verify "$T/q.vnnlib" --network "f=$T/fc.qir"
done
typed float32 int8 >"$T/q.vnnlib" # the model's input is integers: binary32 is another type, `real` is not
t 'float32 for integers' 2 verify "$T/q.vnnlib" --network "f=$T/fc.qir"
typed real real >"$T/q.vnnlib"
t 'real for integers' 0 verify "$T/q.vnnlib" --network "f=$T/fc.qir"
D=${QV_DATA:-../shared/data}/vnncomp/test
if [ -r "$D/test_small.onnx" ]; then
  printf '(vnnlib-version <2.0>)\n(declare-network f (declare-input X float32 [1,1]) (declare-output Y float32 [1,1]))\n(assert (>= Y[0,0] 1000000))\n' >"$T/q.vnnlib"
  "$QVERIFY" verify "$T/q.vnnlib" --network "f=$D/test_small.onnx" >"$T/out" 2>"$T/err"
  check 'a float network: refused' test $? = 3
else skip 'SKIPPED: VNN-COMP test nets are not here'; fi
finish
