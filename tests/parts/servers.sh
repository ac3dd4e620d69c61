# The tests of the path to Redis, with other servers. Read by tests/run.

# Each server program that the packages of tests/servers.txt have brought, once.
servers() {
	find build/venv-servers -type f \( -name redis-server -o -name valkey-server \) |
		while read -r program; do
			[ -x "$program" ] || chmod +x "$program"
			version=$("$program" --version | sed -nE 's/^(Redis|Valkey) server v=([0-9.]+) .*/\1-\2/p')
			folder=build/servers/$version
			if [ -n "$version" ] && [ ! -e "$folder/redis-server" ]; then
				mkdir -p "$folder"
				ln -s "$PWD/$program" "$folder/redis-server"
				echo "$version"
			fi
		done | sort
}

# These servers were built without TLS; the other one starts none.
plain_live() {
	(
		without='test_tls test_tls_memory test_tls_wiped'
		c_tests build live
	)
}

# with_server VERSION COMMAND...: the tests look for the server on the PATH.
with_server() {
	(
		PATH=$PWD/build/servers/$1:$PATH
		export PATH
		shift
		"$@"
	)
}

servers_suite() {
	tester=$(python_with 'pytest, hypothesis, msgpack')
	if [ -z "$tester" ] || ! have_cmocka; then
		leave_out 'other servers' 'cmocka, pytest, hypothesis or msgpack is missing'
		return
	fi
	$MAKE -k -j2 test-programs >$logs/build.log 2>&1 || tail -n 40 $logs/build.log
	rm -rf build/servers
	versions=$(servers)
	[ -n "$versions" ] || leave_out 'other servers' 'build/venv-servers has none'
	for version in $versions; do
		part "$version, C" with_server "$version" plain_live
		# shellcheck disable=SC2086
		part "$version, Python" with_server "$version" pytest_counted build "$tester" $on_redis
	done
}
