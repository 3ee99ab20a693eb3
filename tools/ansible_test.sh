#!/bin/sh
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ansible-test on a copy of the tree at the path that it asks for, .cache/ansible-test/ansible_collections/hostnet/docker.
# It is called from the root of the checkout, with the programs of the virtual environment on the PATH.
# Usage: ansible_test.sh COMMAND [ARGUMENT ...], such as ansible_test.sh sanity --test pylint
set -eu

cache=$PWD/.cache
copy=$cache/ansible-test/ansible_collections/hostnet/docker
# What ansible-test keeps from run to run, such as an environment for each sanity test.
home=$cache/home

rm -rf "$copy"
mkdir -p "$copy" "$home/.ansible/test/cache"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$copy"

# ansible-test makes these environments without pip, and would fetch the program that installs it from a server of
# Ansible's if there were none in its cache. Python brings its own pip.
version=$(python -c 'import sys, types
from ansible_test._internal import python_requirements
python = types.SimpleNamespace(version="{}.{}".format(*sys.version_info))
print(python_requirements.get_venv_packages(python)["pip"].replace(".", "_"))')
printf 'import ensurepip\n\nensurepip.bootstrap()\n' >"$home/.ansible/test/cache/get_pip_$version.py"

cd "$copy"
# It looks at what git knows.
git init -q .
git add --all
export HOME="$home" LC_ALL=C.UTF-8
exec ansible-test "$@"
