# qverify: one Makefile. `make help` lists the targets.
VERSION := 0.1.0
SOVERSION := 0
MODE ?= release
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
  CC := gcc
endif
B := build/$(MODE)

# ---- flags ------------------------------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wundef -Wvla -Wcast-align -Wcast-qual -Wswitch-enum -Wformat=2 -Werror
BASE := -std=c11 -D_GNU_SOURCE -DQV_VERSION='"$(VERSION)"' -DQV_BUILD='"$(MODE)"' -I. -ffp-contract=off -fno-fast-math -fPIC \
        -fvisibility=hidden -pthread -MMD -MP
ifeq ($(MODE),release)
  OPT := -O2 -g -DQV_NO_ASSERT
else ifeq ($(MODE),debug)
  OPT := -O0 -g3
else ifeq ($(MODE),san)
  OPT := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(MODE),cover)
  OPT := -O0 -g --coverage
else ifeq ($(MODE),fuzz)
  override CC := clang
  OPT := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
else
  $(error MODE must be release, debug, san, cover or fuzz)
endif
# V=1 shows the commands.
Q := $(if $(V),,@)
say := @$(if $(V),:,echo " ")
CFLAGS ?=
LDFLAGS ?=
ALL_CFLAGS = $(BASE) $(WARN) $(OPT) $(CFLAGS)
LIBS := -lcjson -lnettle -lzip -lz -lprotobuf-c -lglpk -lgmp -lm -pthread
CLI_LIBS := -lsqlite3 # the program's own, not the library's

# ---- what is built: whatever lies in the folders ------------------------------------------------------------------------
LIB_DIRS := ir/base ir kernels kernels/profile frontend quant analysis smt ilp cert
# Files mid-work can be left out of a build: make SKIP='kernels/exec%'
SKIP ?=
find_c = $(filter-out $(SKIP),$(sort $(foreach d,$(1),$(wildcard $(d)/*.c))))
objs = $(patsubst %.c,$(B)/%.o,$(1))

# The public interface (cli/qverify.h) and what it stands on belong to the library; the rest of cli/ is the program.
FACADE := cli/api.c cli/evidence.c cli/ovcheck.c cli/storage.c
LIB_SRC := $(call find_c,$(LIB_DIRS)) $(filter-out $(SKIP),$(wildcard $(FACADE)))
CLI_SRC := $(filter-out $(FACADE),$(call find_c,cli))
CHECK_SRC := $(call find_c,check)
TEST_SRC := $(filter-out $(SKIP),$(sort $(wildcard tests/test_*.c)))
HELPER_SRC := $(filter-out tests/test_%,$(call find_c,tests))
FUZZ_SRC := $(filter-out $(SKIP),$(sort $(wildcard tests/fuzz/fuzz_*.c)))

# The ONNX reader's protobuf code is generated from the .proto text of the ONNX project (Debian: libonnx-dev).
ONNX_PROTO ?= /usr/include/onnx/onnx.proto
GEN := $(if $(filter frontend/onnx_file.c,$(LIB_SRC)),$(B)/gen/onnx.pb-c)
LIB_OBJ := $(call objs,$(LIB_SRC)) $(addsuffix .o,$(GEN))

LIB := $(B)/libqverify.a
SO := $(B)/libqverify.so.$(VERSION)
TESTS := $(patsubst %.c,$(B)/%,$(TEST_SRC))
FUZZERS := $(patsubst %.c,$(B)/%,$(FUZZ_SRC))
PROGS := $(if $(wildcard cli/main.c),$(B)/qverify) $(if $(CHECK_SRC),$(B)/qverify-check)
ROOT_PROGS := $(if $(filter release,$(MODE)),$(notdir $(PROGS)))

.PHONY: all progs lib tests fuzzers tools deps demo layers check check-long check-oracles check-slurm check-contrib check-browser check-reports bench fuzz cover install uninstall dist clean help \
        format tidy valgrind
.DELETE_ON_ERROR:
.SECONDARY:

all: progs lib $(ROOT_PROGS)
progs: $(PROGS)
lib: $(LIB) $(SO)
tests: $(TESTS)
fuzzers: $(FUZZERS)

# The objects of a folder depend on how they are compiled as well as on the sources.
FLAGS_FILE := $(B)/.flags
ifneq ($(filter-out clean help deps demo check check-long check-oracles check-slurm check-contrib check-browser check-reports bench layers fuzz cover dist valgrind,$(or $(MAKECMDGOALS),all)),)
  $(shell mkdir -p $(B); new='$(subst ','\'',$(CC) $(ALL_CFLAGS) $(LDFLAGS))'; \
          [ "$$new" = "$$(cat $(FLAGS_FILE) 2>/dev/null)" ] || printf '%s\n' "$$new" > $(FLAGS_FILE))
endif
$(FLAGS_FILE): ;

$(B)/%.o: %.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

ifneq ($(GEN),)
ALL_CFLAGS += -isystem $(B)/gen
$(GEN).c: $(ONNX_PROTO)
	@mkdir -p $(@D)
	$(say) GEN $@
	$(Q)protoc-c --proto_path=$(dir $<) --c_out=$(@D) $(notdir $<)
$(GEN).h: $(GEN).c ;
$(GEN).o: $(GEN).c $(FLAGS_FILE)
	$(say) CC $<
	$(Q)$(CC) $(BASE) $(OPT) -w $(CFLAGS) -c $< -o $@
# Whoever includes it, in the reader or in a test, needs the header first.
$(call objs,$(LIB_SRC) $(TEST_SRC) $(HELPER_SRC) $(FUZZ_SRC)): | $(GEN).h
endif

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(SO): $(LIB_OBJ)
	$(say) LD $@
	$(Q)$(CC) $(OPT) $(LDFLAGS) -shared -Wl,-z,defs -Wl,-soname,libqverify.so.$(SOVERSION) -o $@ $^ $(LIBS)

$(B)/qverify: $(call objs,$(CLI_SRC)) $(LIB)
	$(say) LD $@
	$(Q)$(CC) $(OPT) $(LDFLAGS) -o $@ $^ $(CLI_LIBS) $(LIBS)

# The checker shares no line with the rest and links nothing but GMP.
$(B)/qverify-check: $(call objs,$(CHECK_SRC))
	$(say) LD $@
	$(Q)$(CC) $(OPT) $(LDFLAGS) -o $@ $^ -lgmp

$(ROOT_PROGS): %: $(B)/%
	@cp -f $< $@.tmp && mv -f $@.tmp $@

$(B)/libtest.a: $(call objs,$(HELPER_SRC))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/tests/test_%: $(B)/tests/test_%.o $(B)/libtest.a $(LIB)
	$(say) LD $@
	$(Q)$(CC) $(OPT) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

# With libFuzzer in mode fuzz; elsewhere with a driver that replays files.
ifeq ($(MODE),fuzz)
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/libtest.a $(LIB)
	$(say) LD $@
	$(Q)$(CC) $(OPT) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(LIBS)
else
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/driver.o $(B)/libtest.a $(LIB)
	$(say) LD $@
	$(Q)$(CC) $(OPT) $(LDFLAGS) -o $@ $^ $(LIBS)
endif

-include $(patsubst %.o,%.d,$(call objs,$(LIB_SRC) $(CLI_SRC) $(CHECK_SRC) $(TEST_SRC) $(HELPER_SRC) $(FUZZ_SRC) tests/fuzz/driver.c))

# A program against the installed header belongs to the tests: tests/cli/client.c. Small tools of the tests: tests/tools/*.c.
TOOLS := $(patsubst %.c,$(B)/%,$(call find_c,tests/tools))
$(B)/tests/tools/%: $(B)/tests/tools/%.o $(LIB)
	$(say) LD $@
	$(Q)$(CC) $(OPT) $(LDFLAGS) -o $@ $^ $(CLI_LIBS) $(LIBS)
tools: $(TOOLS)
-include $(TOOLS:=.d)

# ---- everything else ----------------------------------------------------------------------------------------------------
# A plain `make check` uses all cores; an explicit -j is passed on by make itself.
JOBS := $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))
SUB := $(MAKE) --no-print-directory $(JOBS)

deps:
	@.ci/deps.sh build

#: make              build ./qverify (and libqverify.a, .so) in mode release; MODE=debug|san|cover|fuzz go to build/MODE/
#: make demo         install what is missing, build, and run the main job on examples/shapes: seconds
demo: deps
	@$(SUB) all
	@examples/demo.sh

#: make check        everything that has to pass: layers, unit tests (release and sanitizers), corpus, command line, README
check: deps
	@$(SUB) MODE=release all tests tools
	@$(SUB) MODE=san progs tests fuzzers tools
	@tests/run.sh

#: make check-long   the same with 25 times the effort in the unit tests; an hour and more
check-long: deps
	@$(SUB) MODE=release all tests tools
	@$(SUB) MODE=san progs tests fuzzers tools
	@QV_TEST_MULT=$${QV_TEST_MULT:-25} QV_TEST_TIMEOUT=7200 tests/run.sh

#: make check-oracles  compare with other runtimes where they can be had (tests/oracles)
check-oracles: deps
	@$(SUB) all tests
	@tests/oracles/run.sh

#: make check-contrib  the GNU parallel script, the GitHub and GitLab templates and the BenchExec module (contrib/)
check-contrib:
	@.ci/deps.sh build contrib
	@$(SUB) progs
	@tests/contrib/parallel.sh
	@tests/contrib/templates.sh

#: make check-reports  every report format before a validator from a package registry (tests/reports)
check-reports: deps
	@$(SUB) progs
	@tests/reports/run.sh

#: make check-browser  the page of `qverify ci` in headless Chromium: filter, messages, requests, phone, print, time (tests/browser)
check-browser: deps
	@$(SUB) progs
	@tests/browser/run.sh

#: make check-slurm  contrib/slurm on a Slurm of one node, brought up and taken down here (installs it if root)
check-slurm: deps
	@$(SUB) progs
	@tests/contrib/slurm.sh

#: make layers       the direction of dependence
layers:
	@tests/layers.sh

#: make bench        time execution and analysis (benchmarks/)
bench: deps
	@$(SUB) all
	@set -e; for b in benchmarks/*/run.sh; do echo "== $$b"; "$$b"; done

#: make fuzz         libFuzzer on every reader, FUZZ_TIME seconds each (60)
FUZZ_TIME ?= 60
fuzz:
	@.ci/deps.sh build fuzz
	@$(SUB) MODE=fuzz fuzzers
	@set -e; for f in $(FUZZ_SRC:.c=); do n=$${f##*/fuzz_}; mkdir -p build/corpus/$$n; echo "== $$n"; \
	  build/fuzz/$$f -max_total_time=$(FUZZ_TIME) -timeout=20 -rss_limit_mb=3000 -artifact_prefix=build/corpus/$$n- \
	    -print_final_stats=0 build/corpus/$$n $(wildcard tests/corpus tests/zoo); done

#: make cover        line and branch coverage of the unit tests into build/cover/coverage.txt
cover: deps
	@$(SUB) MODE=cover all tests tools
	@for t in $(TEST_SRC:.c=); do build/cover/$$t >/dev/null 2>&1 || echo "failed: $$t"; done
	@cd build/cover && gcov -b -o . $$(find ir kernels frontend quant analysis smt ilp cert -name '*.gcda' 2>/dev/null) 2>/dev/null \
	  >coverage.txt; grep -A1 -E "^File '(ir|kernels|frontend|quant|analysis|smt|ilp|cert)/.*\.c'" coverage.txt | grep -v ^--

#: make valgrind     the unit tests under valgrind, small effort
valgrind: deps
	@command -v valgrind >/dev/null || { echo "install valgrind first" >&2; exit 1; }
	@$(SUB) MODE=debug tests
	@set -e; for t in $(TEST_SRC:.c=); do echo "== $$t"; QV_TEST_MULT=0 valgrind -q --error-exitcode=9 --leak-check=full build/debug/$$t >/dev/null; done

#: make install      to PREFIX (/usr/local), staged below DESTDIR: program, library, header, man page, pkg-config file
BIN := $(DESTDIR)$(PREFIX)/bin
LIBDIR := $(DESTDIR)$(PREFIX)/lib
INC := $(DESTDIR)$(PREFIX)/include
MAN := $(DESTDIR)$(PREFIX)/share/man/man1
# Each command's page is made from its --help.
COMMANDS = $(shell $(B)/qverify --help | sed -n '/^Commands:/,/^$$/s/^  \([a-z-]*\) .*/\1/p')
MAN_DATE = $(shell sed -n 's/^\.TH QVERIFY 1 "\([0-9-]*\)".*/\1/p' docs/qverify.1)
install: all
	install -d $(BIN) $(LIBDIR)/pkgconfig $(INC) $(MAN)
	install -m 755 $(PROGS) $(BIN)
	install -m 644 $(LIB) $(LIBDIR)
	install -m 755 $(SO) $(LIBDIR)
	ln -sf libqverify.so.$(VERSION) $(LIBDIR)/libqverify.so.$(SOVERSION)
	ln -sf libqverify.so.$(SOVERSION) $(LIBDIR)/libqverify.so
	install -m 644 cli/qverify.h $(INC)
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' qverify.pc.in >$(LIBDIR)/pkgconfig/qverify.pc
	chmod 644 $(LIBDIR)/pkgconfig/qverify.pc
	install -m 644 docs/qverify.1 $(MAN)
	@set -e; for c in $(COMMANDS); do $(B)/qverify $$c --help | \
	  awk -v command=$$c -v version=$(VERSION) -v date=$(MAN_DATE) -f docs/man.awk >$(MAN)/qverify-$$c.1; chmod 644 $(MAN)/qverify-$$c.1; done

#: make uninstall    remove what install put there
uninstall:
	rm -f $(BIN)/qverify $(BIN)/qverify-check $(LIBDIR)/libqverify.a $(LIBDIR)/libqverify.so* $(INC)/qverify.h \
	  $(LIBDIR)/pkgconfig/qverify.pc $(MAN)/qverify.1 $(MAN)/qverify-*.1

#: make dist         build/qverify-VERSION.tar.gz from the committed files
dist:
	@mkdir -p build
	git archive --prefix=qverify-$(VERSION)/ -o build/qverify-$(VERSION).tar.gz HEAD
	@echo build/qverify-$(VERSION).tar.gz

#: make format, make tidy   clang-format in place; clang-tidy over all sources
ALL_C = $(LIB_SRC) $(CLI_SRC) $(CHECK_SRC) $(TEST_SRC) $(HELPER_SRC) $(FUZZ_SRC)
format:
	@.ci/deps.sh tidy
	clang-format -i $(ALL_C)
tidy:
	@.ci/deps.sh tidy
	clang-tidy --quiet --checks='-*,bugprone-*,cert-*,clang-analyzer-*,misc-*,performance-*,-bugprone-easily-swappable-parameters,-misc-no-recursion,-misc-include-cleaner,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling' \
	  $(LIB_SRC) $(CLI_SRC) $(CHECK_SRC) -- -std=c11 -D_GNU_SOURCE -DQV_VERSION='"$(VERSION)"' -DQV_BUILD='"tidy"' -I. -isystem $(B)/gen

#: make clean        remove everything that was built
clean:
	rm -rf build qverify qverify-check

help:
	@sed -n 's/^#: //p' $(firstword $(MAKEFILE_LIST))
