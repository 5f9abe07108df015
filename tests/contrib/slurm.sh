#!/usr/bin/env bash
# contrib/slurm on a Slurm of one node that this script brings up in a temporary folder, with a munge key of its own, and takes down again
# whatever happens. Needs Debian's slurmctld, slurmd, slurm-client and munge, which it installs if it may. No cgroups, no services, no
# accounting database: it runs in a container.
#   tests/contrib/slurm.sh      exit 0 passed, 1 failed, 77 could not run (said loudly)
. "$(dirname "$0")/lib.sh"
cannot() {
  echo "############################################################"
  echo "check-slurm: COULD NOT RUN: $*"
  echo "############################################################"
  rm -rf "$T"
  exit 77
}
export PATH=$PATH:/usr/sbin:/sbin
missing=()
for p in slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client munged:munge; do command -v "${p%:*}" >/dev/null || missing+=("${p#*:}"); done
if ((${#missing[@]} > 0)); then
  command -v apt-get >/dev/null || cannot "${missing[*]} are not installed and there is no apt-get"
  [ "$(id -u)" = 0 ] || cannot "${missing[*]} are not installed, and installing them needs root"
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$T/apt.log" 2>&1 || {
    tail -n 5 "$T/apt.log"
    cannot "the packages cannot be installed"
  }
fi

S=$T/slurm
mkdir -p "$S/state" "$S/spool" "$S/munge"
chmod 755 "$T" "$S" "$S/munge"
pids=()
down() {
  trap - EXIT INT TERM
  # Jobs first: their step daemons outlive slurmd.
  [ ! -e "$S/up" ] || scancel --user="$(id -un)" --state=RUNNING --signal=KILL 2>/dev/null || true
  [ ! -e "$S/up" ] || scancel --user="$(id -un)" 2>/dev/null || true
  local i p
  [ ! -e "$S/up" ] || for i in $(seq 50); do [ -z "$(squeue -h 2>/dev/null)" ] && break; sleep 0.1; done
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
  for p in "${pids[@]}"; do
    for i in $(seq 50); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$p" 2>/dev/null
    wait "$p" 2>/dev/null
  done
  rm -rf "$T"
}
trap 'rc=$?; down; exit $rc' EXIT
trap 'exit 130' INT TERM

# Two free ports.
mapfile -t port < <(python3 -c '
import socket
s = [socket.socket() for _ in range(2)]
for x in s:
    x.bind(("127.0.0.1", 0))
for x in s:
    print(x.getsockname()[1])')
node=qvnode
cat >"$S/slurm.conf" <<END
ClusterName=qverify
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=${port[0]}
SlurmdPort=${port[1]}
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$S/munge/socket
StateSaveLocation=$S/state
SlurmdSpoolDir=$S/spool
SlurmctldPidFile=$S/slurmctld.pid
SlurmdPidFile=$S/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
MailProg=/bin/true
KillWait=2
MinJobAge=300
NodeName=$node NodeAddr=127.0.0.1 NodeHostname=$(hostname) CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$S/slurm.conf
head -c 1024 /dev/urandom >"$S/munge/key"
chmod 400 "$S/munge/key"
daemon() { # name, command...
  local name=$1
  shift
  "$@" >"$S/$name.out" 2>&1 &
  pids+=($!)
}
daemon munged munged --foreground --force --key-file="$S/munge/key" --socket="$S/munge/socket" --pid-file="$S/munge/pid" --log-file="$S/munge/log" \
  --seed-file="$S/munge/seed"
for i in $(seq 50); do [ -S "$S/munge/socket" ] && break; sleep 0.1; done
[ -S "$S/munge/socket" ] || { cat "$S/munged.out" "$S/munge/log" 2>/dev/null | tail; cannot "munged does not start"; }
daemon slurmctld slurmctld -D -f "$S/slurm.conf"
daemon slurmd slurmd -D -N "$node" -f "$S/slurm.conf"
touch "$S/up"
for i in $(seq 150); do [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && break; sleep 0.2; done
if [ "$(sinfo -h -o %t 2>/dev/null)" != idle ]; then
  tail -n 8 "$S/slurmctld.out" "$S/slurmd.out"
  cannot "Slurm does not come up"
fi
echo "$(slurmctld -V), one node, $(id -un)"

# ---- the test itself ----------------------------------------------------------------------------------------------------------------
cd "$T" || exit 1
manifest >m.json
expect 'the same manifest, here' 10 "$QVERIFY" ci --manifest m.json --results here --json here.json
submit=$ROOT/contrib/slurm/submit.sh
start=$(date +%s)
expect 'an array of 20 tasks, then the merge: its exit code' 10 "$submit" -w -n 20 -d "$T/run" m.json
cat log
echo "$(grep -c . run/plan.jsonl) lines in the plan, $(($(date +%s) - start)) s"
same 'the merged report is that of the local run, byte for byte but for the times' here.json run/report.json
tasks=$(ls run/log/*_*.log 2>/dev/null | wc -l)
if ((tasks == 20)); then ok '20 tasks ran'; else not_ok "$tasks tasks left a log"; fi
jobs=$(cat run/log/*_*.log | awk '/jobs run/ {n += $1} END {print n + 0}')
if ((jobs == 42)); then ok 'they ran 42 jobs, each once'; else not_ok "they ran $jobs jobs"; fi
for f in report.json report.xml report.sarif report.intoto.json report.html; do [ -s "run/$f" ] || not_ok "$f is missing"; done

# A task that never ran: INCOMPLETE; submitted again, only its jobs run.
# (Which shards have jobs depends on the build, whose hash is in the keys: the first that has some.)
for shard in $(seq 20); do
  lost=$("$QVERIFY" work run/plan.jsonl --shard "$shard/20" --results only | awk '{print $1}')
  if ((lost > 0)); then break; fi
done
if ((lost > 0)); then ok "shard $shard has $lost jobs"; else not_ok 'every shard is empty'; fi
(cd only && ls -- *.json) | sed 's|^|run/results/|' | xargs rm
expect 'a merge without the results of that task' 10 "$QVERIFY" merge run/plan.jsonl --results run/results --json hole.json
if grep -q '"run_state": "INCOMPLETE"' hole.json; then ok 'which is INCOMPLETE'; else not_ok 'a missing shard is not INCOMPLETE'; fi
rm run/log/*
expect 'submitted again' 10 "$submit" -w -n 20 -d "$T/run" m.json
jobs=$(cat run/log/*_*.log | awk '/jobs run/ {n += $1} END {print n + 0}')
if ((jobs == lost)); then ok 'nothing that was finished ran again'; else not_ok "$jobs jobs ran again, $lost were lost"; fi
same 'and the report is whole again' here.json run/report.json

# Shards that were cancelled: what holds so far is no verdict.
expect 'an array with nothing but proofs' 0 "$submit" -w -n 20 -d "$T/proved" m.json --only 'wide-[23]*'
cat >work.sbatch <<'END'
#!/bin/sh
exit 9
END
mkdir broken
cp "$submit" "$ROOT/contrib/slurm/merge.sbatch" work.sbatch broken/
expect 'every task fails: the merge says so' 5 broken/submit.sh -w -n 3 -d "$T/none" m.json
expect 'a plan of something else in the folder' 1 "$submit" -d "$T/proved" m.json
if [ -z "$(squeue -h)" ]; then ok 'the queue is empty'; else not_ok 'jobs are left over'; fi
if ((bad)); then tail -n 5 "$S/slurmctld.out" "$S/slurmd.out"; fi
exit $bad
