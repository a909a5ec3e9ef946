# Sluice: make help lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

MODULES := api source-controller render-controller sync-controller notify-controller e2e

# Tools and the control plane are built once and kept here, outside the work tree.
CACHE := $(or $(SLUICE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sluice)
TOOLS := $(CACHE)/bin
LINT := $(TOOLS)/golangci-lint-v2.15.0
CONTROLLER_GEN := $(TOOLS)/controller-gen-v0.23.0

# One flavour of every package serves build, tests and lint; the race detector needs the other.
export CGO_ENABLED := 0

.PHONY: help
help: ## Lists the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## The main job end to end on a local control plane, from nothing; leaves nothing running
	@go run ./e2e/start demo && bin/e2e demo

.PHONY: up
up: ## Starts the same stack and keeps it running (state in .run/)
	@go run ./e2e/start up && bin/e2e up

.PHONY: down
down: ## Stops what make up started
	@go run ./e2e down

.PHONY: build
build: ## Builds the four controllers and e2e into bin/
	@go run ./e2e/start build

.PHONY: assets
assets: ## Builds etcd, Kubernetes, kwok, helm and nats-server into the cache (minutes, once)
	@go run ./e2e assets

.PHONY: test
test: ## Everything: lint, unit, API server, contract, stories, chart, demo
	@e2e/test.sh

.PHONY: unit
unit: ## The tests that need no API server
	@for m in $(MODULES); do echo "== $$m"; (cd $$m && go test $$(go list ./... | grep -v -e /internal/controller -e /internal/identity -e /internal/apply -e /internal/prune -e /internal/health -e /internal/drift -e /internal/release -e /cluster -e '/e2e$$')); done

.PHONY: lint
lint: $(LINT) ## Formats and rules
	@for m in $(MODULES); do echo "== $$m"; (cd $$m && $(LINT) run --config ../.golangci.yml ./...); done

.PHONY: bench
bench: ## 100 apps of 4 objects: prints a table of figures
	@go run ./e2e/start bench && bin/e2e bench

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Deep copies and CRDs, from the Go types
	@cd e2e/tools/generate && GOWORK=off go build -o $(TOOLS)/generate .
	@$(TOOLS)/generate $(CONTROLLER_GEN)

.PHONY: images
images: build ## One image archive per controller into bin/images/
	@bin/e2e images

$(LINT):
	@mkdir -p $(TOOLS)
	@echo "building golangci-lint (about 2.5 minutes, once)"
	@cd e2e/tools/lint && GOWORK=off go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(CONTROLLER_GEN):
	@mkdir -p $(TOOLS)
	@cd e2e/tools/generate && GOWORK=off go build -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen
