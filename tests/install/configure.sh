#!/bin/sh
# configure: what it takes, what it refuses, and what it says then.

. "$srcdir/tests/tap.sh"
configure=$(cd "$srcdir" && pwd)/configure
unset CC CFLAGS CPPFLAGS LDFLAGS LIBS AR PKG_CONFIG

# configured ARGUMENT...: configure runs with them in an empty folder, quietly.
configured() {
	rm -rf "$scratch/b" && mkdir "$scratch/b" && (cd "$scratch/b" && "$configure" -q "$@" </dev/null)
}

# sets LINE ARGUMENT...: configure writes this line into config.mk.
sets() {
	line=$1
	shift
	configured --without-python "$@" && grep -xF -- "$line" "$scratch/b/build/config.mk"
}

# installs VARIABLE=VALUE ARGUMENT...: what make takes for a variable.
installs() {
	wanted=$1
	shift
	configured --without-python "$@" &&
		printf 'include build/config.mk\nprint:\n\t@echo "%s=$(%s)"\n' "${wanted%%=*}" "${wanted%%=*}" |
		make -s -C "$scratch/b" -f - print | grep -xF -- "$wanted"
}

# A pkg-config that does not know one package.
without() {
	printf '#!/bin/sh\ncase " $* " in *"%s"*) exit 1 ;; esac\nexec pkg-config "$@"\n' "$1" \
		>"$scratch/pkg-config" && chmod +x "$scratch/pkg-config"
}

missing() {
	without "$1"
	says "apt-get install $2' (Debian, Ubuntu) or 'dnf install $3' (Fedora)" \
		configured --without-python PKG_CONFIG="$scratch/pkg-config"
}

one_sentence() {
	without hiredis
	configured --without-python PKG_CONFIG="$scratch/pkg-config" 2>"$scratch/said"
	cat "$scratch/said"
	[ "$(wc -l <"$scratch/said")" -eq 1 ]
}

only_warns() {
	configured --without-python --enable-foo --disable-bar=1 --with-baz=x --without-qux \
		2>"$scratch/said" && [ "$(grep -c 'unknown and ignored' "$scratch/said")" -eq 4 ]
}

says_what_it_finds() {
	(cd "$scratch/b" && "$configure" --without-python) >"$scratch/said" &&
		for thing in compiler warnings hiredis msgpack OpenSSL Python redis-server; do
			grep "checking .*$thing" "$scratch/said" || return
		done
}

runs_again() {
	configured --without-python --prefix=/one CC="$CC_given" &&
		touch -d '2000-01-01' "$scratch/b/build/config.mk" &&
		make -s -C "$scratch/b" uninstall DESTDIR="$scratch/none" 2>&1 &&
		grep -x 'prefix = /one' "$scratch/b/build/config.mk"
}

# Debian's Python names the folder for packages of the system, in /usr, only when asked.
of_the_system() {
	configured --prefix=/usr --python="$PYTHON" &&
		grep '^pythondir = ' "$scratch/b/build/config.mk" | grep -v local
}

make_repeats_it() {
	mkdir "$scratch/m" && says "'false' cannot make a program" make -C "$scratch/m" CC=false \
		-f "${configure%configure}Makefile" srcdir="${configure%/configure}" lib &&
		! printf '%s\n' "$output" | grep 'No rule to make'
}

own_makefile() {
	mkdir "$scratch/own" && echo all: >"$scratch/own/Makefile" && cd "$scratch/own" &&
		says 'has a Makefile of its own' "$configure" -q --without-python &&
		[ "$(cat Makefile)" = all: ]
}

CC_given=${CC:-cc}
ok '--help lists the options' sh -c "'$configure' --help | grep -q -e --disable-cpython-internals"
ok 'it says what it looks for and finds' eval 'configured --without-python && says_what_it_finds'
ok 'an unknown option is an error' says '--foo is unknown' configured --foo
ok 'so is a word' says 'foo is unknown' configured foo
ok 'and an option without its value' says '--prefix needs a value' configured --prefix
ok 'and a folder that is not absolute' says 'not an absolute directory' configured --prefix=usr
ok 'an unknown feature or package only warns' only_warns
ok 'an unknown variable only warns' configured --without-python FOO=bar
ok 'the options of Debian packages' installs libdir=/usr/lib/x86_64-linux-gnu \
	--build=x86_64-linux-gnu --prefix=/usr '--includedir=${prefix}/include' \
	'--mandir=${prefix}/share/man' '--infodir=${prefix}/share/info' --sysconfdir=/etc \
	--localstatedir=/var --disable-option-checking --disable-silent-rules \
	'--libdir=${prefix}/lib/x86_64-linux-gnu' --runstatedir=/run --disable-maintainer-mode \
	--disable-dependency-tracking
ok 'the options of Fedora packages' installs libdir=/usr/lib64 --build=x86_64-redhat-linux-gnu \
	--host=x86_64-redhat-linux-gnu --program-prefix= --disable-dependency-tracking --prefix=/usr \
	--exec-prefix=/usr --bindir=/usr/bin --sbindir=/usr/sbin --sysconfdir=/etc \
	--datadir=/usr/share --includedir=/usr/include --libdir=/usr/lib64 \
	--libexecdir=/usr/libexec --localstatedir=/var --runstatedir=/run \
	--sharedstatedir=/var/lib --mandir=/usr/share/man --infodir=/usr/share/info
ok 'a folder as a word of its own' installs includedir=/usr/include --prefix /usr
ok 'CC as an argument' sets 'CC = gcc' CC=gcc
ok 'CC from the environment' eval 'CC=gcc && export CC && sets "CC = gcc" && unset CC'
ok 'CFLAGS in place of -O2' sets 'CFLAGS = -Os' CFLAGS=-Os
ok '-O2 without them' sets 'CFLAGS = -O2'
ok '--enable-debug' sets 'CFLAGS = -O0 -g' --enable-debug
ok '--disable-static' sets 'INSTALL_STATIC = ' --disable-static
ok '--without-python' sets 'PYTHON = '
ok '--with-python=no is the same' eval 'configured --with-python=no &&
	grep -x "PYTHON = " "$scratch/b/build/config.mk"'
ok 'and yes names no Python' sets 'PYTHON = ' --with-python=yes
ok '--disable-cpython-internals' eval 'configured --without-python --disable-cpython-internals &&
	grep -x "#define COAT_CPYTHON_INTERNALS 0" "$scratch/b/build/config.h"'
ok 'a compiler that does not work' says "'false' cannot make a program" configured CC=false
ok 'a pkg-config that does not work' says "'false' does not work" configured PKG_CONFIG=false
ok 'without hiredis it names the packages' missing hiredis libhiredis-dev hiredis-devel
ok 'in one sentence' one_sentence
ok 'without msgpack-c it names the packages' missing msgpack libmsgpack-dev msgpack-devel
ok 'without OpenSSL it names the packages' missing openssl libssl-dev openssl-devel
ok 'without Python it names the packages' says "'apt-get install python3-dev' (Debian, Ubuntu) or 'dnf install python3-devel' (Fedora), or configure --without-python" \
	configured --python=no-such-python
ok 'a Python that does not work' says "'false' does not work" configured --python=false
ok 'make runs it again, as it was, when it is newer' runs_again
ok 'where it fails, make says nothing else' make_repeats_it
if [ -n "$PYTHON" ]; then
	ok 'packages of Python for the system are not for the local one' of_the_system
else
	skip 'packages of Python for the system' 'configured without Python'
fi
ok 'it does not replace the Makefile of another' own_makefile
