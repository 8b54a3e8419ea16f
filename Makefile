# Softmesh. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

VENV ?= .venv
PY := $(VENV)/bin/python
PYTHON ?= python3

# Debian packages: Python's own tools; namespaces, captures and guards, the route reflector, strongSwan.
PYTHON_PACKAGES := python3 python3-venv
LAB_PACKAGES := iproute2 iputils-ping util-linux tcpdump nftables bird2 openssl \
    charon-systemd strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins
# A kernel with ESP, AH and the tunnels, as a process; another with XFRM interfaces, L2TPv3 and nftables too, in qemu.
VM_PACKAGES := user-mode-linux kmod qemu-system-x86 busybox-static cpio xz-utils
# Other releases of Debian, to run their daemons out of.
ROOT_PACKAGES := debootstrap

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: packages venv ## Show the main job on real daemons (root; sets everything up)
	lab/sandbox $(CURDIR)/$(PY) -m lab.demo

.PHONY: test
test: packages venv lint test-unit test-daemons test-vm ## Everything CI runs (root; sets everything up)

.PHONY: test-unit
test-unit: venv ## Unit and property tests: neither root nor daemons
	$(PY) -m pytest tests/unit tests/property

# Each in a sandbox of its own, three at once: real daemons mostly wait. The output of each comes in one piece.
.PHONY: test-daemons test-lab-first test-lab-second
test-daemons: packages venv roots .venv-exabgp42/.installed ## test-lab, test-faults and test-releases (root)
	$(MAKE) --jobs=3 --output-sync=target test-lab-first test-lab-second test-faults test-releases
test-lab-first:
	lab/sandbox $(CURDIR)/$(PY) -m pytest -v tests/lab/test_[a-e]*.py
test-lab-second:
	lab/sandbox $(CURDIR)/$(PY) -m pytest -v tests/lab/test_[!a-e]*.py

.PHONY: test-lab
test-lab: packages venv .venv-exabgp42/.installed ## Lab tests: real daemons in network namespaces (root)
	lab/sandbox $(CURDIR)/$(PY) -m pytest -v tests/lab

.PHONY: test-faults
test-faults: packages venv ## Every part stopped, killed and hung, at rest and while converging, as a table (root)
	lab/sandbox $(CURDIR)/$(PY) -m pytest -v tests/faults

.PHONY: test-releases
test-releases: packages venv roots .venv-exabgp42/.installed ## Reflectors and strongSwan of Debian 12, 13 and testing (root)
	lab/sandbox $(CURDIR)/$(PY) -m pytest -v tests/releases

# A failure leaves a file to have it again: make soak REPLAY=FILE
.PHONY: soak
soak: packages venv ## Random events against a mesh of real daemons for MINUTES (default 30), SEED=n to have one again (root)
	lab/sandbox $(CURDIR)/$(PY) -m lab.soak --minutes $(or $(MINUTES),30) $(and $(SEED),--seed $(SEED)) $(and $(REPLAY),--replay $(REPLAY))

# Guests are slow and use one core each: several at once, each with its output in one piece.
GUEST_TESTS := -v --timeout=900 -p no:cacheprovider -p no:hypothesispytest
MACHINE := LAB_GUEST_SECONDS=1800 lab/machine $(CURDIR)/$(PY) -m pytest $(GUEST_TESTS)

.PHONY: test-vm test-vm-uml test-vm-ipv6 test-vm-ipv4 test-vm-guards
test-vm: packages venv .kernel/.installed ## The same on kernels with ESP and tunnels: user-mode-linux, and qemu (root)
	$(MAKE) --jobs=2 --output-sync=target test-vm-uml test-vm-ipv6 test-vm-ipv4 test-vm-guards
test-vm-uml:
	LAB_GUEST_SECONDS=1800 lab/guest $(CURDIR)/$(PY) -m pytest $(GUEST_TESTS) tests/vm
test-vm-ipv6:
	$(MACHINE) tests/machine/test_softwires.py -k IPv6
test-vm-ipv4:
	$(MACHINE) tests/machine/test_softwires.py -k IPv4
test-vm-guards:
	$(MACHINE) tests/machine --ignore=tests/machine/test_softwires.py

.PHONY: evidence
evidence: ## Run test-vm and write docs/shown.md from what it showed (root)
	log=$$(mktemp)
	$(MAKE) test-vm | tee "$$log"
	$(PY) -m lab.evidence "$$log" > docs/shown.md
	rm "$$log"

.PHONY: tables
tables: ## Run test-faults and test-releases and write docs/faults.md, support.md and reflectors.md (root)
	log=$$(mktemp)
	$(MAKE) test-faults test-releases | tee "$$log"
	$(PY) -m lab.fault_table "$$log"
	$(PY) -m lab.support_table "$$log"
	$(PY) -m lab.reflector_table "$$log"
	rm "$$log"

.PHONY: lint
lint: venv ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

.PHONY: picture
picture: packages venv ## Draw docs/mesh.svg, record docs/demo.txt and the README's transcript (root)
	lab/sandbox $(CURDIR)/$(PY) -m lab.picture docs/mesh.svg
	lab/sandbox $(CURDIR)/$(PY) -m lab.demo | tee docs/demo.txt
	$(PY) -m lab.transcript

.PHONY: fuzz
fuzz: venv ## Hostile input to every parser for MINUTES (default 5)
	$(PY) -m fuzz $(or $(MINUTES),5)

.PHONY: bench
bench: packages venv ## Benchmarks: decode, fold, hook, converge (root)
	$(PY) -m bench.decode
	$(PY) -m bench.fold
	lab/sandbox $(CURDIR)/$(PY) -m bench.hook
	lab/sandbox $(CURDIR)/$(PY) -m bench.converge

.PHONY: venv
venv: $(VENV)/.installed ## The Python environment in .venv, from PyPI

$(VENV)/.installed: pyproject.toml
	@echo "installing Python parts into $(VENV) from PyPI: see dependencies in pyproject.toml"
	# Debian splits ensurepip off into python3-venv; say so instead of a traceback.
	$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: apt-get install $(PYTHON_PACKAGES)" >&2; exit 1; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

.venv-exabgp42/.installed:
	@echo "installing ExaBGP 4.2.25 into .venv-exabgp42 from PyPI: the oldest release the hook is tested with"
	$(PYTHON) -m venv .venv-exabgp42
	.venv-exabgp42/bin/pip install --quiet --disable-pip-version-check exabgp==4.2.25
	touch $@

.PHONY: kernel
kernel: .kernel/.installed ## Debian's kernel for lab/machine, in .kernel; it is not installed (root)

.kernel/.installed: lab/machine-kernel lab/machine-init | packages
	lab/machine-kernel .kernel

.PHONY: roots
roots: .roots/bookworm/usr .roots/trixie/usr .roots/forky/usr ## Debian 12, 13 and testing in .roots, for their daemons (root)

.roots/%/usr: | packages
	lab/debian-root $* .roots/$*

.PHONY: packages
packages: ## The Debian packages a lab needs (root; nothing is started)
	@installed=$$(dpkg-query -W -f '$${Package} $${db:Status-Status}\n' 2>/dev/null | awk '$$2 == "installed" { print $$1 }')
	missing=$$(comm -13 <(sort -u <<< "$$installed") <(printf '%s\n' $(PYTHON_PACKAGES) $(LAB_PACKAGES) $(VM_PACKAGES) $(ROOT_PACKAGES) | sort))
	[ -n "$$missing" ] || exit 0
	[ "$$(id -u)" = 0 ] || { echo "missing Debian packages; as root: apt-get install" $$missing >&2; exit 1; }
	echo "installing Debian packages:" $$missing
	# BIRD and strongSwan are for the lab's namespaces: keep the host from starting them as services.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
	    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
	    chmod +x /usr/sbin/policy-rc.d
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing

.PHONY: clean
clean: ## Remove what make made
	rm -rf $(VENV) .venv-exabgp42 .kernel .roots .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
