#!/bin/sh
# The installed C library, as its users see it: through pkg-config only.

. "$srcdir/tests/tap.sh"
sources=$(cd "$srcdir" && pwd)
prefix=$scratch/prefix
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"

# A build out of tree, and parallel.
built() {
	mkdir -p "$scratch/b" && cd "$scratch/b" &&
		"$sources/configure" -q --without-python --prefix="$prefix" CC="$CC" CFLAGS=-O0 "$@" &&
		make -s -j2
}

# Files and links below a folder.
files() {
	(cd "$1" && find . ! -type d | sort)
}

layout() {
	{
		for header in "$sources"/schema/coat_*.h "$sources"/backend/coat*.h; do
			echo "./include/coatcheck/$(basename "$header")"
		done
		echo ./bin/coatcheck
		echo ./bin/coatcheck-bench
		printf './share/man/man1/%s\n' coatcheck.1 coatcheck-bench.1
		printf './lib/%s\n' libcoatcheck.a libcoatcheck.so libcoatcheck.so.0.1 \
			"libcoatcheck.so.$version" pkgconfig/coatcheck.pc
	} | sort >"$scratch/wanted"
	files "$prefix" | diff "$scratch/wanted" -
}

version=$(sed -n 's/^#define COAT_VERSION  *"\(.*\)"$/\1/p' "$srcdir/schema/coat_version.h")

# shellcheck disable=SC2046
links() {
	$CC -Wall -Wextra -Werror -o "$scratch/$1" "$sources/tests/install/example.c" \
		$(pkg-config --cflags coatcheck) $(pkg-config $2 --libs coatcheck)
}

# Nothing but the archive is there to be found.
links_statically() {
	mkdir "$scratch/aside" && mv "$prefix"/lib/libcoatcheck.so* "$scratch/aside" &&
		links static --static
	result=$?
	mv "$scratch"/aside/* "$prefix/lib"
	[ $result -eq 0 ] && ! ldd "$scratch/static" | grep libcoatcheck
}

# shellcheck disable=SC2046
from_cxx() {
	printf '%s\n' '#include <coatcheck/coatcheck.h>' \
		'int main() { return coat_version()[0] != COAT_VERSION[0]; }' |
		c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -x c++ -o "$scratch/cxx" - \
			$(pkg-config --cflags --libs coatcheck) &&
		LD_LIBRARY_PATH=$prefix/lib "$scratch/cxx"
}

# A server of our own on a unix socket, while a command runs.
with_server() {
	"$SERVER" --port 0 --unixsocket "$scratch/redis.sock" --dir "$scratch" --save "" >"$scratch/redis.log" &
	server_pid=$!
	tries=100
	until [ -S "$scratch/redis.sock" ] || [ $((tries -= 1)) -eq 0 ]; do
		sleep 0.1
	done
	"$@"
	result=$?
	kill $server_pid
	wait $server_pid
	return $result
}

runs() {
	with_server env LD_LIBRARY_PATH="$prefix/lib" "$scratch/$1" "unix:$scratch/redis.sock" \
		>"$scratch/said"
	result=$?
	cat "$scratch/said"
	[ $result -eq 0 ] && grep -qE '^visit 2 of [A-Za-z0-9_-]{12}$' "$scratch/said"
}

staged() {
	make -s -C "$scratch/b" install DESTDIR="$scratch/stage" &&
		(cd "$prefix" && files .) >"$scratch/here" &&
		files "$scratch/stage$prefix" | diff "$scratch/here" - &&
		! grep -r "$scratch/stage" "$scratch/stage"
}

uninstalls() {
	make -s -C "$scratch/b" uninstall DESTDIR="$1" && nothing files "$1$prefix"
}

no_archive() {
	built --disable-static && make -s install && [ -e build/libcoatcheck.a ] &&
		[ -e "$prefix/lib/libcoatcheck.so" ] && [ ! -e "$prefix/lib/libcoatcheck.a" ]
}

ok 'the README shows less than 60 lines of C' \
	test "$(wc -l <"$srcdir/tests/install/example.c")" -lt 60
ok 'it builds out of tree and in parallel' built
ok 'make install' make -s -C "$scratch/b" install
ok 'it installs these files and no others' layout
ok 'pkg-config tells the version' test "$(pkg-config --modversion coatcheck)" = "$version"
ok 'a program links with it through pkg-config alone' links dynamic ''
ok 'a program links with the archive through pkg-config alone' links_statically
if command -v c++ >/dev/null 2>&1; then
	ok 'a C++ program includes and links it' from_cxx
else
	skip 'a C++ program includes and links it' 'no C++ compiler (c++)'
fi
ok 'without a server the program says so' says 'example: ' \
	env LD_LIBRARY_PATH="$prefix/lib" "$scratch/dynamic" "unix:$scratch/none.sock"
if [ -n "$SERVER" ]; then
	ok 'the program works' runs dynamic
	ok 'and so does the one with the archive' runs static
else
	skip 'the program works' 'no redis-server and no valkey-server'
fi
ok 'DESTDIR gets the same files, and none names it' staged
ok 'make uninstall leaves no file' uninstalls ''
ok 'nor below DESTDIR' uninstalls "$scratch/stage"
ok '--disable-static builds the archive, but does not install it' no_archive
