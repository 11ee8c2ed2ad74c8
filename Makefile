# Everything that is built, checked, packaged and run. `make help` lists it.
#
# On a fresh Debian 12 only rustup's toolchain has to be there: what else is needed is installed, or named where it may not be.
# What takes long to make once (cargo tools, the real validator, a Debian to install packages on) is kept outside the tree, in
# $SUPERVISOR_CACHE or ~/.cache/validator-supervisor.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The stages share one machine and one target directory: in order, one at a time.
.NOTPARALLEL:

export SUPERVISOR_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/validator-supervisor

stage := tests/support/stage
tools = $$(packaging/install-tools $(1) | tail -n 1)
# One selection of packages and targets, so that nothing is built twice.
both := --locked --package validator-supervisor --package testkit
# Booting a machine to install packages on takes root; building the test does not.
ifneq ($(shell id -u),0)
as_root := --config "target.'cfg(unix)'.runner = ['sudo', '--preserve-env=SUPERVISOR_DEB,SUPERVISOR_CACHE']"
endif

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: packages ## build the program, optimised, as target/release/supervisor
	cargo build --release --locked --bin supervisor

.PHONY: test
test: packages ## format, lints, licences, unit tests, simulation, end-to-end tests, units, package
	@$(stage) format $(MAKE) --no-print-directory format
	@$(stage) compile cargo test --locked --no-run
	@$(stage) tests tests/support/beside tests/support/build-early -- $(MAKE) --no-print-directory test-rust
	@$(stage) lints $(MAKE) --no-print-directory lints
	@$(stage) dependencies $(MAKE) --no-print-directory deny
	@$(stage) units $(MAKE) --no-print-directory test-units
	@$(stage) package $(MAKE) --no-print-directory test-package

.PHONY: test-real
test-real: packages ## votes of real validators through the gate, in Tower BFT and in Alpenglow
	@tests/support/install-packages etcd-server iproute2
	@$(stage) agave tests/real/build-agave
	@bin=$$(tests/real/build-agave | tail -n 1); \
	SUPERVISOR_AGAVE_BIN=$$bin $(stage) real cargo test --locked --test real -- --test-threads=1 --nocapture

.PHONY: steps
steps: packages ## a handover with something failing in every step of it: those that a run of the tests takes some of
	@tests/support/install-packages etcd-server iproute2
	FAULTS_STEPS=all cargo test --locked --test faults -- steps:: an_heir_that_dies --nocapture

.PHONY: handovers
handovers: packages ## many handovers of real validators, and as many moves by hand, in both protocols: make handovers TIMES=20
	@tests/support/install-packages etcd-server iproute2
	@$(stage) agave tests/real/build-agave
	@bin=$$(tests/real/build-agave | tail -n 1); \
	HANDOVERS=$(or $(TIMES),20) SUPERVISOR_AGAVE_BIN=$$bin cargo test --locked --test real every_failover -- --test-threads=1 --nocapture

.PHONY: demo
demo: ## two nodes in a terminal: a handover and what fails, with measured times
	@tests/demo/run

.PHONY: bench
bench: ## what the supervisor costs on this machine, as ratios: make bench PARTS="votes etcd-3"
	@tests/bench/run $(PARTS)

.PHONY: sim
sim: packages ## more of the simulation: make sim SEEDS=100000
	SIM_SEEDS=$(or $(SEEDS),10000) cargo test --locked --test sim -- --nocapture

.PHONY: fuzz
fuzz: packages ## the parsers under a fuzzer, each for a while: make fuzz SECONDS=600
	@fuzz/run $(or $(SECONDS),20)

# Optimised, or it would take ten times as long; the dependencies stay as they are.
.PHONY: model
model: packages ## the model further than the tests go: make model DEPTH=1
	MODEL_DEPTH=$(or $(DEPTH),1) cargo test --locked --config profile.dev.package.validator-supervisor.opt-level=3 --test model -- --nocapture

.PHONY: deb
deb: ## build the Debian package, target/debian/*.deb
	@packaging/build-deb

.PHONY: format
format: ## is everything formatted?
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check

# In a directory of their own, so that they need not wait for the tests, nor the tests for them.
.PHONY: lints
lints: packages ## clippy on every target; warnings are errors
	CARGO_TARGET_DIR=target/lints cargo clippy $(both) --all-targets --test real -- --deny warnings

.PHONY: test-rust
test-rust: packages ## unit tests, simulation and end-to-end tests (as root: some mount disks and drop rights)
	@tests/support/install-packages libcap2-bin etcd-server iproute2
	cargo test --locked --no-fail-fast $(as_root) -- --test-threads=6

.PHONY: deny
deny: packages ## licences, bans and sources of the dependencies
	"$(call tools,cargo-deny)/cargo-deny" --locked check --hide-inclusion-graph licenses bans sources

.PHONY: test-units
test-units: ## does systemd understand the unit and the drop-in?
	@tests/package/verify-units

.PHONY: test-package
test-package: ## the package on a machine with systemd (as root)
	@deb=$$(packaging/build-deb | tail -n 1); \
	tests/support/install-packages debootstrap; \
	SUPERVISOR_DEB=$$deb cargo test --locked $(as_root) --test package -- --test-threads=2

.PHONY: install-tools
install-tools: packages ## install the pinned cargo tools into the cache
	@packaging/install-tools

# What the compilation of the dependencies needs.
.PHONY: packages
packages:
	@tests/support/install-build-packages

.PHONY: clean
clean: ## remove what was built; the cache stays
	cargo clean
	cargo clean --manifest-path fuzz/Cargo.toml
