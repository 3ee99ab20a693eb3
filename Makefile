# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
#   make demo    see it work, on a throw-away host in a namespace of its own (root not needed)
#   make test    linters, Ansible's own checkers and all tests
#   make fuzz    the properties with fifty times as many examples, drawn anew (FUZZ_TIMES=50); for a night
#   make checkers  ansible-test sanity, units and integration, and what Galaxy checks at an import
#   make docs    the pages and the reference as a site, .cache/docs/html/index.html
#   make molecule  the scenarios of molecule/, on hosts in namespaces
#   make versions  a telling part of the tests, with the oldest releases of everything
#   make bench   measure: docs/benchmark.md, its plot and the README's rows, in some twenty minutes
#   make setup   what the targets above need; they call it themselves
#   make clean   remove everything that make has made
#
# As root on Debian or Ubuntu, missing packages are installed; as an ordinary user they are named.

SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
RUN := $(CURDIR)/$(VENV)/bin
# Of the Pythons that a developer's PATH may lead to, ansible-test would try each.
TOOLS := PATH="$(RUN):/usr/sbin:/usr/bin:/sbin:/bin"
TREE := .build/ansible_collections/hostnet/docker
WORKERS ?= 2
ROOT := $(filter 0,$(shell id -u))
ROOTS := $(if $(ROOT),bookworm trixie bullseye)
CELLS := $(basename $(notdir $(wildcard tests/versions/*.txt)))

export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.build
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs checkers sanity units integration galaxy pytest fuzz molecule versions supplies bench clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(VENV)/.test $(TREE) supplies

demo: $(VENV)/.demo $(TREE)
	@$(RUN)/python demo/demo.py

test: lint docs checkers pytest

pytest: $(VENV)/.test $(TREE) supplies .cache/awx .cache/ee
	$(RUN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

fuzz: $(VENV)/.test $(TREE)
	HOSTNET_FUZZ=$(or $(FUZZ_TIMES),50) $(RUN)/python -m pytest -n $(WORKERS) -m fuzz $(PYTEST_ARGS)

versions: $(VENV)/.test $(TREE) supplies
	$(RUN)/python -m pytest -n $(WORKERS) tests/integration/test_versions.py

# The collection awx.awx, out of the bundle of collections that the Python package index has.
.cache/awx: $(VENV)/.test
	rm -rf .cache/bundle $@
	$(RUN)/python -m pip --disable-pip-version-check download -q --no-deps --dest .cache/bundle 'ansible==12.*'
	$(RUN)/python -c 'import glob, zipfile; bundle = zipfile.ZipFile(*glob.glob(".cache/bundle/*.whl")); \
	bundle.extractall("$@", [name for name in bundle.namelist() if name.startswith("ansible_collections/awx/")])'
	rm -rf .cache/bundle

# What the execution environment installs by pip, and bindep, which installs the rest of it.
.cache/ee: awx/execution-environment.yml $(VENV)/.test
	rm -rf $@
	-$(RUN)/python -m pip --disable-pip-version-check download -qq --dest $@ bindep $$(sed -n 's/^ *package_pip: //p' $<)

lint: $(VENV)/.test $(TREE) .cache/awx
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy plugins/module_utils plugins/plugin_utils tools
	$(RUN)/yamllint --strict .
	PATH="$(RUN):$$PATH" ANSIBLE_COLLECTIONS_PATH="$$ANSIBLE_COLLECTIONS_PATH:$(CURDIR)/.cache/awx" $(RUN)/ansible-lint --offline -q
	$(RUN)/antsibull-changelog lint
	$(TOOLS) antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs all --disallow-unknown-collection-refs .

# Built in a copy, whose pages lie among the reference; a warning is an error.
docs: $(VENV)/.test $(TREE)
	rm -rf .cache/docs
	install -d -m 700 .cache/docs/source/reference
	cp -r docs README.md CONTRIBUTING.md CHANGELOG.md LICENSE docs/site/* .cache/docs/source
	$(TOOLS) antsibull-docs collection --use-current --squash-hierarchy --dest-dir .cache/docs/source/reference hostnet.docker
	$(RUN)/sphinx-build -q -W --keep-going -b html .cache/docs/source .cache/docs/html

checkers: sanity units integration galaxy

sanity units: $(VENV)/.test
	$(TOOLS) sh tools/ansible_test.sh $@ --color no $(ANSIBLE_TEST_ARGS)

integration: $(VENV)/.test
	$(TOOLS) python tools/sandbox.py sh tools/ansible_test.sh $@ --color no --allow-destructive $(ANSIBLE_TEST_ARGS)

# The importer writes its result where it runs.
galaxy: $(VENV)/.test
	rm -rf .cache/galaxy
	$(TOOLS) ansible-galaxy collection build --output-path .cache/galaxy .
	cd .cache/galaxy && $(TOOLS) python -m galaxy_importer.main *.tar.gz

# Servers with root file systems of their own need root.
molecule: $(VENV)/.test $(TREE)
	PATH="$(RUN):$$PATH:/usr/sbin" molecule test $(or $(MOLECULE_ARGS),--all$(if $(ROOT),, --exclude distros))

bench: $(VENV)/.test $(TREE)
	sh tools/setup.sh bench "$(PYTHON)"
	@$(RUN)/python -m benchmarks $(BENCH_ARGS)

clean:
	rm -rf $(VENV) .build .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What tests find ready, because they have no network themselves: root file systems, and other releases of libraries.
# What cannot be had is a skip of the tests that need it, and in CI a failure.
supplies: $(VENV)/.test
	@$(MAKE) --no-print-directory --jobs=2 $(ROOTS:%=.cache/roots/%) $(CELLS:%=.cache/versions/%/.made)

.cache/roots/bullseye: | tools/root.sh
	-sh tools/root.sh bullseye .cache/roots iptables nftables conntrack

.cache/roots/%: | tools/root.sh
	-sh tools/root.sh $* .cache/roots

# For a Python that is not this machine's: only what its tests import.
.cache/versions/python%/.made: tests/versions/python%.txt $(VENV)/.test
	rm -rf $(@D)
	-$(RUN)/python -m pip --disable-pip-version-check install -qq --only-binary=:all: --python-version $* \
	    --target $(@D) --requirement $< && \
	cp -R "$$($(RUN)/python -c 'import ansible; print(ansible.__path__[0])')" $(@D) && touch $@

.cache/versions/%/.made: tests/versions/%.txt
	rm -rf $(@D)
	-"$(PYTHON)" -m venv $(@D) && \
	$(@D)/bin/python -m pip --disable-pip-version-check install -qq --requirement $< && touch $@

# The collection under the name that Ansible and Python look for.
$(TREE):
	mkdir -p $(dir $@)
	ln -sfn ../../.. $@

# The programs that an environment needs are looked for each time it is made or remade.
$(VENV)/.demo: demo/requirements.txt tools/setup.sh
	sh tools/setup.sh demo "$(PYTHON)"
	$(call environment,demo/requirements.txt)

$(VENV)/.test: tests/requirements.txt demo/requirements.txt tools/setup.sh
	sh tools/setup.sh test "$(PYTHON)"
	$(call environment,tests/requirements.txt)

define environment
test -x $(VENV)/bin/python || "$(PYTHON)" -m venv $(VENV)
$(RUN)/python -m pip --disable-pip-version-check install -qq --requirement $(1)
touch $@
endef
