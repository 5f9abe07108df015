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
LIBS := -lcjson -lnettle -lzip -lz -lgmp -lm -pthread

# ---- what is built: whatever lies in the folders ------------------------------------------------------------------------
LIB_DIRS := ir/base ir kernels kernels/profile frontend quant analysis smt ilp cert
# Files mid-work can be left out of a build: make SKIP='kernels/exec%'
SKIP ?=
find_c = $(filter-out $(SKIP),$(sort $(foreach d,$(1),$(wildcard $(d)/*.c))))
objs = $(patsubst %.c,$(B)/%.o,$(1))

# The public interface (cli/qverify.h) and what it stands on belong to the library; the rest of cli/ is the program.
FACADE := cli/api.c cli/ovcheck.c cli/storage.c cli/witness.c
LIB_SRC := $(call find_c,$(LIB_DIRS)) $(filter-out $(SKIP),$(wildcard $(FACADE)))
CLI_SRC := $(filter-out $(FACADE),$(call find_c,cli))
CHECK_SRC := $(call find_c,check)
TEST_SRC := $(filter-out $(SKIP),$(sort $(wildcard tests/test_*.c)))
HELPER_SRC := $(filter-out tests/test_%,$(call find_c,tests))
FUZZ_SRC := $(filter-out $(SKIP),$(sort $(wildcard tests/fuzz/fuzz_*.c)))

LIB := $(B)/libqverify.a
SO := $(B)/libqverify.so.$(VERSION)
TESTS := $(patsubst %.c,$(B)/%,$(TEST_SRC))
FUZZERS := $(patsubst %.c,$(B)/%,$(FUZZ_SRC))
PROGS := $(if $(wildcard cli/main.c),$(B)/qverify) $(if $(CHECK_SRC),$(B)/qverify-check)
ROOT_PROGS := $(if $(filter release,$(MODE)),$(notdir $(PROGS)))

.PHONY: all progs lib tests fuzzers deps demo layers check check-long check-oracles bench fuzz install uninstall dist clean help format tidy valgrind
.DELETE_ON_ERROR:
.SECONDARY:

all: progs lib $(ROOT_PROGS)
progs: $(PROGS)
lib: $(LIB) $(SO)
tests: $(TESTS)
fuzzers: $(FUZZERS)

# The objects of a folder depend on how they are compiled as well as on the sources.
FLAGS_FILE := $(B)/.flags
ifneq ($(filter-out clean help deps demo check check-long layers fuzz dist,$(or $(MAKECMDGOALS),all)),)
  $(shell mkdir -p $(B); new='$(subst ','\'',$(CC) $(ALL_CFLAGS) $(LDFLAGS))'; \
          [ "$$new" = "$$(cat $(FLAGS_FILE) 2>/dev/null)" ] || printf '%s\n' "$$new" > $(FLAGS_FILE))
endif
$(FLAGS_FILE): ;

$(B)/%.o: %.c $(FLAGS_FILE)
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

$(LIB): $(call objs,$(LIB_SRC))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(SO): $(call objs,$(LIB_SRC))
	$(say) LD $@
	$(Q)$(CC) $(OPT) $(LDFLAGS) -shared -Wl,-soname,libqverify.so.$(SOVERSION) -o $@ $^ $(LIBS)

$(B)/qverify: $(call objs,$(CLI_SRC)) $(LIB)
	$(say) LD $@
	$(Q)$(CC) $(OPT) $(LDFLAGS) -o $@ $^ $(LIBS)

# The checker shares no line with the rest and links nothing but GMP.
$(B)/qverify-check: $(call objs,$(CHECK_SRC))
	$(say) LD $@
	$(Q)$(CC) $(OPT) $(LDFLAGS) -o $@ $^ -lgmp

$(ROOT_PROGS): %: $(B)/%
	cp -f $< $@.tmp && mv -f $@.tmp $@

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

# ---- everything else is a script ----------------------------------------------------------------------------------------
JOBS := $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc 2>/dev/null || echo 2))

clean:
	rm -rf build qverify qverify-check

help:
	@sed -n 's/^#: //p' $(firstword $(MAKEFILE_LIST))
