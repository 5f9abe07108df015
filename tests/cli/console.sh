# Sourced by readme.sh and test_tutorial.sh. console_blocks FILE NAME: every "$ " line of a console block of FILE is run in the present folder and its
# output compared with what FILE shows: "..." stands for any lines, times ("0.12 s", seconds at the end of a verdict's line) for any times. Every line
# of a sh block is run, but for `make check`, which is running already. Counts in n.
n=0
masked() { sed -E 's/[0-9]+\.[0-9]+ s([^a-zA-Z]|$)/T s\1/g; /VERIFIED|FALSIFIED|UNKNOWN/ s/ +[0-9]+\.[0-9][0-9]$/ T/' "$1"; }
run_console() { # command, name; expected output in $T/want
  "${BASH:-bash}" -c "$1" >"$T/got" 2>&1 </dev/null
  masked "$T/want" >"$T/want.m"
  masked "$T/got" >"$T/got.m"
  # Compare line by line; "..." matches as few lines as the next expected line allows.
  if awk -v want="$T/want.m" '
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
      }' "$T/got.m" >"$T/diff"; then ok "$2: $1"; else
    not_ok "$2: $1"
    sed 's/^/  /' "$T/diff"
  fi
  n=$((n + 1))
}

console_blocks() {
  local mode='' cmd='' line
  flush() {
    if [ -n "$cmd" ]; then run_console "$cmd" "$1"; fi
    cmd=''
    : >"$T/want"
  }
  : >"$T/want"
  while IFS= read -r line; do
    case $mode:$line in
    :'```console') mode=console ;;
    :'```sh') mode=sh ;;
    console:'```' | sh:'```')
      flush "$2"
      mode=''
      ;;
    console:'$ '*)
      flush "$2"
      cmd=${line#\$ }
      ;;
    console:*) printf '%s\n' "$line" >>"$T/want" ;;
    sh:'make check'*) ;;
    sh:*)
      cmd=$(sed "s/ *#.*//" <<<"$line")
      check "$2: $cmd" bash -c "$cmd"
      cmd='' n=$((n + 1))
      ;;
    esac
  done <"$1"
}
