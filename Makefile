# The front door. `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := build
RUN_TS := node scripts/run-ts.mjs

# Where images go, as in REGISTRY=registry.example.com/network; the tool that makes them: buildah, podman or docker.
REGISTRY ?= localhost
CONTAINER_TOOL ?=
# The base image's digest, as in BASE_DIGEST=@sha256:0123...
BASE_DIGEST ?=
# More for the tool, as in BUILD_FLAGS=--no-cache PUSH_FLAGS=--tls-verify=false
BUILD_FLAGS ?=
PUSH_FLAGS ?=
# How layers are compressed, as in COMPRESS_FLAGS="--compression-format=zstd --compression-level=11" (docs/install.md, The image)
COMPRESS_FLAGS ?=
IMAGE = REGISTRY="$(REGISTRY)" CONTAINER_TOOL="$(CONTAINER_TOOL)" BASE_DIGEST="$(BASE_DIGEST)" BUILD_FLAGS="$(BUILD_FLAGS)" PUSH_FLAGS="$(PUSH_FLAGS)" COMPRESS_FLAGS="$(COMPRESS_FLAGS)" ./scripts/image.sh

.PHONY: help setup npm-setup unit build all-build check test golden prove bench e2e run container all-container push all-push image-test sbom npm-package release-check release-build release-push release-npm \
	release-page release-dry version clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## install what build and tests need (Debian packages if root, npm packages)
	@./scripts/setup.sh

npm-setup:
	@./scripts/setup.sh --npm

build: setup ## write dist/ip-masq-agent.cjs
	@node build.mjs

all-build: setup ## the same with the addon for both platforms, linux-x64 and linux-arm64 (needs gcc for both; why no others: docs/install.md)
	@PLATFORMS="linux-x64 linux-arm64" node build.mjs

check: setup ## types, format, lint, dead exports
	@npm run --silent check

unit: npm-setup ## run the unit tests (half a minute): without root, Debian packages or a build
	@npx vitest run --project unit

test: build ## run all checks and tests (about five minutes)
	@node test/suite.mjs

golden: build ## write the files that are made from others: golden files, schema/, docs/, deploy/ (then look at `git diff`)
	@npm run --silent golden

prove: build ## the same at length: a million fuzz inputs, 200 kills, a soak of 30 minutes, the slow facts, a comparison with Go's decoders
	@./scripts/setup-go.sh
	@node test/suite.mjs --prove

bench: build ## measure start, memory, reactions, the cost of lists of CIDRs, and how full source ports may be; docs/internals/performance.md: side by side with another version
	@$(RUN_TS) bench/bench.ts

e2e: build ## install, change, upgrade and remove the agent on a real cluster, which LOAD_IMAGE, ON_NODE (and KUBECTL) name
	@E2E=$(if $(E2E_CHURN),churn,1) npx vitest run --bail=1 --no-file-parallelism test/e2e --disable-console-intercept

run: build ## the main job on real packets in throw-away network namespaces; HOST=1: the agent on this host, until interrupted
	@HOST=$(HOST) $(RUN_TS) demo/run.ts

container: ## build the image for this machine: $(REGISTRY)/ip-masq-agent:VERSION
	@$(IMAGE) build

all-container: ## build the images for amd64 and arm64: $(REGISTRY)/ip-masq-agent-ARCH:VERSION
	@$(IMAGE) build amd64 arm64

push: container ## push the image for this machine
	@$(IMAGE) push

all-push: all-container ## push both images, and a list of them as $(REGISTRY)/ip-masq-agent:VERSION
	@$(IMAGE) push amd64 arm64

image-test: build ## build the image from this tree and try it in containers; rehearse a release (needs root, buildah, podman, runc)
	@IMAGE_TEST=1 npx vitest run test/image test/package/rehearsal

sbom: npm-setup ## write dist/ip-masq-agent.cdx.json, a CycloneDX list of the npm packages in the bundle
	@mkdir -p dist
	@npm sbom --package-lock-only --sbom-format cyclonedx --sbom-type application --omit dev >dist/ip-masq-agent.cdx.json

npm-package: build ## pack the npm package as it is published, into build/
	@$(RUN_TS) scripts/release/release.ts pack

# A release, which a tag starts (.github/workflows/release.yaml, docs/internals/release.md): each target is a step of it.
release-check: npm-setup ## say what keeps this commit from being released
	@$(RUN_TS) scripts/release/release.ts check

release-build: npm-setup ## make all that is published, in dist/release, and push nothing
	@$(RUN_TS) scripts/release/release.ts build

release-push: npm-setup ## sign images and chart and push them; the names last
	@$(RUN_TS) scripts/release/release.ts push

release-npm: npm-setup ## publish the npm package
	@$(RUN_TS) scripts/release/release.ts npm

release-page: npm-setup ## make the page of the release on GitHub
	@$(RUN_TS) scripts/release/release.ts page

release-dry: npm-setup ## rehearse a release: a registry on the loopback, and a key that is thrown away
	@$(RUN_TS) scripts/release/release.ts dry

version: ## print the version: the newest tag, the distance from it, and whether the tree is dirty
	@node scripts/version.mjs

clean: ## remove what was built
	rm -rf build dist coverage
