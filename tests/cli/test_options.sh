# Options, help, hints and messages.
. "$(dirname "$0")/lib.sh"

t 'no command' 1
t 'version' 0 --version
has out 'version is printed' '^qverify [0-9]+\.[0-9]+\.[0-9]+$'
has out 'version names the licence' 'GPL-3.0-or-later'
t 'short version' 0 -V
t 'help' 0 --help
has out 'help lists the commands' '^  overflow '
has out 'help has an example' 'Example:'
t 'help command' 0 help run
has out 'help run' '^Usage: qverify run MODEL'
for c in info run overflow audit check lower profiles; do
  t "$c --help" 0 $c --help
  has out "$c --help has an example" '^Example:'
  has out "$c --help lists --help" '--help'
done
t 'unknown command' 1 ovreflow m
has err 'unknown command: hint' "did you mean 'overflow'"
t 'unknown command far from all' 1 xyzzy
hasnt err 'no far-fetched hint' 'did you mean'
t 'unknown option before any command' 1 --wersion
t 'unknown option' 1 overflow --jason r.json m
has err 'unknown option: hint' "did you mean '--json'"
t 'unknown option with value' 1 overflow --acc-bit=16 m
has err 'unknown option with value: hint' "did you mean '--acc-bits'"
t 'unknown letter' 1 info -z m
t 'model missing' 1 info
has err 'model missing: says so' 'info needs MODEL'
t 'two models' 1 info a b
t 'value missing' 1 overflow m --json
has err 'value missing: says so' '--json needs a value'
t 'flag with value' 1 overflow m --opaque=yes
t 'given twice' 1 overflow m --json a --json b
has err 'given twice: says so' 'given twice'
for v in 1 65 -3 0 x 16x '' ' 16' 99999999999999999999; do t "--acc-bits '$v'" 1 overflow m "--acc-bits=$v"; done
t 'threads' 1 run m --threads many --output x
t 'isa' 1 run m --isa sse9 --output x
has err 'isa: list' 'portable'
t 'unknown profile' 1 info m --profile tflite-duoble
has err 'unknown profile: hint' "did you mean 'tflite-double'"
t 'unknown profile in overflow' 1 overflow m --profile nonsense
has err 'unknown profile: where to look' 'qverify profiles'
t 'run without output' 1 run m
t 'lower without output' 1 lower m
t 'profiles' 0 profiles
has out 'profiles: default' 'tflite-double'
t 'profiles verbose' 0 profiles -v

fc_model >"$T/m.qir"
t 'options before the model' 0 overflow --acc-bits 17 "$T/m.qir"
t 'options after the model' 0 overflow "$T/m.qir" -b17
t 'option with =' 0 overflow "$T/m.qir" --acc-bits=17
cp "$T/m.qir" "$T/-m.qir"
t 'a name that looks like an option' 0 info "$T/-m.qir"
(cd "$T" && "$QVERIFY" info -- -m.qir >out 2>err) && ok 'after --' || not_ok 'after --'
t 'profile for a model that fixes its arithmetic' 1 info "$T/m.qir" --profile tflite-double
finish
