# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
#   make demo    see it work, on a throw-away host in a namespace of its own (root not needed)
#   make test    linters and tests, in some minutes
#   make test-all  all there is; CONTRIBUTING.md says what each of its targets proves
#   make slow    the tests that take long: every write made to fail, every moment to be killed at, lists of a hundred
#   make checkers  ansible-test sanity and units, the pages as a site, Galaxy's importer
#   make docs    the pages and the reference as a site, in .cache/docs/html
#   make versions  the life of a host with other releases of Ansible and the libraries: tests/versions/*.txt
#   make fuzz    the properties with fifty times as many examples, drawn anew (FUZZ_TIMES=50); for a night
#   make bench   measure: docs/benchmark.md and the README's rows, in a minute or two
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
WORKERS ?= 3
ROOTS := $(if $(filter 0,$(shell id -u)),bookworm trixie)

export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.build
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint pytest slow checkers sanity units docs galaxy versions fuzz bench clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(VENV)/.test $(TREE)

demo: $(VENV)/.demo $(TREE)
	@$(RUN)/python demo/demo.py

test: lint pytest

test-all: test slow versions checkers

pytest: $(VENV)/.test $(TREE)
	$(RUN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

slow: $(VENV)/.all $(TREE) .cache/awx .cache/ee $(ROOTS:%=.cache/roots/%)
	$(RUN)/python -m pytest -n $(WORKERS) --slow $(PYTEST_ARGS)

checkers: sanity units docs galaxy

sanity units: $(VENV)/.all
	$(TOOLS) sh tools/ansible_test.sh $@ --color no $(ANSIBLE_TEST_ARGS)

# Built in a copy, whose pages lie among the reference; a warning is an error.
docs: $(VENV)/.all $(TREE)
	rm -rf .cache/docs
	install -d -m 700 .cache/docs/source/reference
	cp -r docs README.md CONTRIBUTING.md CHANGELOG.md LICENSE docs/site/* .cache/docs/source
	$(TOOLS) antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs all --disallow-unknown-collection-refs .
	$(TOOLS) antsibull-docs collection --use-current --squash-hierarchy --dest-dir .cache/docs/source/reference hostnet.docker
	$(RUN)/sphinx-build -q -W --keep-going -b html .cache/docs/source .cache/docs/html

# The importer writes its result where it runs.
galaxy: $(VENV)/.all
	rm -rf .cache/galaxy
	$(TOOLS) ansible-galaxy collection build --output-path .cache/galaxy .
	cd .cache/galaxy && $(TOOLS) python -m galaxy_importer.main *.tar.gz

VERSIONS := oldest middle

versions: $(VERSIONS:%=versions-%)

# Hosts, stores, role and connection, in an environment of its own for each file.
versions-%: .cache/versions/%/.made $(TREE)
	.cache/versions/$*/bin/python -m pytest -q -m versions $(PYTEST_ARGS) \
	    $$(grep -rl 'mark[.]versions' tests/netns tests/integration)

.cache/versions/%/.made: tests/versions/%.txt $(VENV)/.test
	rm -rf $(@D)
	"$(PYTHON)" -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install -qq --retries 5 --requirement $<
	touch $@

# The collection awx.awx, out of the bundle of collections that the Python package index has.
.cache/awx: $(VENV)/.all
	rm -rf .cache/bundle $@
	$(RUN)/python -m pip --disable-pip-version-check download -q --retries 5 --no-deps --dest .cache/bundle 'ansible==12.*'
	$(RUN)/python -c 'import glob, zipfile; bundle = zipfile.ZipFile(*glob.glob(".cache/bundle/*.whl")); \
	bundle.extractall("$@", [name for name in bundle.namelist() if name.startswith("ansible_collections/awx/")])'
	rm -rf .cache/bundle

# What the execution environment installs by pip, and bindep, which installs the rest of it.
.cache/ee: awx/execution-environment.yml $(VENV)/.all
	rm -rf $@
	$(RUN)/python -m pip --disable-pip-version-check download -qq --retries 5 --dest $@ bindep \
	    $$(sed -n 's/^ *package_pip: //p' $<)

# Root file systems of servers, which only root can make.
.cache/roots/%: | $(VENV)/.all tools/root.sh
	sh tools/root.sh $* .cache/roots

fuzz: $(VENV)/.test $(TREE)
	HOSTNET_FUZZ=$(or $(FUZZ_TIMES),50) $(RUN)/python -m pytest -n $(WORKERS) -m fuzz $(PYTEST_ARGS)

bench: $(VENV)/.test $(TREE)
	@$(RUN)/python -m benchmarks $(BENCH_ARGS)

lint: $(VENV)/.test $(TREE)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy plugins/module_utils plugins/plugin_utils tools
	$(RUN)/yamllint --strict .
	PATH="$(RUN):$$PATH" ANSIBLE_HOME=$(CURDIR)/.cache/ansible $(RUN)/ansible-lint --offline -q
	$(RUN)/antsibull-changelog lint

clean:
	rm -rf $(VENV) .build .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

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

# What only `make test-all` needs beside `make test`.
$(VENV)/.all: $(VENV)/.test tests/requirements-all.txt
	sh tools/setup.sh all "$(PYTHON)"
	$(call environment,tests/requirements-all.txt)

define environment
test -x $(VENV)/bin/python || "$(PYTHON)" -m venv $(VENV)
$(RUN)/python -m pip --disable-pip-version-check install -qq --retries 5 --requirement $(1)
touch $@
endef
