#!/usr/bin/env bash
# contrib/parallel with Debian's GNU parallel: against a local run, killed and resumed, with a host given by --sshlogin.
. "$(dirname "$0")/lib.sh"
trap 'rm -rf "$T"' EXIT
if ! parallel --version 2>/dev/null | grep -q '^GNU parallel'; then
  skip "contrib/parallel: GNU PARALLEL IS NOT INSTALLED (Debian: parallel)"
  exit 0
fi
export PARALLEL_HOME=$T/home # no settings of the user's
mkdir "$PARALLEL_HOME"
cd "$T" || exit 1
manifest >m.json
run=$ROOT/contrib/parallel/run.sh
expect 'the same manifest, in one process' 10 "$QVERIFY" ci --manifest m.json --results here --json here.json
expect 'seven shards' 10 "$run" -n 7 -d seven m.json -- --jobs 2
same 'the same report' here.json seven/report.json
started=$(wc -l <seven/joblog.7)
expect 'again' 10 "$run" -n 7 -d seven m.json -- --jobs 2
if [ "$(wc -l <seven/joblog.7)" = "$started" ]; then ok 'no shard is started again'; else not_ok 'finished shards were started again'; fi
expect 'other paths: blanks and quotes' 0 "$run" -n 2 -d "$T/it's a folder" m.json --only 'wide-[23]*'

# Killed with everything below it, started again.
setsid "$run" -n 20 -d killed m.json -- --jobs 1 >log 2>&1 &
pid=$!
for i in $(seq 200); do [ "$(ls killed/results/*.json 2>/dev/null | wc -l)" -ge 3 ] && break; sleep 0.02; done
kill -9 -- -$pid 2>/dev/null
wait $pid 2>/dev/null
before=$(ls killed/results/*.json | wc -l)
stat -c '%Y %i %n' killed/results/*.json >stamps
if ((before >= 3 && before < 42)); then ok "killed after $before of 42 jobs"; else not_ok "killed after $before of 42 jobs"; fi
expect 'resumed' 10 "$run" -n 20 -d killed m.json
while read -r line; do [ "$(stat -c '%Y %i %n' "${line##* }")" = "$line" ] || not_ok "done twice: $line"; done <stamps
same 'the same report after the kill' here.json killed/report.json

# Results that are gone although the log calls their shard done, and a folder that was deleted.
rm -r seven/results
expect 'results deleted: done again' 10 "$run" -n 7 -d seven m.json
same 'the same report' here.json seven/report.json

# Two "hosts": --sshlogin with a stand-in for ssh that runs the command on this one.
cat >ssh <<'END'
#!/bin/sh
# ssh [OPTION...] HOST -- COMMAND
while :; do case $1 in -*) shift ;; *) break ;; esac; done
echo "$1" >>HOSTS
shift
[ "$1" != -- ] || shift
exec sh -c "$*"
END
sed -i "s|HOSTS|$T/hosts|" ssh
chmod +x ssh
expect 'two hosts' 10 env PARALLEL_SSH="$T/ssh" "$run" -n 8 -d "$T/hosted" m.json -- --sshlogin 1/qva,1/qvb
if [ "$(sort -u hosts 2>/dev/null | grep -c '^qv[ab]$')" = 2 ]; then ok 'both were used'; else not_ok "hosts used: $(sort -u hosts 2>/dev/null | tr '\n' ' ')"; fi
same 'the same report' here.json hosted/report.json

# A shard that cannot run is no verdict.
cat >flaky <<END
#!/bin/sh
case "\$*" in work*--shard\ 1/1*) exit 9 ;; esac
exec "$QVERIFY" "\$@"
END
chmod +x flaky
expect 'a shard that fails: INCOMPLETE' 5 env QVERIFY="$T/flaky" "$run" -n 1 -d flaked m.json --only 'wide-[23]*'
expect 'it works now: resumed' 0 "$run" -n 1 -d flaked m.json --only 'wide-[23]*'
exit $bad
