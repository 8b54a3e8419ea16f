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
# Shells and manual pages, a browser for the web page, promtool for the rules of alerts, and Prometheus itself.
SEEN_PACKAGES := chromium groff-base fish zsh prometheus
# A kernel with ESP, AH and the tunnels, as a process; another with XFRM interfaces, L2TPv3 and nftables too, in qemu.
VM_PACKAGES := user-mode-linux kmod qemu-system-x86 busybox-static cpio xz-utils
# Debian 13 has docker's command in a package of its own.
CONTAINER_PACKAGES := docker.io docker-compose iptables $(shell . /etc/os-release; [ $${VERSION_ID:-13} -lt 13 ] || echo docker-cli)
DEB_PACKAGES := debhelper dpkg-dev fakeroot lintian
# Other releases of Debian, to run their daemons out of.
ROOT_PACKAGES := debootstrap

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: lab-packages venv ## Show the main job on real daemons (root; sets everything up)
	lab/sandbox $(CURDIR)/$(PY) -m lab.demo

.PHONY: test
test: packages venv lint test-unit site test-daemons test-vm ## Everything CI runs (root; sets everything up)

.PHONY: test-unit
test-unit: venv ## Unit and property tests: no root, no daemons; promtool
	$(PY) -m pytest tests/unit tests/property

# Each in a sandbox of its own, three at once: real daemons mostly wait. The output of each comes in one piece, and one
# that fails does not keep the others from saying what they have found.
.PHONY: test-daemons test-lab-first test-lab-second
test-daemons: packages venv roots .venv-exabgp42/.installed ## test-lab, -faults, -releases, -packages and -containers (root)
	LAB_PATIENCE=3 $(MAKE) --jobs=3 --keep-going --output-sync=target test-lab-first test-lab-second test-packages \
	    test-containers test-faults test-releases
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
	$(MAKE) --jobs=2 --keep-going --output-sync=target test-vm-uml test-vm-ipv6 test-vm-ipv4 test-vm-guards
test-vm-uml:
	LAB_GUEST_SECONDS=1800 lab/guest $(CURDIR)/$(PY) -m pytest $(GUEST_TESTS) tests/vm
test-vm-ipv6:
	$(MACHINE) tests/machine/test_softwires.py -k IPv6
test-vm-ipv4:
	$(MACHINE) tests/machine/test_softwires.py tests/machine/test_moves.py -k 'IPv4 or test_moves'
test-vm-guards:
	$(MACHINE) tests/machine --ignore=tests/machine/test_softwires.py --ignore=tests/machine/test_moves.py

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

CODENAME := $(shell . /etc/os-release && echo $$VERSION_CODENAME)

.PHONY: wheel
wheel: venv ## The wheel, in dist; what it is built with comes from PyPI
	$(PY) -m build --wheel --outdir dist .

# Of a copy, without what else lies about in a checkout.
.PHONY: deb
deb: ## The Debian package for this machine's release, in dist; its Python parts come from PyPI
	lab/debian-packages $(PYTHON_PACKAGES) $(DEB_PACKAGES)
	build=$$(mktemp -d)
	trap 'rm -rf "$$build"' EXIT
	mkdir -p "$$build/softmesh" dist
	tar -c --exclude=__pycache__ bridge debian docs/examples exabgp monitoring share strongswan systemd CHANGELOG.md LICENSE README.md \
	    pyproject.toml | tar -x -C "$$build/softmesh"
	(cd "$$build/softmesh" && dpkg-buildpackage -d -us -uc -b)
	lintian --allow-root --fail-on error,warning "$$build"/*.deb
	cp "$$build"/*.deb dist/

.PHONY: test-packages
test-packages: packages venv .roots/$(CODENAME)/usr ## Wheel and package installed, run, upgraded, removed, under a real systemd (root)
	$(MAKE) wheel deb
	lab/sandbox --online $(CURDIR)/$(PY) -m pytest -v tests/packaging

.PHONY: images
images: packages ## Build the container images in a Docker Engine of their own, in .docker (root)
	lab/engine sh -c 'lab/debian-image bookworm && containers/images/build'

.PHONY: test-containers
test-containers: packages venv ## Build the images, and run their mesh in a Docker Engine of its own (root)
	$(MAKE) images
	lab/sandbox lab/engine $(CURDIR)/$(PY) -m pytest -v tests/containers

.PHONY: test-containerlab
test-containerlab: packages venv .containerlab/containerlab ## Deploy the containerlab topologies, write docs/containerlab.txt (root; needs Go)
	$(MAKE) images
	lab/sandbox lab/engine $(CURDIR)/$(PY) -m lab.topologies | tee docs/containerlab.txt

.containerlab/containerlab: lab/containerlab/build lab/containerlab/netaddr/netaddr.go
	lab/containerlab/build .containerlab

.PHONY: show
show: lab-packages venv ## A mesh that stays up, its page at http://127.0.0.1:8180 (or PORT=n), until Ctrl-C (root)
	$(PY) -m lab.show $(and $(PORT),--port $(PORT))

.PHONY: site
site: venv ## The documents as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

.PHONY: reference
reference: venv ## Write what is made of the code: options, states, metrics, log events, manual pages, completion
	$(PY) -m reference

.PHONY: tutorial
tutorial: packages venv ## Run the documents that can be run, and record what they print (root)
	$(PY) -m lab.tutorial

.PHONY: screens
screens: packages venv ## Draw docs/screens: the web page and the live view, of real meshes (root)
	lab/sandbox $(CURDIR)/$(PY) -m lab.screens docs/screens
	lab/sandbox $(CURDIR)/$(PY) -m lab.terminal_screens $(CURDIR)/docs/screens

.PHONY: picture
picture: packages venv ## Draw docs/mesh.svg, record docs/demo.txt and the README's transcript (root)
	lab/sandbox $(CURDIR)/$(PY) -m lab.picture docs/mesh.svg
	lab/sandbox $(CURDIR)/$(PY) -m lab.demo | tee docs/demo.txt
	$(PY) -m lab.transcript

.PHONY: fuzz
fuzz: venv ## Hostile input to every parser for MINUTES (default 5)
	$(PY) -m fuzz $(or $(MINUTES),5)

.PHONY: bench
bench: packages venv ## Benchmarks: decode, fold, observe, scrape, hook, converge (root)
	$(PY) -m bench.decode
	$(PY) -m bench.fold
	$(PY) -m bench.observe
	$(PY) -m bench.scrape
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

.PHONY: packages lab-packages
packages: ## The Debian packages that all of this needs (root; nothing is started)
	lab/debian-packages $(PYTHON_PACKAGES) $(LAB_PACKAGES) $(SEEN_PACKAGES) $(VM_PACKAGES) $(CONTAINER_PACKAGES) \
	    $(DEB_PACKAGES) $(ROOT_PACKAGES)
lab-packages:
	lab/debian-packages $(PYTHON_PACKAGES) $(LAB_PACKAGES)

.PHONY: clean
clean: ## Remove what make made
	rm -rf $(VENV) .venv-exabgp42 .kernel .roots .mypy_cache .pytest_cache .ruff_cache .hypothesis dist site .docker .containerlab
