# The front door. `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := build
RUN_TS := node scripts/run-ts.mjs

.PHONY: help setup build check test prove bench run clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: ## install what build and tests need (Debian packages if root, npm packages)
	@./scripts/setup.sh

build: setup ## write dist/ip-masq-agent.cjs
	@node build.mjs

check: setup ## types, format, lint, dead exports
	@npm run --silent check

test: build ## everything that proves a change, in a few minutes
	@node test/suite.mjs

prove: build ## the same at length: a million fuzz inputs, 200 kills, a soak of 30 minutes, the slow facts, a comparison with Go's decoders
	@./scripts/setup-go.sh
	@node test/suite.mjs --prove

bench: build ## measure start, memory, reactions, storms, and what lists of CIDRs cost
	@$(RUN_TS) bench/bench.ts

run: build ## the main job on real packets in throw-away network namespaces; HOST=1: the agent on this host, until interrupted
	@HOST=$(HOST) $(RUN_TS) demo/run.ts

clean: ## remove what was built
	rm -rf build dist coverage
