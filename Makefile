# The whole set-up on a fresh Debian 12 machine: each target installs what it needs, and does no
# work twice. `make help` lists them.

SHELL := /bin/bash
JOBS ?= 2
SANITIZE ?=
# Sanitized and release builds live beside the ordinary one.
, := ,
BUILD := build$(if $(SANITIZE),-$(subst $(,),-,$(SANITIZE)))
SUITE ?=
TARGET ?=
MESON_ARGS := $(if $(SANITIZE),-Db_sanitize=$(SANITIZE) -Dbuildtype=debugoptimized)

.PHONY: help setup build demo test kubernetes images test-kernel fuzz perf churn soak clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|'

setup: ## install packages and fetch the pinned sources (asks for root only when something is missing)
	@tools/install-packages
	@tools/fetch-sources

$(BUILD)/build.ninja: | setup
	@meson setup $(BUILD) --native-file tools/clang.ini $(MESON_ARGS)

build: setup $(BUILD)/build.ninja ## build every program
	@ninja -C $(BUILD) -j $(JOBS) programs

demo: build ## the whole story: a mesh of two nodes from a folder of manifests, checked line by line
	@tools/as-root $(BUILD)/cli/weft lab demo examples/shop

test: setup $(BUILD)/build.ninja ## build and run every test (SANITIZE=address,undefined; SUITE=unit)
	@ninja -C $(BUILD) -j $(JOBS)
	@tools/as-root tools/run-tests $(BUILD) $(SUITE)

kubernetes: setup ## the real API server, kubectl, helm, Envoy … for the Kubernetes tests: once, into ~/.cache/weft
	@tools/fetch-kubernetes

images: build ## OCI archives of the programs, in BUILD/images: no daemon, no registry
	@tools/make-images $(BUILD)

test-kernel: setup $(BUILD)/build.ninja ## the kernel facts again, under Debian's 6.1 kernel in QEMU
	@ninja -C $(BUILD) -j $(JOBS) test/kernel/io_uring_facts_test test/kernel/tcp_facts_test ebpf/ebpf_facts_test cli/weft
	@test/kernel/run-in-qemu $(BUILD)

fuzz: setup ## every fuzz target for a minute (FUZZ_SECONDS=60, TARGET=dns)
	@JOBS=$(JOBS) tools/run-fuzzers $(TARGET)

perf: setup ## the figures of perf/README.md, from a release build
	@[ -f build-release/build.ninja ] || meson setup build-release --native-file tools/clang.ini --buildtype=release
	@ninja -C build-release -j $(JOBS) programs benchmarks
	@tools/as-root perf/run build-release
	@if tools/fetch-kubernetes --where >/dev/null 2>&1; then tools/as-root perf/waypoint build-release; \
	  else echo "no Envoy to compare a waypoint with: run 'make kubernetes' first"; fi

churn: build ## pods come and go for a minute, through the agent's socket and through the API server: nothing stays
	@tools/as-root env python3 ebpf/churn.py $(BUILD)/ebpf/weft-agent $(BUILD)/ztunnel/weft-ztunnel
	@tools/as-root env WEFT_BUILD=$(CURDIR)/$(BUILD) python3 test/kubernetes/churn_test.py

soak: build ## gRPC calls of every kind through a waypoint whose configuration changes all the time, for SECONDS (3600)
	@ninja -C $(BUILD) -j $(JOBS) test/grpc/grpc-echo-server test/grpc/grpc-echo-client
	@tools/as-root env WEFT=$(CURDIR)/$(BUILD)/cli/weft WEFT_SOAK=$(or $(SECONDS),3600) python3 test/lab/grpc_test.py

clean: ## remove the build folders
	@rm -rf build build-*
