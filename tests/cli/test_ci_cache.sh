# The cache of qverify ci: what it gives back, what damage and forgery do to it, several workers.
. "$(dirname "$0")/lib.sh"
export XDG_CACHE_HOME=$T/xdg
fc_model >"$T/fc.qir"
all_pairs >"$T/all.bin"
S=$ROOT/examples/shapes
cat >"$T/m.json" <<EOM
{"format":"qverify-ci/1","models":{"m":{"path":"fc.qir"},"s":{"path":"$S/shapes.tflite"}},"obligations":[
 {"id":"near","check":"robust","model":"m","input":"all.bin","index":"65500:65519","eps":3},
 {"id":"far","check":"robust","model":"m","input":"all.bin","index":"0:4","eps":60,"at_least":0},
 {"id":"sums","check":"overflow","model":"s"},
 {"id":"narrow","check":"overflow","model":"s","acc_bits":31},
 {"id":"right","check":"accuracy","model":"s","input":"$S/test_images.npy","labels":"$S/test_labels.txt","at_least":"90%"}]}
EOM
ci() { # NAME EXIT FOLDER MODE ARGUMENTS..
  local name=$1 want=$2 dir=$3 mode=$4
  shift 4
  t "$name" "$want" ci --manifest "$T/m.json" --results "$T/$dir" --cache "$mode" --json "$T/$dir.json" "$@"
}
same() { check "$1: the same report" test "$(json "$T/a.json" content_sha256)" = "$(json "$T/$2.json" content_sha256)"; }
DB=$XDG_CACHE_HOME/qverify/ci.sqlite
ci 'empty cache' 0 a read-write
has err 'empty cache: all is run' 'cache: 0 jobs taken, 0 taken and checked again, 0 rejected, 5 run'
check 'the cache is where the manual says' test -s "$DB"
ci 'off' 0 b off --html "$T/b.html"
check 'off: the page does not speak of it' sh -c "! grep -q 'from the cache' '$T/b.html'"
hasnt err 'off: silent' 'cache'
ci 'read' 0 c read --html "$T/c.html"
check 'read: the page says so' grep -q 'The results of 5 came from the cache' "$T/c.html"
check 'read: and of each obligation' test "$(grep -c 'cached: 1 of 1' "$T/c.html")" = 5
has err 'read: nothing is run' 'cache: 5 jobs taken, 0 taken and checked again, 0 rejected, 0 run'
same read c
check 'read: the evidence is there' sh -c "ls '$T'/c/*.evidence/65500.qvc && ls '$T'/c/*.qvc"
check 'read: paths are those of the new folder' sh -c "grep -q '\"path\": \"$T/c/' '$T'/c/*.json && ! grep -q '\"$T/a/' '$T'/c/*.json"
ci 'verify' 0 d verify --html "$T/d.html"
check 'verify: the page says what is the cache'\''s' grep -q 'The results of 4 came from the cache' "$T/d.html"
has err 'verify: proofs and counterexamples are checked, the rest is run' 'cache: 0 jobs taken, 4 taken and checked again, 0 rejected, 1 run'
same verify d
check 'verify: no search' sh -c "grep -l 'searched by an earlier run' '$T'/d/*.json | wc -l | grep -q '^2$'"
sed 's/{"format":"qverify-ci\/1",/&"cache":"read",/' "$T/m.json" >"$T/set.json"
t 'the manifest may ask for it' 0 ci --manifest "$T/set.json" --results "$T/e"
has err 'the manifest: taken' 'cache: 5 jobs taken'
t 'an unknown mode' 1 ci --manifest "$T/m.json" --cache sometimes
sed 's/{"format":"qverify-ci\/1",/&"cache":"sometimes",/' "$T/m.json" >"$T/set.json"
t 'an unknown mode in the manifest' 2 ci --manifest "$T/set.json" --results "$T/e"
ci 'a place of its own' 0 f read-write --cache-file "$T/own.sqlite"
check 'a place of its own: written' test -s "$T/own.sqlite"
t 'plan' 0 plan "$T/m.json" -o "$T/p.jsonl"
t 'work' 0 work "$T/p.jsonl" --results "$T/g" --cache read
has err 'work: taken' 'cache: 5 jobs taken'

# forgery and damage. sql: the tests' own tool, so that no program has to be installed
sql() { "$TOOLS/cache_forge" "$1" "$2"; }
if [ -x "$TOOLS/cache_forge" ]; then
  # damage: a byte of a result, of a certificate
  cp "$DB" "$T/hurt.sqlite" && cp "$DB-wal" "$T/hurt.sqlite-wal" 2>/dev/null
  sql "$T/hurt.sqlite" "UPDATE blob SET data = CAST(replace(CAST(data AS TEXT), 'VERIFIED', 'VERIFIEE') AS BLOB) WHERE sha256 IN (SELECT blob FROM file WHERE name = '.json')"
  ci 'damaged results' 0 h read --cache-file "$T/hurt.sqlite"
  has err 'damaged results: said' 'cache: DAMAGED: job .* is run again'
  same 'damaged results' h
  # forgery: a refuted query becomes a proved one, with every hash right
  cat >"$T/lie.json" <<EOM
{"format":"qverify-ci/1","models":{"m":{"path":"fc.qir"},"s":{"path":"$S/shapes.tflite"}},"obligations":[
 {"id":"far","check":"robust","model":"m","input":"all.bin","index":"0:4","eps":60},
 {"id":"narrow","check":"overflow","model":"s","acc_bits":8}]}
EOM
  t 'what is not so' 10 ci --manifest "$T/lie.json" --results "$T/i" --cache read-write --cache-file "$T/lie.sqlite"
  t 'what is not so: read' 10 ci --manifest "$T/lie.json" --results "$T/j" --cache read --cache-file "$T/lie.sqlite"
  forge() { "$TOOLS/cache_forge" "$T/lie.sqlite" "$1" "$2"; }
  # a result that says VERIFIED, over the evidence as it is
  t 'lie: plan' 0 plan "$T/lie.json" -o "$T/lie.jsonl"
  key() { sed -n "s/.*\"key\":\"\([0-9a-f]*\)\".*\"of\":\"$1\".*/\1/p" "$T/lie.jsonl" | head -n 1; }
  for id in far narrow; do
    sed -e 's/FALSIFIED/VERIFIED/g' -e 's/"exit": 10/"exit": 0/' -e 's/UNKNOWN/VERIFIED/g' "$T/i/$(key $id).json" >"$T/forged"
    check "forged: $id" forge "$(key $id)" "$T/forged"
  done
  t 'a forged row is believed without verify (as the manual says)' 0 ci --manifest "$T/lie.json" --results "$T/k" --cache read --cache-file "$T/lie.sqlite"
  t 'verify rejects it' 10 ci --manifest "$T/lie.json" --results "$T/l" --cache verify --cache-file "$T/lie.sqlite"
  has err 'verify rejects it: said' 'cache: REJECTED: the evidence of job'
  has out 'verify rejects it: both are refuted' '^FALSIFIED: 0 of 2 obligations hold \(2 refuted'
  # the proof of another net in the place of a refutation: result, net and certificate fit together, but it is not the model that was asked about
  sed -e 's/^1 -2$/0 0/' -e 's/^30 127$/0 0/' "$T/fc.qir" >"$T/meek.qir"
  for m in meek fc; do
    printf '{"format":"qverify-ci/1","models":{"x":{"path":"%s.qir"}},"obligations":[{"id":"a","check":"overflow","model":"x","acc_bits":8}]}' $m >"$T/$m.json"
    t "$m: plan" 0 plan "$T/$m.json" -o "$T/$m.jsonl"
  done
  first() { sed -n 's/.*"key":"\([0-9a-f]*\)".*/\1/p' "$1" | head -n 1; }
  t 'meek: proved' 0 ci --manifest "$T/meek.json" --results "$T/meek" --cache-file "$T/swap.sqlite" --cache read-write
  t 'fc: refuted' 10 ci --manifest "$T/fc.json" --results "$T/fc" --cache-file "$T/swap.sqlite" --cache read-write
  sed "s/$(first "$T/meek.jsonl")/$(first "$T/fc.jsonl")/g" "$T/meek/$(first "$T/meek.jsonl").json" >"$T/forged"
  check 'swap: result' "$TOOLS/cache_forge" "$T/swap.sqlite" "$(first "$T/fc.jsonl")" "$T/forged"
  for e in .qir .qvc; do check "swap: $e" "$TOOLS/cache_forge" "$T/swap.sqlite" "$(first "$T/fc.jsonl")" "$T/meek/$(first "$T/meek.jsonl")$e" $e; done
  t 'swap: believed without verify' 0 ci --manifest "$T/fc.json" --results "$T/swap1" --cache-file "$T/swap.sqlite" --cache read
  t 'swap: verify rejects it' 10 ci --manifest "$T/fc.json" --results "$T/swap2" --cache-file "$T/swap.sqlite" --cache verify
  has err 'swap: said' 'cache: REJECTED'
else
  not_ok 'the tools that forge are not built: make tools'
fi

# a file that is no database, a folder that cannot be written
echo 'no database' >"$T/text.sqlite"
ci 'no database' 0 n read-write --cache-file "$T/text.sqlite"
has err 'no database: said' 'cache: IGNORED'
check 'no database: left alone' grep -q '^no database$' "$T/text.sqlite"
ci 'no folder' 0 o read-write --cache-file "$T/nowhere/x.sqlite"
has err 'no folder: said' 'cache: IGNORED'
head -c 8192 "$DB" >"$T/cut.sqlite"
ci 'a database cut off' 0 q read --cache-file "$T/cut.sqlite"
same 'a database cut off' q

# workers at the same time, one cache
for k in 1 2 3 4; do "$QVERIFY" ci --manifest "$T/m.json" --results "$T/w$k" --cache read-write --cache-file "$T/many.sqlite" --json "$T/w$k.json" >"$T/w$k.out" 2>"$T/w$k.err" & done
wait
for k in 1 2 3 4; do same "worker $k" "w$k"; done
check 'workers: nobody complains' sh -c "! cat '$T'/w?.err | grep -E 'not stored|IGNORED|DAMAGED'"
ci 'after them' 0 r read --cache-file "$T/many.sqlite"
has err 'after them: all is there' 'cache: 5 jobs taken'

# what is too much goes
ci 'a small cache' 0 u read-write --cache-file "$T/small.sqlite" --cache-limit 0
ci 'a small cache keeps nothing' 0 v read --cache-file "$T/small.sqlite"
has err 'a small cache: empty' 'cache: 0 jobs taken'
finish
