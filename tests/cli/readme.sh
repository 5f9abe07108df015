# The commands of README.md.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/console.sh"
unset MAKEFLAGS MAKELEVEL MFLAGS
export LANG=C.UTF-8 LC_ALL=C.UTF-8
here=$PWD
work=$T/readme
mkdir "$work"
# Files that the commands write belong into a scratch directory; all else is reached through links.
for f in "$here"/* "$here/.ci"; do ln -s "$f" "$work/"; done
cd "$work"

console_blocks "$here/README.md" README
if ((n < 8)); then not_ok "README: only $n commands found"; fi
cd "$here"
finish
