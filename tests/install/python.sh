#!/bin/sh
# The installed Python package: by make, and by pip from the sources and from an sdist.

. "$srcdir/tests/tap.sh"
sources=$(cd "$srcdir" && pwd)
unset PYTHONPATH

if [ -z "$PYTHON" ]; then
	skip 'the Python package' 'configured without Python'
	exit
fi

version=$(sed -n 's/^#define COAT_VERSION  *"\(.*\)"$/\1/p' "$srcdir/schema/coat_version.h")

# works PYTHON: the package that this interpreter imports is complete.
works() {
	cd "$scratch" && "$1" - "$version" <<'END'
import pathlib
import sys

import coatcheck

assert coatcheck.__version__ == sys.argv[1], coatcheck.__version__
value = {"cart": [("sku-1", 2)]}
assert coatcheck.loads(coatcheck.dumps(value)) == value
folder = pathlib.Path(coatcheck.__file__).parent
names = {path.name for path in folder.iterdir()}
assert {"py.typed", "_core.pyi", "wsgi.py"} <= names, names
END
}

in_place() {
	PYTHONPATH=$PWD/build/python works "$PYTHON"
}

by_make() {
	make -s install-python DESTDIR="$scratch/stage" || return
	folder=$(find "$scratch/stage" -type d -name coatcheck)
	PYTHONPATH=$(dirname "$folder") works "$PYTHON"
}

# Run from there, it leaves bytecode beside the modules.
readable_modules_only() {
	mkdir -p build/python/coatcheck/__pycache__ && : >build/python/coatcheck/__pycache__/x.pyc || return
	(umask 077 && make -s install-python DESTDIR="$scratch/stage") &&
		nothing find "$scratch/stage" -name '*.pyc' &&
		nothing find "$(find "$scratch/stage" -type d -name coatcheck)" ! -perm -a=r
	result=$?
	rm build/python/coatcheck/__pycache__/x.pyc
	return $result
}

unmake() {
	make -s uninstall DESTDIR="$scratch/stage" && nothing find "$scratch/stage" ! -type d
}

# pip SOURCE: installs it into an environment of its own.
pip() {
	rm -rf "$scratch/venv" && "$PYTHON" -m venv "$scratch/venv" &&
		"$scratch/venv/bin/pip" install --disable-pip-version-check "$1" || return
	(works "$scratch/venv/bin/python")
}

fixture_is_announced() {
	"$scratch/venv/bin/python" - <<'END'
from importlib.metadata import entry_points

(found,) = (e for e in entry_points(group="pytest11") if e.name == "coatcheck")
assert found.value == "coatcheck.pytest_plugin"
END
}

for_this_platform() {
	! grep -r 'Root-Is-Purelib: true' "$scratch"/venv/lib/python*/site-packages/coatcheck-*.dist-info/WHEEL
}

sources_seen() {
	(cd "$sources" && find . -path ./.git -prune -o -path ./build -prune -o -print | sort)
}

as_before() {
	sources_seen | diff "$scratch/before" -
}

sdist() {
	"$scratch/venv/bin/pip" install -q --disable-pip-version-check 'setuptools>=77' &&
		(cd "$sources/pybind" && "$scratch/venv/bin/python" -c \
			"import build_backend; build_backend.build_sdist('$scratch')") &&
		[ -e "$scratch/coatcheck-$version.tar.gz" ]
}

# A checkout in which its user keeps things.
strangers_stay_out() {
	mkdir "$scratch/checkout" "$scratch/from-it" &&
		(cd "$sources" && tar -cf - --exclude=./build --exclude=./.git .) |
		tar -xf - -C "$scratch/checkout" && mkdir "$scratch/checkout/venv" &&
		: >"$scratch/checkout/venv/x.py" && mkfifo "$scratch/checkout/redis.sock" &&
		(cd "$scratch/checkout/pybind" && "$scratch/venv/bin/python" -c \
			"import build_backend; build_backend.build_sdist('$scratch/from-it')") &&
		tar -tzf "$scratch/from-it/coatcheck-$version.tar.gz" >"$scratch/listed" &&
		grep '/configure$' "$scratch/listed" && ! grep -E 'venv|redis\.sock' "$scratch/listed"
}

ok 'it works in place' eval '(in_place)'
ok 'make install-python' eval '(by_make)'
ok 'it installs modules only, for everybody' readable_modules_only
ok 'make uninstall leaves no file' unmake
if [ "$mode" = test ]; then
	skip 'pip install' 'it needs PyPI; make check runs it'
	exit
fi
sources_seen >"$scratch/before"
ok 'pip install from the sources' pip "$sources"
ok 'pytest will find its fixture' fixture_is_announced
ok 'the wheel is for one platform' for_this_platform
ok 'an sdist is made' sdist
ok 'what is not ours stays out of it' strangers_stay_out
ok 'pip install from the sdist' pip "$scratch/coatcheck-$version.tar.gz"
ok 'the sources are as they were before' as_before
