# Build, test and measure orbsd. `make help` lists the targets.
TARGET ?= $(HOME)/.cache/orbsd/target
export CARGO_TARGET_DIR := $(TARGET)
# RocksDB is compiled once for all profiles and targets, through ccache. The compilers are looked up when a recipe runs, after
# `need` has installed ccache: another name for the compiler would compile RocksDB again.
export CC = $(if $(shell command -v ccache 2>/dev/null),ccache cc,cc)
export CXX = $(if $(shell command -v ccache 2>/dev/null),ccache c++,c++)
CARGO ?= cargo

.PHONY: help need run test check deny bench fuzz drill peers snapshots screenshots mirrors lab demo docs deb release packages reproduce

help: ## list the targets
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## /{ printf "  make %-11s %s\n", $$1, $$2 }' Makefile

need: ## install missing packages by apt, and name them
	@sh tests/need.sh develop

run: need ## build, and start the daemon with this folder's configuration and a sample list
	$(CARGO) build --release
	@sh tests/run.sh $(TARGET)/release/orbsd

check: need ## check format, lints, tests without I/O and architecture; takes minutes
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) check --lib --no-default-features --locked
	$(CARGO) check --manifest-path tests/fuzz/Cargo.toml --locked
	$(CARGO) test --lib --no-default-features --locked -q
	$(CARGO) test --test tidy --test architecture --locked -q

peers: ## fetch the servers that tests and benchmarks run, without installing them
	@sh tests/peers.sh $(TARGET)/peers

snapshots: ## renew the snapshots of tests: the help of all commands, the OpenAPI document, the page of metrics, and the schemas of the configuration
	UPDATE_SNAPSHOTS=1 $(CARGO) test --lib --locked -q snapshot

screenshots: need peers ## make pictures of every page of the site, in all languages and on all screens, into TARGET/tmp/browser/pages
	ORBSD_SCREENSHOTS=1 TMPDIR=$$(sh tests/tmpdir.sh) ORBSD_PEERS=$(TARGET)/peers $(CARGO) test --test it --locked -- --include-ignored pictures_of_every_page

deny: ## check licences and sources of all dependencies
	@sh tests/deny.sh $(TARGET)

docs: ## build the book of docs/ into TARGET/book; installs mdbook if it is missing
	@sh tests/docs.sh $(TARGET)

# Integration tests spend most of their time waiting for sockets and timeouts.
THREADS ?= $(shell echo $$((2 * $$(nproc))))
test: check peers deny ## run all tests but the long ones: units, properties, scenarios on every transport, faults, real peers
	TMPDIR=$$(sh tests/tmpdir.sh) $(CARGO) test --lib --locked -q
	TMPDIR=$$(sh tests/tmpdir.sh) ORBSD_PEERS=$(TARGET)/peers $(CARGO) test --test it --locked -- --include-ignored --skip drill --test-threads=$(THREADS)
	@cat $(TARGET)/tmp/relay-matrix.txt
	@if [ "$$(id -u)" = 0 ]; then TMPDIR=$$(sh tests/tmpdir.sh) sh tests/packages/run.sh $(TARGET)/debug/orbsd $(TARGET)/peers/roots bookworm; \
	else echo "skipped: the tests of packages need root; run: sudo make packages"; fi

bench: need peers ## compare with rbldnsd, hickory-server, an echo server and NSD in one run; writes RESULTS.md, FAMILIES.md, TRANSFERS.md, LATENCY.md, API.md, RELAY.md, SITE.md, LOGINS.md, RULES.md, QUALITY.md and COMPARISON.md of benches/
	$(CARGO) build --release --bins --examples --locked
	$(CARGO) bench --bench pure --locked -- --noplot
	ORBSD_PEERS=$(TARGET)/peers python3 benches/compare.py $(TARGET)
	ORBSD_PEERS=$(TARGET)/peers python3 benches/families.py $(TARGET)
	ORBSD_PEERS=$(TARGET)/peers python3 benches/transfers.py $(TARGET)
	python3 benches/latency.py $(TARGET)
	python3 benches/api.py $(TARGET)
	python3 benches/relay.py $(TARGET)
	python3 benches/site.py $(TARGET)
	python3 benches/logins.py $(TARGET)
	python3 benches/rules.py $(TARGET)
	python3 benches/quality.py $(TARGET)
	python3 benches/comparison.py $(TARGET)

fuzz: need ## fuzz every decoder, ten million runs each
	@sh tests/fuzz/run.sh

drill: need peers ## run the long tests: ten million entries, hours of faults, OpenSMTPD and sendmail
	$(CARGO) build --release
	ORBSD_PEERS=$(TARGET)/peers ORBSD_DRILL=1 $(CARGO) test --release --test it --locked -- --ignored --test-threads=1 drill

lab: need peers ## show relay tests in a closed network, from nomination to release; then the lists that stood beside ORBS
	$(CARGO) build --release --bins --locked
	@python3 tests/demo/lab.py $(TARGET)/release/orbsd $(TARGET)/peers
	@python3 tests/demo/companions.py $(TARGET)/release/orbsd

demo: need ## show the public site with made-up entries and four mail servers of its own; needs no privileges
	$(CARGO) build --release --bins --locked
	@python3 tests/demo/site.py $(TARGET)/release/orbsd

# The size of the zone of `make mirrors`; for example: make mirrors N=1000000
N ?= 10000000
mirrors: need peers ## show the lag of NSD and Knot as mirrors of a zone of N addresses (10000000)
	$(CARGO) build --release --bins --locked
	ORBSD_PEERS=$(TARGET)/peers python3 tests/demo/mirrors.py $(TARGET) $(N)

ARCH ?= $(shell dpkg --print-architecture 2>/dev/null)
# The version of the package of a commit that is not a release.
DEB_VERSION ?= $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)-1
DEBS ?= $(TARGET)/debs
deb: need ## make the Debian package of this commit, in DEBS (TARGET/debs)
	@sh tests/need.sh deb
	@program=$$(sh packaging/build.sh $(TARGET) $(ARCH)) && sh packaging/deb.sh "$$program" $(DEB_VERSION) $(ARCH) $(DEBS)

# A release of another architecture than this machine's needs a cross compiler, which tests/need.sh installs.
OUT ?= $(TARGET)/release-$(VERSION)-$(ARCH)
release: need ## make the artefacts of a release from its tag: make release VERSION=0.2.0 [ARCH=arm64]
	@BINARY=$(BINARY) sh packaging/release.sh "$(VERSION)" "$(ARCH)" $(TARGET) $(OUT)

# The Debian releases on which packages are tested, the one on which they are built first.
SUITES ?= bookworm trixie
packages: need ## test artefacts of a release on Debian 12 and 13; BINARY= is a ready program; needs root
	@BINARY=$(BINARY) sh tests/packages/release.sh $(TARGET) $(SUITES)

reproduce: need ## make the artefacts of this commit twice, at different paths, and compare them; needs root
	@sh tests/packages/reproduce.sh $(TARGET)/reproduce
