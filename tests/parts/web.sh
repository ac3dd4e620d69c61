# The tests with Apache and with a browser. Read by tests/run.

# Apache's mod_wsgi has a Python of its own, for which the package is built; that of the tests asks.
web() {
	build apache python --python=/usr/bin/python3 CC="$CC" || return
	"$tester" -m pip --python /usr/bin/python3 install -q --upgrade --target build/apache/frameworks \
		-c "$srcdir/tests/requirements.txt" Flask Django pyramid || return
	(
		PYTHONPATH=$srcdir/tests/py
		COAT_TEST_APACHE_PACKAGES=$PWD/build/apache/build/python
		COAT_TEST_APACHE_FRAMEWORKS=$PWD/build/apache/frameworks
		export PYTHONPATH COAT_TEST_APACHE_PACKAGES COAT_TEST_APACHE_FRAMEWORKS
		pytest_counted build "$tester" in "$srcdir/tests/web" -p conftest
	)
}

# mod_wsgi 6 can give each interpreter a lock of its own.
mod_wsgi_6() {
	build "py$1" python --python="$2" || return
	venv=build/venv-mod-wsgi
	[ "$2" = "$(cat $venv/made-with 2>/dev/null)" ] || {
		"$2" -m venv --clear $venv && $venv/bin/pip install -q mod_wsgi==6.1.1 &&
			echo "$2" >$venv/made-with || return
	}
	(
		PYTHONPATH=$srcdir/tests/py
		COAT_TEST_APACHE_PACKAGES=$PWD/build/py$1/build/python
		COAT_TEST_MOD_WSGI=$(find "$PWD/$venv" -name 'mod_wsgi-py*.so')
		COAT_TEST_MOD_WSGI_HOME=$("$2" -c 'import sys; print(sys.base_prefix)')
		COAT_TEST_MOD_WSGI_SAYS='WSGIPerInterpreterGIL On'
		export PYTHONPATH COAT_TEST_APACHE_PACKAGES COAT_TEST_MOD_WSGI COAT_TEST_MOD_WSGI_HOME
		export COAT_TEST_MOD_WSGI_SAYS
		pytest_counted build "$tester" in "$srcdir/tests/web/own_locks.py" -p conftest
	)
}

# With $tester.
mod_wsgi_6_suite() {
	for version in 3.12 3.13 3.14; do
		other=$(python_of_version $version)
		if [ -n "$other" ] && has_headers "$other"; then
			part "mod_wsgi 6 with a lock for each interpreter, Python $version" \
				mod_wsgi_6 $version "$other"
			return
		fi
	done
	echo "not here: Python 3.12 or later with its headers, for mod_wsgi 6 with a lock for each interpreter"
}

web_suite() {
	tester=$(python_with 'pytest, httpx, selenium')
	if [ -n "$tester" ]; then
		part 'Apache and a browser' web
		mod_wsgi_6_suite
	else
		leave_out 'Apache and a browser' 'pytest, httpx or selenium is missing'
	fi
}
