# Part of run.sh: questions cut into parts, docs/certificate.md section 7.7. Uses box, rcert and both of robust.sh.

# The tree of a cover on standard input becomes $dir/c.qvc for $dir/t.qir and $dir/whole.qvp.
ccert() {
  {
    printf 'qvc 1\nclaim cover\nnet %s\nproperty %s\n' "$(hash_of "$dir/t.qir")" "$(hash_of "$dir/whole.qvp")"
    cat
    printf 'verdict verified\n'
  } >"$dir/c.qvc"
  printf 'sha256 %s\n' "$(hash_of "$dir/c.qvc")" >>"$dir/c.qvc"
}
part() { # name, certificate's lines, condition, LO HI ..
  local name=$1 lines=$2
  shift 2
  box "$@"
  printf "$lines" | rcert
  cp "$dir/r.qvp" "$dir/$name.qvp" && cp "$dir/r.qvc" "$dir/$name.qvc"
}
covers() { # name, expected exit code, tree (printf format), parts
  local name=$1 code=$2 p files=()
  printf "$3" | ccert
  shift 3
  for p in "$@"; do files+=("$dir/$p.qvp" "$dir/$p.qvc"); done
  case $code in
    0) expect "$name" 0 's CHECKED' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${files[@]}" ;;
    1) expect "$name" 1 's REJECTED' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${files[@]}" ;;
    2) expect "$name" 2 '' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${files[@]}" ;;
  esac
  if [ "$code" != 0 ] && grep -q '^c verdict' "$dir/out"; then result 1 "$name: a verdict although rejected"; fi
}

# y = x; y0 - y1 never exceeds 8 for x0 in [0,8], x1 in [0,8]; 7 it does.
both "$plain" 1 0 0 1 | net '1 2' 0 10 2 1
nine='violations 1\nviolation 1\nge 9 2 1 0 0 -1 0 1\n'
proof="${goals}target 0\ndual sum 1 1 0 0\n$end"
box "$nine" 0 8 0 8 && cp "$dir/r.qvp" "$dir/whole.qvp"
part all "$proof" "$nine" 0 8 0 8
part low "$proof" "$nine" 0 4 0 8
part high "$proof" "$nine" 5 8 0 8
part short "$proof" "$nine" 6 8 0 8
part thin "$proof" "$nine" 5 8 1 8
part shallow "$proof" "$nine" 5 8 0 7
part wide "$proof" "$nine" 3 8 0 10
part points "points\n$end" "$nine" 5 8 0 8
part trusted "${goals}target 0\ntrusted z3\nverdict trusted 1\n" "$nine" 5 8 0 8
part weaker "$proof" 'violations 1\nviolation 1\nge 10 2 1 0 0 -1 0 1\n' 5 8 0 8
part less "$proof" 'violations 1\nviolation 1\nge 9 2 1 0 0 -1 0 1\n' 5 8 0 8
sed -i 's/^dual sum 1 1 0 0$/dual sum 1 1 0 1 1 0 2/' "$dir/less.qvc"
part false "$proof" 'violations 1\nviolation 1\nge 9 2 1 0 0 -1 0 1\n' 0 9 0 8
part open 'witness\ninput 0 9 0\nverdict falsified\n' "$nine" 5 9 0 8
part keep "${goals}target 1\ntrusted x\nverdict trusted 1\n" "$keep0" 5 8 0 8
printf 'qvp 1\nclaim robust\ninput 0 points 2\n5 0\n8 8\n%bend\n' "$nine" >"$dir/r.qvp"
printf "points\n$end" | rcert
cp "$dir/r.qvp" "$dir/listed.qvp" && cp "$dir/r.qvc" "$dir/listed.qvc"
halves='split 0 0 4\npart\npart\n'
covers 'a cover of one part' 0 'part\n' all
if [ "$(tr '\n' ' ' <"$dir/out")" = 'c verdict verified s CHECKED ' ]; then result 0 'what a cover says'; else result 1 'what a cover says'; fi
covers 'two halves' 0 "$halves" low high
covers 'two halves, one larger than it needs to be' 0 "$halves" low wide
covers 'two halves, one enumerated' 0 "$halves" low points
covers 'twice the whole' 0 "$halves" all all
covers 'two halves, cut elsewhere' 1 'split 0 0 5\npart\npart\n' low high
covers 'two halves, cut elsewhere, but all is there' 0 'split 0 0 3\npart\npart\n' low wide
covers 'a gap of one' 1 "$halves" low short
covers 'a gap of one in another element' 1 "$halves" low thin
covers 'a gap of one at its other end' 1 "$halves" low shallow
covers 'in the wrong order' 1 "$halves" high low
covers 'one half twice' 1 "$halves" low low
covers 'one half for all' 1 'part\n' low
covers 'a part too few' 1 "$halves" low
covers 'a part too many' 1 "$halves" low high high
covers 'another condition' 1 "$halves" low weaker
covers 'another kind of condition' 1 "$halves" low keep
covers 'a part that is trusted' 1 "$halves" low trusted
covers 'a part that is falsified' 1 "$halves" low open
covers 'a part that is not accepted' 1 "$halves" low false
covers 'a part whose bound fails' 1 "$halves" low less
covers 'a part of listed points' 1 "$halves" low listed
covers 'a cover that is cut at its end' 1 'split 0 0 8\npart\npart\n' low high
covers 'a cover that is cut before its beginning' 1 'split 0 0 -1\npart\npart\n' all all
covers 'a cover that is cut at its beginning' 0 'split 0 0 0\npart\npart\n' all all
covers 'a cover that is cut twice' 0 'split 0 0 4\nsplit 0 1 3\npart\npart\nsplit 0 0 5\npart\npart\n' low low high wide
covers 'cut in the second half at what the first has' 1 'split 0 0 4\npart\nsplit 0 0 4\npart\npart\n' low high high
covers 'in the second half the other element is whole again' 1 'split 0 0 4\nsplit 0 1 0\npart\npart\npart\n' low low thin
covers 'an input that is none' 1 'split 1 0 4\npart\npart\n' low high
covers 'an element that is none' 1 'split 0 2 4\npart\npart\n' low high
covers 'a tree without an end' 1 'split 0 0 4\npart\n' low high
covers 'a tree that goes on' 1 "${halves}part\n" low high
covers 'a leaf of another tree' 1 'split 0 0 4\npart\nempty\n' low high
covers 'no tree' 1 '' low
covers 'splits 64 deep' 1 "$(printf 'split 0 0 7\\n%.0s' {1..64})part\n" low
covers 'splits 64 deep, and 65' 1 "$(printf 'split 0 0 7\\n%.0s' {1..65})part\n" low
printf "$halves" | ccert
sed -i 's/^verdict verified$/verdict unknown/; /^sha256/d' "$dir/c.qvc" && printf 'sha256 %s\n' "$(hash_of "$dir/c.qvc")" >>"$dir/c.qvc"
parts=("$dir/low.qvp" "$dir/low.qvc" "$dir/high.qvp" "$dir/high.qvc")
expect 'a cover that is not verified' 1 's REJECTED' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${parts[@]}"
printf "$halves" | ccert
expect 'a cover, once more' 0 's CHECKED' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${parts[@]}"
expect 'a cover of another question' 1 's REJECTED' cover "$dir/t.qir" "$dir/all.qvp" "$dir/c.qvc" "${parts[@]:2}" "${parts[@]:0:2}"
expect 'a cover of a part' 1 's REJECTED' cover "$dir/t.qir" "$dir/low.qvp" "$dir/c.qvc" "${parts[@]}"
expect 'property and certificate swapped' 2 '' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "$dir/low.qvc" "$dir/low.qvp" "${parts[@]:2}"
expect 'a certificate of another part' 1 's REJECTED' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "$dir/low.qvp" "$dir/high.qvc" "${parts[@]:2}"
expect 'a cover in the place of a part' 1 's REJECTED' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${parts[@]:0:2}" "$dir/high.qvp" "$dir/c.qvc"
expect 'a part in the place of the cover' 1 's REJECTED' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/low.qvc" "${parts[@]}"
expect 'a cover alone' 1 's REJECTED' "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc"
expect 'a cover without parts' 2 '' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc"
expect 'half a pair' 2 '' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${parts[@]:0:3}"
expect 'a part that is not there' 2 '' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${parts[@]:0:2}" /nonexistent "$dir/high.qvc"
printf 'qvp 1\nclaim overflow\nacc-bits 0\ninput 0 all\nend\n' >"$dir/over.qvp"
expect 'a part about overflow' 1 's REJECTED' cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${parts[@]:0:2}" "$dir/over.qvp" "$dir/high.qvc"
cp "$dir/whole.qvp" "$dir/kept.qvp"
for p in over listed; do
  cp "$dir/$p.qvp" "$dir/whole.qvp"
  covers "a cover of what is no box: $p" 1 'part\n' all
done
cp "$dir/kept.qvp" "$dir/whole.qvp"

# Each byte of each file changed: nothing is accepted.
printf "$halves" | ccert
flipped=0
for f in t.qir whole.qvp c.qvc low.qvp low.qvc high.qvp high.qvc; do
  size=$(stat -c %s "$dir/$f")
  cp "$dir/$f" "$dir/kept"
  for ((i = $((size % 7)); i < size; i += ${COVER_STEP:-29})); do
    byte=$(od -An -tu1 -j "$i" -N 1 "$dir/kept")
    printf "$(printf '\\%03o' $((byte ^ (1 << (i % 7)))))" | dd of="$dir/$f" bs=1 seek="$i" conv=notrunc status=none
    if "$check" cover "$dir/t.qir" "$dir/whole.qvp" "$dir/c.qvc" "${parts[@]}" >"$dir/out" 2>"$dir/err" || grep -q '^c verdict' "$dir/out" ||
      grep -qE 'AddressSanitizer|runtime error' "$dir/err"; then
      flipped=$((flipped + 1))
      echo "  byte $i of $f"
    fi
    cp "$dir/kept" "$dir/$f"
  done
done
result $((flipped > 0)) 'a cover with a byte changed'
