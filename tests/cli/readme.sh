# The commands of README.md: every "$ " line of a console block is run and its output compared with what the README shows ("..."
# stands for any lines); every line of a sh block is run, but for `make check`, which is running already.
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MAKELEVEL MFLAGS
export LANG=C.UTF-8 LC_ALL=C.UTF-8
here=$PWD
work=$T/readme
mkdir "$work"
# Files that the commands write belong into a scratch directory; all else is reached through links.
for f in "$here"/* "$here/.ci"; do ln -s "$f" "$work/"; done
cd "$work"

n=0
run_console() { # command, expected output in $T/want
  "${BASH:-bash}" -c "$1" >"$T/got" 2>&1 </dev/null
  # Compare line by line; "..." matches as few lines as the next expected line allows.
  if awk -v want="$T/want" '
      { got[++g] = $0 }
      END {
        while ((getline line < want) > 0) exp_[++w] = line
        i = 1
        for (j = 1; j <= w; j++) {
          if (exp_[j] == "...") { if (j == w) i = g + 1; else while (i <= g && got[i] != exp_[j + 1]) i++; continue }
          if (i > g || got[i] != exp_[j]) { print "expected: " exp_[j]; print "found:    " (i > g ? "(end)" : got[i]); exit 1 }
          i++
        }
        if (i <= g) { print "unexpected: " got[i]; exit 1 }
      }' "$T/got" >"$T/diff"; then ok "README: $1"; else
    not_ok "README: $1"
    sed 's/^/  /' "$T/diff"
  fi
  n=$((n + 1))
}

mode='' cmd=''
flush() {
  if [ -n "$cmd" ]; then run_console "$cmd"; fi
  cmd=''
  : >"$T/want"
}
: >"$T/want"
while IFS= read -r line; do
  case $mode:$line in
  :'```console') mode=console ;;
  :'```sh') mode=sh ;;
  console:'```' | sh:'```')
    flush
    mode=''
    ;;
  console:'$ '*)
    flush
    cmd=${line#\$ }
    ;;
  console:*) printf '%s\n' "$line" >>"$T/want" ;;
  sh:'make check'*) ;;
  sh:*)
    echo '...' >"$T/want"
    cmd=$(sed "s/ *#.*//" <<<"$line")
    check "README: $cmd" bash -c "$cmd"
    cmd='' n=$((n + 1))
    ;;
  esac
done <"$here/README.md"
if ((n < 8)); then not_ok "README: only $n commands found"; fi
cd "$here"
finish
