# orbsd. `make help` says what there is.
TARGET ?= $(HOME)/.cache/orbsd/target
export CARGO_TARGET_DIR := $(TARGET)
# RocksDB is compiled once for all profiles and targets, through ccache. The compilers are looked up when a recipe runs, after
# `need` has installed ccache: another name for the compiler would compile RocksDB again.
export CC = $(if $(shell command -v ccache 2>/dev/null),ccache cc,cc)
export CXX = $(if $(shell command -v ccache 2>/dev/null),ccache c++,c++)
CARGO ?= cargo

.PHONY: help need run test check deny bench fuzz drill peers mirrors lab

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## /{ printf "  make %-8s %s\n", $$1, $$2 }' Makefile

need: ## installs what is missing to build (by apt, saying so)
	@sh tests/need.sh

run: need ## builds and starts the daemon with this folder's configuration and a small sample list
	$(CARGO) build --release
	@sh tests/run.sh $(TARGET)/release/orbsd

check: need ## format, lints, pure layers, house rules: minutes
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) check --lib --no-default-features --locked
	$(CARGO) test --lib --no-default-features --locked -q
	$(CARGO) test --test tidy --test architecture --locked -q

peers: ## fetches the servers that tests and benches run, without installing them
	@sh tests/peers.sh $(TARGET)/peers

deny: ## licences and sources of all dependencies
	@sh tests/deny.sh $(TARGET)

test: check peers deny ## everything: units, properties, scenarios on every front, faults, real peers
	ORBSD_PEERS=$(TARGET)/peers $(CARGO) test --locked
	@cat $(TARGET)/tmp/relay-matrix.txt

bench: need peers ## measures against rbldnsd, an echo and NSD in one run; writes benches/RESULTS.md, TRANSFERS.md, API.md, RELAY.md
	$(CARGO) build --release --bins --examples --locked
	$(CARGO) bench --bench pure --locked -- --noplot
	ORBSD_PEERS=$(TARGET)/peers python3 benches/compare.py $(TARGET)
	ORBSD_PEERS=$(TARGET)/peers python3 benches/transfers.py $(TARGET)
	python3 benches/api.py $(TARGET)
	python3 benches/relay.py $(TARGET)

fuzz: need ## ten million executions of every decoder
	@sh tests/fuzz/run.sh

drill: need peers ## the long ones: ten million entries, hours of faults, OpenSMTPD and sendmail
	$(CARGO) build --release
	ORBSD_PEERS=$(TARGET)/peers ORBSD_DRILL=1 $(CARGO) test --release --test it --locked -- --ignored --test-threads=1

lab: need peers ## a closed network of mail servers, a collector and a mirror: relay tests from nomination to release
	$(CARGO) build --release --bins --locked
	@python3 tests/demo/lab.py $(TARGET)/release/orbsd $(TARGET)/peers

# The size of the zone that `make mirrors` shows: make mirrors N=1000000
N ?= 10000000
mirrors: need peers ## a zone of N addresses (10000000), NSD and Knot as its mirrors, and how far they lag
	$(CARGO) build --release --bins --locked
	ORBSD_PEERS=$(TARGET)/peers python3 tests/demo/mirrors.py $(TARGET) $(N)
