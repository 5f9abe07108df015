# A manual page from the help text of one command: qverify COMMAND --help | awk -v command=COMMAND -v version=V -v date=YYYY-MM-DD -f docs/man.awk
function esc(s) {
  gsub(/\\/, "\\e", s)
  gsub(/-/, "\\-", s)
  sub(/^\./, "\\\\\\&.", s)
  sub(/^'/, "\\\\\\&'", s)
  return s
}
NR == 1 {
  usage = $0
  sub(/^Usage: /, "", usage)
  printf ".TH QVERIFY-%s 1 \"%s\" \"qverify %s\" \"User Commands\"\n", toupper(command), date, version
  next
}
NR <= 3 || section == "name" && $0 != "" { # the summary is the second paragraph
  if ($0 != "") summary = summary (summary == "" ? "" : " ") $0
  if (NR == 3) section = "name"
  next
}
section == "name" {
  printf ".SH NAME\nqverify\\-%s \\- %s\n.SH SYNOPSIS\n%s\n.SH DESCRIPTION\n", command, esc(summary), esc(usage)
  section = "text"
  next
}
/^[A-Z][A-Za-z ]*:$/ {
  title = $0
  sub(/:$/, "", title)
  section = title == "Options" ? "options" : "lines"
  printf ".SH %s\n", toupper(title)
  if (section == "lines") print ".nf"
  next
}
section == "options" && /^ +-/ {
  line = $0
  sub(/^ +/, "", line)
  at = index(line, "  ")
  printf ".TP\n.B %s\n", esc(at > 0 ? substr(line, 1, at - 1) : line)
  if (at > 0) {
    line = substr(line, at)
    sub(/^ +/, "", line)
    print esc(line)
  }
  next
}
section == "text" && $0 == "" { gap = 1; next }
section == "options" && $0 == "" { next }
{
  if (gap && section == "text" && begun) print ".PP"
  gap = 0
  begun = 1
  line = $0
  sub(/^ +/, "", line)
  print esc(line)
}
END { printf "%s.SH SEE ALSO\n.BR qverify (1)\n", section == "lines" ? ".fi\n" : "" }
