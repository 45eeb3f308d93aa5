# Thin names over hack/: each target is one command that works alone.
.PHONY: help demo test check unit integration e2e generate up down

help: ## Show this list
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: ## Bring up a cluster, install the operator, run the example, show its results
	@hack/demo

test: ## Run everything: checks, unit, integration and end-to-end tests
	@hack/test

check: ## Format, lint, types, layers, generated files
	@hack/check

unit: ## Unit tests only, in seconds
	@hack/test unit

integration: ## Integration tests only: a real API server with simulated nodes
	@hack/test integration

e2e: ## End-to-end tests only: the chart on a real node
	@hack/test e2e

generate: ## Write the CRDs from the models
	@hack/generate

up: ## Cluster, images and operator, without the example
	@hack/install

down: ## Remove the clusters that the other targets started
	@hack/cluster down
	@hack/cluster down --name test
