# Builds, tests and installs dsmoe. `make help` lists the targets.
BUILD := build
TRAIN ?= ON
CTEST := ctest --output-on-failure --no-tests=error
# Only this file installs packages; SETUP=: skips that for people who manage their own machine.
SETUP ?= tools/setup

.PHONY: all everything setup setup-check configure test test-fast test-deep test-tsan demo bench format lint floors install uninstall clean help

all: configure ## build the programs, Release; they land in build/bin/
	cmake --build $(BUILD) --target programs

everything: configure ## that, tests and benches
	cmake --build $(BUILD)

setup: ## install missing Debian packages (packages.txt)
	@$(SETUP) base $(if $(filter ON,$(TRAIN)),train)

# Tests run without it, so a machine that cannot install only skips fuzzing and linting, and says so at the end.
setup-check: setup
	@$(SETUP) check || echo "[setup] no clang installed; tests go on without libFuzzer and linters" >&2

configure: setup
	@mkdir -p $(BUILD)
	@cmake --preset release -DDSMOE_TRAIN=$(TRAIN) >$(BUILD)/configure.log 2>&1 || { cat $(BUILD)/configure.log; exit 1; }

test: everything setup-check ## set up, build and pass all tests: also under sanitizers, without LibTorch, fuzzed and linted
	tools/run_tests

test-fast: everything ## the tests of a minute
	cd $(BUILD) && $(CTEST) -L fast

test-deep: everything setup-check ## longer: outside oracles, long fuzzing
	tools/run_tests deep

test-tsan: configure ## the server's room under the thread sanitizer, cold a quarter of an hour of processor time
	cmake --preset tsan >/dev/null
	cmake --build $(BUILD)/tsan --target serve_test
	TSAN_OPTIONS=halt_on_error=1 $(BUILD)/tsan/tests/serve_test

demo: all ## from raw text to a trained, talking model and a report (DEMO_MINUTES=5)
	tools/demo

bench: everything ## figures; see docs/benchmarks
	cd $(BUILD) && for b in bench/*_bench; do ./$$b; done
	[ ! -e $(BUILD)/bin/dsmoe-train ] || $(BUILD)/bin/dsmoe-train bench mini-deepseekmoe train.global_batch=8

format: ## clang-format over the tree
	@$(SETUP) check
	git ls-files 'src/*.h' 'src/*.cpp' 'tests/*.cpp' 'bench/*.cpp' | xargs clang-format-14 -i

lint: configure ## formatting, floors, clang-tidy over the running half
	@$(SETUP) check
	tools/lint all

floors: ## who may include whom
	tools/check_floors

install: all ## programs, docs, manual pages, completion; PREFIX=/usr/local, DESTDIR=
	cmake --install $(BUILD) --prefix $(or $(PREFIX),/usr/local)

uninstall: ## remove what the last install put there
	cmake -DMANIFEST=$(BUILD)/install_manifest.txt -P cmake/uninstall.cmake

clean: ## remove the build
	rm -rf $(BUILD) build-hidden

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20
