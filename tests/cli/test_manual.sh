# Every command has its help, its manual page, its place in docs/cli.md and in the completions; pages are well-formed.
. "$(dirname "$0")/lib.sh"

"$QVERIFY" --help >"$T/help"
commands=$(sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' "$T/help")
check 'there are commands' test "$(echo "$commands" | wc -w)" -ge 26
"$QVERIFY" completion bash >"$T/bash"
"$QVERIFY" completion fish >"$T/fish"
lint() { # file
  if command -v groff >/dev/null; then groff -man -ww -z "$1" 2>&1; fi
  if command -v mandoc >/dev/null; then mandoc -Tlint -W warning "$1" 2>&1; fi
}
for tool in groff mandoc; do command -v $tool >/dev/null || skip "pages not looked at by $tool: it is not installed"; done
lint docs/qverify.1 >"$T/lint"
check 'the main page has no warnings' test ! -s "$T/lint"
for c in $commands; do
  t "$c --help" 0 "$c" --help
  cp "$T/out" "$T/text"
  awk -v command="$c" -v version=1 -v date=2000-01-01 -f docs/man.awk "$T/text" >"$T/page.1"
  lint "$T/page.1" >"$T/lint"
  check "$c: its page has no warnings" test ! -s "$T/lint"
  for s in NAME SYNOPSIS DESCRIPTION OPTIONS; do grep -q "^\.SH $s$" "$T/page.1" || not_ok "$c: no section $s"; done
  # every option of the help text is a paragraph of the page
  sed -n 's/^ *\(-., \)\?\(--[a-z0-9-]*\).*/\2/p' "$T/text" | sort -u >"$T/a"
  sed -n '/^\.TP/{n;p}' "$T/page.1" | sed 's/\\-/-/g' | grep -o -- '--[a-z0-9-]*' | sort -u >"$T/b"
  check "$c: all options are on its page" test -z "$(comm -23 "$T/a" "$T/b")"
  check "$c: is on the main page" grep -qxF ".B ${c//-/\\-}" docs/qverify.1
  check "$c: is in docs/cli.md" grep -qE "^## (.*, )?$c(,.*)?\$" docs/cli.md
  check "$c: bash and fish complete it" sh -c "grep -qw -- '$c' '$T/bash' && grep -qw -- '$c' '$T/fish'"
done
if command -v zsh >/dev/null; then
  check 'zsh takes the completions of bash' zsh -fc "autoload -U +X compinit bashcompinit && compinit -D -u && bashcompinit && source '$T/bash'"
else skip 'completions not tried in zsh: it is not installed'; fi
if command -v fish >/dev/null; then check 'fish reads its completions' fish -n "$T/fish"; else skip 'completions not tried in fish: it is not installed'; fi
