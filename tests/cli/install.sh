# make install, and a stranger's program against what it installed; make uninstall; make dist.
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MAKELEVEL MFLAGS
D=$T/root
P=/opt/qverify

check 'make install' make -s install MODE=release DESTDIR="$D" PREFIX=$P
for f in bin/qverify lib/libqverify.a lib/libqverify.so include/qverify.h lib/pkgconfig/qverify.pc share/man/man1/qverify.1; do
  check "installed: $f" test -s "$D$P/$f"
done
check 'the installed program runs' "$D$P/bin/qverify" --version
so=$(readlink -f "$D$P/lib/libqverify.so")
check 'soname' sh -c "readelf -d '$so' | grep -q 'SONAME.*libqverify.so.[0-9]*\]'"
# Only the public functions are exported.
if command -v nm >/dev/null; then
  check 'exports are the public ones' sh -c "! nm -D --defined-only '$so' | grep -v ' qverify_' | grep -E ' [TDBR] '"
  n=$(grep -c '^QVERIFY_API' cli/qverify.h) m=$(nm -D --defined-only "$so" | grep -c ' T qverify_')
  check 'every public function is exported' test "$n" = "$m"
fi
check 'the header is C++ as well' sh -c "command -v g++ >/dev/null || exit 0; echo '#include <qverify.h>' | g++ -Wall -Wextra -Werror -fsyntax-only -I'$D$P/include' -x c++ -"

model=examples/shapes/wide.tflite
cflags="-std=c11 -Wall -Wextra -Wpedantic -Werror -I$D$P/include"
check 'a program against the shared library' gcc $cflags tests/cli/client.c -o "$T/shared" -L"$D$P/lib" -Wl,-rpath,"$D$P/lib" -lqverify
libs=$(sed -n 's/^Libs.private: //p' "$D$P/lib/pkgconfig/qverify.pc")
check 'a program against the static library' gcc $cflags tests/cli/client.c -o "$T/static" "$D$P/lib/libqverify.a" $libs
for k in shared static; do
  if "$T/$k" "$model" "$T" >"$T/out" 2>"$T/err"; then
    ok "client, $k"
    has out "client, $k: proved at its own width" '^width 0: verdict 2,'
    has out "client, $k: refuted at 16 bits" '^width 16: verdict 1,'
    has out "client, $k: counterexample" '^counterexample: yes'
    has out "client, $k: one input alone" "^box 0: verdict 2, counterexample no, texts yes, reason ''"
    has out "client, $k: every input" "^box 1: verdict 1, counterexample yes, texts yes, reason ''"
    check "client, $k: the checker accepts its texts" "$D$P/bin/qverify-check" "$T/client.qir" "$T/client.qvp" "$T/client.qvc"
  else not_ok "client, $k: $(cat "$T/err")"; fi
done
if command -v pkg-config >/dev/null; then
  check 'pkg-config' sh -c "PKG_CONFIG_PATH='$D$P/lib/pkgconfig' pkg-config --cflags --libs qverify | grep -q -- '-L$P/lib -lqverify'"
else skip 'pkg-config is not installed'; fi
if command -v man >/dev/null; then
  check 'the man page has no complaints' sh -c "test -z \"\$(man --warnings -l docs/qverify.1 2>&1 >/dev/null)\""
else skip 'man is not installed'; fi

check 'make uninstall' make -s uninstall DESTDIR="$D" PREFIX=$P
check 'nothing is left' sh -c "test -z \"\$(find '$D' ! -type d)\""
finish
