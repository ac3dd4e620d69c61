# The tests in Python, on this and other Pythons. Read by tests/run.

# The first Python that has all of these modules.
python_with() {
	for candidate in build/venv/bin/python "$PYTHON"; do
		if [ -n "$candidate" ] && "$candidate" -c "import $1" 2>/dev/null; then
			echo "$candidate"
			return
		fi
	done
}

# pytest_counted BUILD-FOLDER PYTHON [TEST...]: pytest on all tests or these, and its closing line
# as test lines. What each test said stands beside the log of the part.
pytest_counted() {
	packages=$PWD/$1/python
	python=$2
	shift 2
	# shellcheck disable=SC2046
	PYTHONPATH=$packages${PYTHONPATH:+:$PYTHONPATH} timeout "${patience:-2700}" "$python" -m pytest -q --tb=short -c "$srcdir/pyproject.toml" \
		--rootdir "$srcdir" -o "cache_dir=$PWD/build/pytest" --junitxml="$PWD/${log%.log}.xml" \
		$(test_files "$@") >"${log%.log}.pytest" 2>&1
	status=$?
	# What a test printed is not a result.
	sed -E 's/^((not )?ok)/ \1/' "${log%.log}.pytest"
	for word in passed xfailed failed error errors skipped; do
		number=$(tail -n 1 "${log%.log}.pytest" | sed -n "s/^\(.*[ =]\)*\([0-9][0-9]*\) ${word}[ ,=].*/\2/p")
		case $word in
		passed | xfailed) line='ok - pytest' ;;
		skipped) line='ok - pytest # SKIP' ;;
		*) line='not ok - pytest' ;;
		esac
		while [ "${number:-0}" -gt 0 ]; do
			echo "$line"
			number=$((number - 1))
		done
	done
	rm -f "${log%.log}.pytest"
	return $status
}

# The files of these tests, or the folder of all, with "but" without these, with "in" another one.
test_files() {
	if [ "${1:-}" = in ]; then
		shift
		echo "$@"
		return
	fi
	option=
	[ "${1:-but}" != but ] || echo "$srcdir/tests/py"
	if [ "${1:-}" = but ]; then
		option=--ignore=
		shift
	fi
	for name in "$@"; do
		echo "$option$srcdir/tests/py/test_$name.py"
	done
}

# Tests that wait for servers and deadlines more than they compute, and a long one, so that they take
# as long as all others.
half='aio_topologies bench_tool cache_faults cache_topologies confirm core_memory faults outages servers tls_faults
	topologies verify ways'

# All tests, in two processes.
# shellcheck disable=SC2086
pytest_all() {
	(
		log=${log%.log}-half.log
		pytest_counted build "$tester" $half
	) >$logs/half 2>&1 &
	other_half=$!
	pytest_counted build "$tester" but $half
	status=$?
	wait $other_half || status=$?
	cat $logs/half
	rm -f $logs/half
	return $status
}

# public_api FOLDER CONFIGURE-ARGUMENT TEST...: the codec on a build that does not know CPython's
# private layout.
public_api() {
	public=$1
	build "$public" python --python="$PYTHON" CC="$CC" "$2" || return
	shift 2
	(
		COAT_TEST_LAYOUT=public
		COAT_TEST_EXAMPLES=20
		export COAT_TEST_LAYOUT COAT_TEST_EXAMPLES
		pytest_counted "build/$public/build" "$tester" core_layout "$@"
	)
}

# The tests of Python that use a server, and none of their own making.
on_redis='acl commands core_session core_signals env faults outages refused_by_server session store
	wsgi wsgi_answers wsgi_errors wsgi_failures'

# The stores of the tests may do only what the guide says that they need.
few_permissions() {
	(
		COAT_TEST_ACL=1
		export COAT_TEST_ACL
		"$@"
	)
}

# The first Python of this version that works: on the PATH, or one that pyenv has installed.
python_of_version() {
	for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python3; do
		if "$candidate" -c 'import sys' 2>/dev/null; then
			command -v "$candidate"
			return
		fi
	done
}

# Interpreters with locks of their own, which Python has had since 3.12.
own_locks() {
	build "py$1" python --python="$2" || return
	(
		COAT_TEST_PYTHON=$2
		COAT_TEST_PACKAGES=$PWD/build/py$1/build/python
		export COAT_TEST_PYTHON COAT_TEST_PACKAGES
		pytest_counted build "$tester" interpreters
	)
}

other_locks() {
	for version in 3.12 3.13; do
		other=$(python_of_version $version)
		if [ -n "$other" ] && has_headers "$other"; then
			part "Interpreters of Python $version" own_locks $version "$other"
		else
			echo "not here: Python $version with its headers, to run interpreters with locks of their own"
		fi
	done
}

# The newest Django wants Python 3.12.
newest_django() {
	build "py$1" python --python="$2" || return
	venv=build/venv-django
	wanted=$(echo "# $2" && grep -iE '^(channels|django|hypothesis|pytest)' "$srcdir/tests/requirements.txt")
	if [ "$wanted" != "$(cat $venv/installed.txt 2>/dev/null)" ]; then
		"$2" -m venv --clear $venv && echo "$wanted" >$venv/wanted.txt &&
			$venv/bin/pip install -q -r $venv/wanted.txt &&
			mv $venv/wanted.txt $venv/installed.txt || return
	fi
	# shellcheck disable=SC2046
	pytest_counted "build/py$1/build" $venv/bin/python \
		$(find "$srcdir/tests/py" -name 'test_django*.py' | sed 's/.*test_\(.*\)\.py/\1/' | sort)
}

other_django() {
	for version in 3.12 3.13 3.14; do
		other=$(python_of_version $version)
		if [ -n "$other" ] && has_headers "$other"; then
			part "Django on Python $version" newest_django $version "$other"
			return
		fi
	done
	echo "not here: Python 3.12 or later with its headers, to run the newest Django"
}

has_headers() {
	"$1" -c 'import os, sys, sysconfig as s; sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))'
}

python_suite() {
	tester=
	if [ -z "$PYTHON" ]; then
		leave_out Python 'configured without Python'
		return
	fi
	tester=$(python_with 'pytest, hypothesis, msgpack')
	if [ -z "$tester" ]; then
		leave_out Python 'pytest, hypothesis and msgpack are missing'
	elif [ -z "$SERVER" ]; then
		leave_out Python 'no redis-server and no valkey-server'
	else
		$MAKE -k bench-programs >>$logs/build.log 2>&1 || tail -n 40 $logs/build.log
		part 'Python' pytest_all
	fi
}

# The same with other permissions, other builds of the extension, other Pythons.
python_otherwise() {
	if [ -z "$tester" ] || [ -z "$SERVER" ]; then
		return # said above
	fi
	if [ "$mode" = test ]; then
		leave_out 'Python by its public API, and other Pythons' 'make check runs them'
		return
	fi
	# shellcheck disable=SC2086
	part 'Python, few permissions' few_permissions pytest_counted build "$tester" $on_redis
	part 'Python by its public API' public_api public-api --disable-cpython-internals \
		codec_shapes core_memory format hostile_bytes properties refusals \
		refusals_untouched values
	part 'Python newer than known' public_api newer-python \
		CPPFLAGS=-DCORE_UNTRIED_VERSION=0x030a0000 codec_shapes values
	other_locks
	other_django
}

other_pythons() {
	for version in 3.10 3.11 3.12 3.13 3.14; do
		other=$(python_of_version $version)
		[ -n "$other" ] || continue
		venv=build/venv-$version
		if ! build py$version all --python="$other" >$logs/build-py$version.log 2>&1; then
			leave_out "Python $version" "it does not build: $logs/build-py$version.log"
		elif ! { "$other" -m venv --clear $venv &&
			$venv/bin/pip install -q -r "$srcdir/tests/requirements.txt"; } >$logs/venv 2>&1; then
			leave_out "Python $version" "pytest cannot be installed: $logs/venv"
		else
			part "Python $version" pytest_counted build/py$version/build $venv/bin/python
		fi
	done
}

sanitized_python() {
	build asan-python all CC="$CC" --enable-sanitizers --python="$PYTHON" || return
	(
		# The interpreter is not ours to check, and keeps what it has to its end.
		LD_PRELOAD=$($CC -print-file-name=libasan.so)
		ASAN_OPTIONS=detect_leaks=0
		export LD_PRELOAD ASAN_OPTIONS
		pytest_counted build/asan-python/build build/venv/bin/python
	)
}

# A million operations, from a seed of this very moment; where they show a fault, the log has the
# seed and the command that plays it again.
million() {
	(
		COAT_TEST_OPERATIONS=1000000
		COAT_TEST_SEED=$(date +%s)
		PYTEST_ADDOPTS='-k histories_drawn_at_random'
		patience=3600
		export COAT_TEST_OPERATIONS COAT_TEST_SEED PYTEST_ADDOPTS
		pytest_counted build "$tester" history
	)
}

# Of each framework, and rounds of all calls of a cache.
many_requests() {
	(
		COAT_TEST_REQUESTS=100000
		COAT_TEST_CALLS=100000
		patience=5400
		export COAT_TEST_REQUESTS COAT_TEST_CALLS
		pytest_counted build "$tester" soak
	)
}

# Of processes that use one cache at once.
long_races() {
	(
		COAT_TEST_RACE=20
		patience=3600
		export COAT_TEST_RACE
		pytest_counted build "$tester" cache_races
	)
}

million_keys() {
	(
		COAT_TEST_KEYS=1000000
		patience=3600
		export COAT_TEST_KEYS
		pytest_counted build "$tester" many_keys
	)
}

every_byte() {
	(
		COAT_TEST_FAULTS=all
		patience=3600
		export COAT_TEST_FAULTS
		"$@"
	)
}
