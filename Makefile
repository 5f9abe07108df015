# qverify: one Makefile. `make help` lists the targets.
MODE ?= release
PREFIX ?= /usr/local
CC ?= gcc
B := build/$(MODE)

WARN := -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wundef -Wvla -Wcast-align -Wcast-qual -Wswitch-enum -Wformat=2 -Werror
BASE := -std=c11 -D_GNU_SOURCE -I. -ffp-contract=off -fno-fast-math -fPIC -pthread -MMD -MP
ifeq ($(MODE),release)
  OPT := -O2 -g -DQV_NO_ASSERT
else ifeq ($(MODE),debug)
  OPT := -O0 -g3
else ifeq ($(MODE),san)
  OPT := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(MODE),cover)
  OPT := -O0 -g --coverage
else ifeq ($(MODE),fuzz)
  CC := clang
  OPT := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -Wno-unknown-warning-option
else
  $(error MODE must be release, debug, san, cover or fuzz)
endif
CFLAGS ?=
ALL_CFLAGS = $(BASE) $(WARN) $(OPT) $(CFLAGS)
LIBS := -lcjson -lnettle -lzip -lz -lgmp -lm -pthread
