# What to type; the logic is in scripts/.

.DEFAULT_GOAL := help
.PHONY: setup build check test soak uml golden demo bench help

setup: ## install what the tests and the demo need
	@scripts/setup.sh
build: setup ## build everything
	@swift build --build-tests
check: ## format and hygiene of what is committed
	@scripts/check.sh
test: setup ## build once and run every test, those that need a kernel included
	@scripts/test.sh
soak: ## long tests: random histories, changes of the mode in an emulated machine; the result is kept in docs/soak.txt
	@scripts/setup.sh soak
	@scripts/soak.sh
uml: setup ## suites inside user-mode Linux, a kernel that has IPVS: make uml FILTER=IPVSReadBackTests
	@scripts/uml.sh '$(FILTER)'
golden: ## record the formats of our own under golden/ anew; fails, so that the difference is looked at
	@scripts/golden.sh
demo: setup ## a node, pods and a client on this machine, with real requests
	@scripts/demo.sh
bench: setup ## how long rendering, nf_tables and IPVS take, and what the daemon does in which time and memory
	@scripts/bench.sh
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
