# penstock -- a streaming forward HTTP proxy.  `make run` and `make test` are all one needs.

VERSION := 0.1.0

# The rooms, bottom-up: a file may include only what stands before it (make floors).
ROOMS := base/attr base/slice base/recycle base/spare base/text base/utf8 base/log base/siphash base/map base/bucket base/metrics base/seal \
	base/sd base/supervisor base/identity base/sandbox base/zone base/leisure \
	net/addr net/reserve net/locality net/listener net/holder net/name net/record net/order net/watch net/nameserver net/channel net/hosts net/question net/dns net/cache net/lookup net/resolver net/deadline net/family net/source net/preference net/dial net/race net/connector net/pipe net/pace net/outflow net/wire net/side net/flow net/tunnel \
	http/page http/reply http/target http/byte http/field http/scan http/head http/body http/headers http/basic http/home \
	policy/namelist policy/nameset policy/blocklist policy/special policy/hours policy/catalog policy/rulebook policy/acl policy/limit policy/tempo policy/hash policy/htpasswd policy/auth \
	proxy/syntax proxy/notation proxy/clause proxy/condition proxy/listen proxy/snapshot proxy/key proxy/load proxy/users proxy/lists proxy/hostfile proxy/rules proxy/config proxy/tenure proxy/loader proxy/accesslog proxy/checker proxy/login proxy/tide proxy/entrance proxy/explain proxy/refusal proxy/visit proxy/client proxy/inflow proxy/farewell proxy/intake proxy/door proxy/route proxy/passage proxy/admission proxy/pool proxy/origin proxy/upstream proxy/approach proxy/relay proxy/patience proxy/schedule proxy/forward proxy/junction proxy/exchange \
	proxy/places proxy/service proxy/confinement proxy/worker proxy/porter proxy/descriptors proxy/rehearsal proxy/passwd proxy/daemon main

# ---- what has to be there, as Debian packages -------------------------------------------------

NEEDS_BUILD := gcc libc6-dev pkg-config libevent-dev libconfig-dev libc-ares-dev libseccomp-dev \
	libcrypt-dev libmd-dev
NEEDS_TEST := libcmocka-dev python3-pytest python3-pytest-timeout python3-pytest-xdist \
	python3-requests python3-websockets python3-websocket curl wget git nginx-light \
	libnginx-mod-http-dav-ext fcgiwrap \
	dnsmasq-base nodejs openssl chromium ca-certificates tzdata iproute2 procps logrotate libsystemd0 fail2ban groff-base
NEEDS_FUZZ := clang libclang-rt-14-dev
NEEDS_LINT := clang-format clang-tidy cppcheck
NEEDS_SYSTEMD := systemd
NEEDS_BENCH := python3 python3-matplotlib

# Ask dpkg which of the packages $(1) are missing, say so, and install them.  $(2): why.
define need
	@missing=""; for p in $(1); do \
		dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "penstock needs these packages $(2), installing them with apt-get:$$missing"; \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		[ -z "$$sudo" ] || command -v sudo >/dev/null || { echo "There is no sudo: install them as root."; exit 1; }; \
		$$sudo apt-get update -q && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing || exit 1; \
	fi
endef

# ---- how it is built --------------------------------------------------------------------------

VARIANT ?= release
OUT := build/$(VARIANT)
CC = gcc

# Libraries that are used where they are: libseccomp when it is built, libsystemd when it runs (so
# it is no need of the build).  VARIANT=bare does without both.  Sanitizers make system calls that no
# proxy needs, and have no sandbox.
LIBSECCOMP := $(if $(filter release,$(VARIANT)),$(shell pkg-config --exists libseccomp && echo libseccomp))
WITH := $(if $(LIBSECCOMP),-DWITH_LIBSECCOMP) $(if $(filter bare,$(VARIANT)),-DWITHOUT_LIBSYSTEMD)
PKGS := libevent_core libevent_extra libconfig libcares libcrypt libmd $(LIBSECCOMP)
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS = $(shell pkg-config --libs $(PKGS))

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wvla -Wundef $(if $(CI),-Werror)
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection
HARDENING_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack
OPT_release := -O2 -g -D_FORTIFY_SOURCE=2
OPT_bare := $(OPT_release)
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# Every block is malloc's and free's, for the test in which malloc fails.
OPT_plain := -O1 -g -DRECYCLE_NOTHING
OPT_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
OPT_fuzz := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT := $(OPT_$(VARIANT))

ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DPENSTOCK_VERSION='"$(VERSION)"' -Isrc $(WARNINGS) $(HARDENING) $(OPT) \
	$(WITH) $(PKG_CFLAGS) -pthread -MMD -MP $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(HARDENING_LD) $(OPT) -pthread $(LDFLAGS)

SRCS := $(wildcard $(patsubst %,src/%.c,$(ROOMS)))
OBJS := $(SRCS:src/%.c=$(OUT)/%.o)
LIB := $(OUT)/libpenstock.a
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNITS := $(UNIT_SRCS:tests/unit/%.c=$(OUT)/unit/%)
FUZZ_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
FUZZERS := $(FUZZ_SRCS:tests/fuzz/%.c=build/fuzz/%)

.PHONY: systemd needs-systemd bare all run test unit flow fuzz floors keys format format-check lint asan tsan bench install uninstall clean \
	needs-build needs-test needs-fuzz needs-lint needs-bench binary units fuzzers
.DELETE_ON_ERROR:

all: needs-build
	@$(MAKE) --no-print-directory binary

binary: build/penstock
	@:

build/penstock: build/release/penstock
	@cp -f $< $@

run: all
	build/penstock

needs-build:
	$(call need,$(NEEDS_BUILD),to be built)
needs-test:
	$(call need,$(NEEDS_BUILD) $(NEEDS_TEST) $(NEEDS_FUZZ),for its tests)
needs-fuzz:
	$(call need,$(NEEDS_BUILD) $(NEEDS_FUZZ),for its fuzzers)
needs-lint:
	$(call need,$(NEEDS_BUILD) $(NEEDS_LINT),for its checks)
needs-systemd:
	$(call need,$(NEEDS_BUILD) $(NEEDS_SYSTEMD),for the check of its units)
needs-bench:
	$(call need,$(NEEDS_BUILD) $(NEEDS_BENCH),for its benchmark)

# What the flags are stands in the Makefile.
$(OUT)/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(LIB): $(filter-out $(OUT)/main.o,$(OBJS))
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/penstock: $(OUT)/main.o $(LIB)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(LDLIBS)

# ---- tests ------------------------------------------------------------------------------------

PYTEST := /usr/bin/python3 -m pytest
# At a time: most of them wait for something, most of the time.
FLOW_JOBS ?= 4
FUZZ_SECONDS ?= 60
FUZZ_JOBS ?= 2

test: needs-test
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory fuzz-replay
	@$(MAKE) --no-print-directory flow

$(OUT)/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(LIB) $(shell pkg-config --libs cmocka) $(PKG_LIBS)

units: $(UNITS)
	@:

unit: needs-test
	@$(MAKE) --no-print-directory units
	@failed=0; for t in $(UNITS); do $$t || failed=1; done; exit $$failed

flow: needs-test
	@$(MAKE) --no-print-directory $(OUT)/penstock
	@$(if $(filter release,$(VARIANT)),$(MAKE) --no-print-directory VARIANT=plain build/plain/penstock)
	PENSTOCK=$(OUT)/penstock $(PYTEST) -q -p no:cacheprovider -n $(FLOW_JOBS) tests/flow $(FLOW_ARGS)

# Without the libraries that are optional: what they are used for works all the same.
bare: needs-test
	@$(MAKE) --no-print-directory VARIANT=bare unit
	@$(MAKE) --no-print-directory VARIANT=bare flow FLOW_ARGS="-k 'supervisor or sandbox or users or signals'"

asan: needs-test
	@$(MAKE) --no-print-directory VARIANT=asan unit
	@$(MAKE) --no-print-directory VARIANT=asan flow

tsan: export TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp
tsan: needs-test
	@$(MAKE) --no-print-directory VARIANT=tsan unit
	@$(MAKE) --no-print-directory VARIANT=tsan flow

# Exchanges of every shape, broken off anywhere, with reloads in between; then nothing may be left.
# SEED replays one; the soak is an hour of it.
CHURN_SECONDS ?= 120
.PHONY: churn soak
churn: export TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp
churn: needs-test
	@$(MAKE) --no-print-directory $(OUT)/penstock
	tests/churn/churn $(OUT)/penstock --seconds $(CHURN_SECONDS) $(if $(SEED),--seed $(SEED)) $(CHURN_ARGS)

soak: CHURN_SECONDS = 3600
soak: churn

build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c build/fuzz/libpenstock.a
	clang $(ALL_CFLAGS) -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $< build/fuzz/libpenstock.a $(PKG_LIBS)

fuzzers: $(FUZZERS)
	@:

# Every corpus once, which is part of `make test`; then FUZZ_SECONDS of new inputs each, some at a time.
.PHONY: fuzz-replay
fuzz-replay:
	@$(MAKE) --no-print-directory VARIANT=fuzz CC=clang fuzzers
	@for f in $(FUZZERS); do echo "$$f"; $$f -runs=0 tests/fuzz/corpus/$${f##*/fuzz_} 2>build/fuzz/replay.log \
		|| { cat build/fuzz/replay.log; exit 1; }; done

fuzz: needs-fuzz
	@$(MAKE) --no-print-directory fuzz-replay
	@$(MAKE) --no-print-directory -j $(FUZZ_JOBS) $(FUZZERS:=.run)

.PHONY: $(FUZZERS:=.run)
$(FUZZERS:=.run): build/fuzz/fuzz_%.run:
	@mkdir -p build/fuzz/found/$*; echo "build/fuzz/fuzz_$*, $(FUZZ_SECONDS) s"
	@build/fuzz/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -artifact_prefix=build/fuzz/$*- \
		build/fuzz/found/$* tests/fuzz/corpus/$* >build/fuzz/$*.log 2>&1 || { tail -40 build/fuzz/$*.log; exit 1; }

# ---- measuring --------------------------------------------------------------------------------

# PEERS: of haproxy haproxy-copy haproxy-tuned nginx squid tinyproxy trafficserver privoxy, or all.
# WORKS: of those in the report, all by default.  ROUNDS: of each work, 3 by default.
# PENSTOCK: another binary than the one built here.
PEERS ?= haproxy haproxy-copy haproxy-tuned squid tinyproxy
NEEDS_COUNTS := python3 strace valgrind
BENCH_PROGRAMS := build/bench/origin build/bench/limit build/bench/load
MEASURED = $(or $(PENSTOCK),build/penstock)
export WORKS ROUNDS

.PHONY: bench-programs bench-quick bench-rules bench-lists bench-reload counts needs-counts needs-peers

build/bench/%: tests/bench/%.c tests/bench/ground.c tests/bench/ground.h Makefile
	@mkdir -p $(@D)
	$(CC) -O2 -g -std=c11 -D_GNU_SOURCE $(WARNINGS) -o $@ $< tests/bench/ground.c

build/bench/lists build/bench/rules: build/bench/%: tests/bench/%.c build/release/libpenstock.a Makefile
	@mkdir -p $(@D)
	$(CC) -O2 -g -std=c11 -D_GNU_SOURCE -Isrc $(WARNINGS) -o $@ $< build/release/libpenstock.a

bench-programs: $(BENCH_PROGRAMS)
	@:

needs-counts:
	$(call need,$(NEEDS_BUILD) $(NEEDS_COUNTS),to count)
needs-peers:
	@tests/bench/peers/install $(PEERS)

# Everything, in less than ten minutes.
bench: needs-bench needs-peers $(if $(PENSTOCK),,all)
	@$(MAKE) --no-print-directory bench-programs
	@PEERS="$(PEERS)" tests/bench/bench $(MEASURED)

# What matters most, in a minute.
bench-quick: PEERS := haproxy haproxy-copy
bench-quick: needs-bench needs-peers $(if $(PENSTOCK),,all)
	@$(MAKE) --no-print-directory bench-programs
	@PEERS="$(PEERS)" WORKS="$(or $(WORKS),get single fresh tunnel-get tunnel-fresh download)" \
		REPORT=build/bench/quick tests/bench/bench $(MEASURED)

# System calls and instructions of a request, against those recorded.  COUNTS_ARGS=--record keeps them.
counts: needs-counts $(if $(PENSTOCK),,all)
	@$(MAKE) --no-print-directory bench-programs
	@tests/bench/counts $(COUNTS_ARGS) $(MEASURED)

# What a blocklist of a million names costs; fails when that is too much.  SLACK times the limits, on a
# machine that others use too.
SLACK ?= 1
bench-lists: needs-build
	@$(MAKE) --no-print-directory build/bench/lists
	@build/bench/lists 1000000 $(SLACK)

# How much longer requests take while that list is read again, likewise.
bench-reload: needs-bench $(if $(PENSTOCK),,all)
	@$(MAKE) --no-print-directory bench-programs
	@tests/bench/reload $(MEASURED) $(SLACK)

# What judging by many rules costs, likewise.
bench-rules: needs-build
	@$(MAKE) --no-print-directory build/bench/rules
	@build/bench/rules $(SLACK)

# ---- checks -----------------------------------------------------------------------------------

C_FILES = $(shell find src tests -name '*.[ch]')

floors:
	@awk -v rooms="$(ROOMS)" -f tests/floors.awk $(shell find src -name '*.[ch]')

keys: all
	@tests/keys build/penstock

format: needs-lint
	clang-format -i $(C_FILES)

format-check: needs-lint
	clang-format --dry-run -Werror $(C_FILES)

lint: needs-lint
	cppcheck -q --std=c11 --error-exitcode=1 --inline-suppr --enable=warning,portability,performance \
		--suppress=missingIncludeSystem -Isrc src
	clang-tidy --quiet --warnings-as-errors='*' $(SRCS) -- -std=c11 -D_GNU_SOURCE \
		-DPENSTOCK_VERSION='"$(VERSION)"' -Isrc $(WITH) $(PKG_CFLAGS)

# What is installed for systemd, as it judges it: no error, no warning, an exposure of at most 1.5,
# and a user that can be made.
UNITS_ROOT := $(CURDIR)/build/systemd

systemd: needs-systemd
	@rm -rf $(UNITS_ROOT)
	@$(MAKE) --no-print-directory install PREFIX=$(UNITS_ROOT)/usr sysconfdir=$(UNITS_ROOT)/etc
	@set -e; cd $(UNITS_ROOT)/usr/lib/systemd/system; for unit in penstock.service penstock.socket; do \
		echo "systemd-analyze verify $$unit"; status=0; \
		said=$$(systemd-analyze verify --man=no --recursive-errors=no ./$$unit 2>&1) || status=$$?; \
		if [ $$status -ne 0 ] || [ -n "$$said" ]; then echo "$$said"; exit 1; fi; done
	systemd-analyze security --offline=true --threshold=15 --no-pager \
		$(UNITS_ROOT)/usr/lib/systemd/system/penstock.service >$(UNITS_ROOT)/security; \
		status=$$?; grep -v '✓' $(UNITS_ROOT)/security; exit $$status
	systemd-sysusers --root=$(UNITS_ROOT)
	grep '^penstock:' $(UNITS_ROOT)/etc/passwd

# ---- installing -------------------------------------------------------------------------------

PREFIX ?= /usr/local
sysconfdir ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
mandir ?= $(PREFIX)/share/man
sysusersdir ?= $(PREFIX)/lib/sysusers.d
unitdir ?= $(if $(filter /usr,$(PREFIX)),/lib/systemd/system,$(PREFIX)/lib/systemd/system)

install: all
	install -D -m 755 build/penstock $(DESTDIR)$(PREFIX)/sbin/penstock
	@if [ -e $(DESTDIR)$(sysconfdir)/penstock.conf ]; then \
		echo "keeping $(DESTDIR)$(sysconfdir)/penstock.conf; the new sample is beside it as penstock.conf.new"; \
		install -m 644 conf/penstock.conf $(DESTDIR)$(sysconfdir)/penstock.conf.new; \
	else install -D -m 644 conf/penstock.conf $(DESTDIR)$(sysconfdir)/penstock.conf; fi
	@[ -e $(DESTDIR)$(sysconfdir)/logrotate.d/penstock ] || \
		install -D -m 644 conf/penstock.logrotate $(DESTDIR)$(sysconfdir)/logrotate.d/penstock
	@[ -e $(DESTDIR)$(sysconfdir)/fail2ban/filter.d/penstock.conf ] || \
		install -D -m 644 conf/penstock.fail2ban $(DESTDIR)$(sysconfdir)/fail2ban/filter.d/penstock.conf
	install -D -m 644 conf/penstock.8 $(DESTDIR)$(mandir)/man8/penstock.8
	@mkdir -p $(DESTDIR)$(unitdir)
	sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(sysconfdir)|g' systemd/penstock.service \
		> $(DESTDIR)$(unitdir)/penstock.service
	install -m 644 systemd/penstock.socket $(DESTDIR)$(unitdir)/penstock.socket
	install -D -m 644 systemd/penstock.sysusers $(DESTDIR)$(sysusersdir)/penstock.conf

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/penstock $(DESTDIR)$(mandir)/man8/penstock.8 $(DESTDIR)$(unitdir)/penstock.service \
		$(DESTDIR)$(unitdir)/penstock.socket $(DESTDIR)$(sysusersdir)/penstock.conf
	@echo "keeping $(DESTDIR)$(sysconfdir)/penstock.conf and what is of penstock in logrotate.d and fail2ban there"

clean:
	rm -rf build

-include $(OBJS:.o=.d) $(wildcard build/*/unit/*.d build/fuzz/*.d)
