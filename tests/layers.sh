#!/bin/sh
# The direction of dependence, and what library code must not do. Run from the repository root; silence and 0 = fine.
# A directory may include itself and the directories on its row; this table is the rule.
may() {
  case $1 in
  ir/base | check) ;;
  ir) echo ir/base ;;
  kernels | cert) echo ir/base ir ;;
  frontend) echo ir/base ir kernels ;;
  quant) echo ir/base ir kernels frontend analysis ;;
  analysis) echo ir/base ir kernels cert ;;
  smt) echo ir/base ir kernels analysis ;;
  ilp) echo ir/base ;;
  cli) echo ir/base ir kernels frontend quant analysis smt ilp cert ;;
  esac
}

# Libraries beyond libc: who may include whose headers.
may_lib() {
  case $1 in
  ir/base) echo gmp cjson nettle ;;
  check) echo gmp ;;
  frontend) echo gmp cjson zip zlib onnx.pb-c protobuf-c ;;
  analysis | cert) echo gmp ;;
  quant) echo gmp onnx.pb-c protobuf-c ;;
  smt) echo gmp z3 glpk ;;
  ilp) echo gmp glpk ;;
  cli) echo gmp cjson nettle zip zlib ;;
  esac
}

bad=0
complain() {
  echo "layers: $*"
  bad=1
}

files() { # of directory $1 without the nested layer
  if [ "$1" = ir ]; then find ir -name '*.[ch]' ! -path 'ir/base/*'; else find "$1" -name '*.[ch]'; fi
}

for d in ir/base ir kernels frontend quant analysis smt ilp cert check cli; do
  [ -d "$d" ] || continue
  list=$(files "$d")
  [ -n "$list" ] || continue
  # our own headers
  for i in $(grep -hoE '^ *# *include *["<][^">]+/' $list | sed 's/.*["<]//; s,/$,,' | sort -u); do
    case $i in *..*) ;; ir/base | ir/base/*) i=ir/base ;; *) i=${i%%/*} ;; esac
    case $i in *..* | ir/base | ir | kernels | frontend | quant | analysis | smt | ilp | cert | check | cli | tests) ;; *) continue ;; esac
    case " $d $(may "$d") " in *" $i "*) ;; *) complain "$d -> $i" ;; esac
  done
  # A quoted include without a directory depends on where the file stands: always write the path from the root.
  # (check/ stands alone, so its own header is next to it.)
  [ "$d" = check ] || for i in $(grep -hoE '^ *# *include *"[^"/]+"' $list | sed 's/[^"]*"//; s/"//'); do complain "$d: include \"$i\" needs its directory"; done
  # libraries
  for l in gmp cjson nettle zip zlib onnx.pb-c protobuf-c z3 glpk; do
    case " $(may_lib "$d") " in *" $l "*) continue ;; esac
    if grep -lE "^ *# *include *<(${l}\.h|${l}/)" $list; then complain "$d uses $l"; fi
  done
  # library code does not print, exit or jump; one hook may abort
  case $d in cli | check) continue ;; esac
  for f in $list; do # comments cut out; exceptions: the default assertion hook, and how a child ends
    if sed 's,/\*.*\*/,,; s,/\*.*,,; /^ *\*/d' "$f" |
      grep -nE '(^|[^_[:alnum:]>.])(exit|_exit|abort|printf|fprintf|puts|putchar|perror|longjmp|setjmp|system|popen)[ ]*\(|[^_[:alnum:]](stdout|stderr)[^_[:alnum:]]' |
      case $f in
      ir/base/status.c) grep -vE 'abort\(\);$|qverify: internal check failed' ;;
      smt/child.c) grep -vE '_exit\((job\(3, arg\)|code)\);( \} *)?$' ;; # ends a child process, not ours
      *) cat ;;
      esac |
      sed "s|^|$f:|" | grep .; then
      complain "$d: prints or exits"
    fi
  done
done

# docs/ARCHITECTURE.md names every file of the product in the section of its folder, and nothing else.
named() {
  awk '/^## / { dir = $2 } /^- `/ && dir ~ /^(ir\/base|ir|kernels|kernels\/profile|frontend|quant|analysis|smt|ilp|cert|check|cli)$/ {
         f = $2; gsub("`", "", f)
         if (sub(/\.\[ch\]$/, "", f)) { print dir "/" f ".c"; print dir "/" f ".h" } else print dir "/" f }' docs/ARCHITECTURE.md | sort
}
there() {
  for d in ir/base ir kernels kernels/profile frontend quant analysis smt ilp cert check cli; do
    if [ -d $d ]; then find $d -maxdepth 1 -name '*.[ch]' -o -maxdepth 1 -name '*.def'; fi
  done | sort
}
t=$(mktemp -d)
named >"$t/named"
there >"$t/there"
for f in $(comm -13 "$t/named" "$t/there"); do complain "docs/ARCHITECTURE.md does not name $f"; done
for f in $(comm -23 "$t/named" "$t/there"); do complain "docs/ARCHITECTURE.md names $f, which is not there"; done
# Links between documents.
for f in README.md docs/*.md; do
  for l in $(grep -oE '\]\([A-Za-z0-9_./-]+\.[a-z0-9]+\)' "$f" | sed 's/^](//; s/)$//'); do
    [ -e "$(dirname "$f")/$l" ] || complain "$f links to $l, which is not there"
  done
done
rm -rf "$t"
exit $bad
