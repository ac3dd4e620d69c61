# The tests with Apache and with a browser. Read by tests/run.

# Apache's mod_wsgi has a Python of its own, for which the package is built; that of the tests asks.
web() {
	build apache python --python=/usr/bin/python3 CC="$CC" || return
	(
		PYTHONPATH=$srcdir/tests/py
		COAT_TEST_APACHE_PACKAGES=$PWD/build/apache/build/python
		export PYTHONPATH COAT_TEST_APACHE_PACKAGES
		pytest_counted build "$tester" in "$srcdir/tests/web" -p conftest
	)
}

web_suite() {
	tester=$(python_with 'pytest, httpx, selenium')
	if [ -n "$tester" ]; then
		part 'Apache and a browser' web
	else
		leave_out 'Apache and a browser' 'pytest, httpx or selenium is missing'
	fi
}
