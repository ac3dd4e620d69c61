#!/bin/sh
# What the built library shows to others and calls itself.

. "$srcdir/tests/tap.sh"

exported() {
	nm -D --defined-only build/libcoatcheck.so | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}

# What the compiler sees as a visible function in the public headers.
declared() {
	$CC -E -P -I"$srcdir/schema" -I"$srcdir/backend" "$srcdir/backend/coatcheck.h" | tr '\n' ' ' |
		tr ';' '\n' | sed -n 's/.*visibility("default")))[^(]*[^a-z0-9_(]\(coat_[a-z0-9_]*\) *(.*/\1/p' | sort
}

exports_what_is_declared() {
	exported >"$scratch/exported"
	declared >"$scratch/declared"
	[ -s "$scratch/declared" ] && diff "$scratch/declared" "$scratch/exported"
}

defined_outside_our_name() {
	nm -g --defined-only build/libcoatcheck.a | awk 'NF == 3 && $3 !~ /^coat_/ { print $3 }' |
		grep -vE '^(__asan|__odr_asan|__ubsan)'
}

# calls PATTERN [OBJECT-THAT-MAY]: objects with a reference to a function that matches.
calls() {
	nm -A -u build/libcoatcheck.a | awk -v "call=^($1)\$" -v "may=:(${2:-none})\\\\.o:" \
		'{ name = $NF; sub(/@.*/, "", name) } name ~ call && $0 !~ may { print $1, name }'
}

shown_by_extension() {
	nm -D --defined-only build/python/coatcheck/_core*.so |
		awk '$2 != "A" && $3 != "PyInit__core" { print $3 }' | grep -vE '^(_init|_fini)$'
}

soname() {
	objdump -p build/libcoatcheck.so | grep -q 'SONAME *libcoatcheck\.so\.[0-9]*\.[0-9]*$'
}

stays_loaded() {
	readelf -d build/libcoatcheck.so | grep -q NODELETE
}

ok 'the library exports exactly what its headers declare' exports_what_is_declared
ok 'its SONAME carries major and minor version' soname
ok 'every name that it defines begins with coat_' nothing defined_outside_our_name
ok 'it never ends the process' nothing calls '_?_?exit|_Exit|quick_exit|abort|err|errx|kill|raise'
ok 'it registers nothing for the end of the process' nothing calls 'atexit|on_exit|at_quick_exit|__cxa_atexit|pthread_atfork'
ok 'it never changes the locale' nothing calls 'setlocale|uselocale'
ok 'it sets no signal handler' nothing calls 'signal|sigaction|sigset|bsd_signal|sysv_signal|sigaltstack'
ok 'it writes to neither stdout nor stderr' nothing calls \
	'stdout|stderr|(__)?v?printf(_chk)?|puts|putchar|perror|psignal|syslog|vsyslog|vwarn|vwarnx|warn|warnx'
# Options are read when asked for; embedded: looks for its folder and for a server.
ok 'it reads the environment only for options and embedded:' nothing calls '(secure_)?getenv|__secure_getenv|environ|__environ' 'options|embedded'
ok 'it never forks: a server is spawned' nothing calls 'v?fork|clone|clone3|system|popen|daemon'
ok 'it starts a thread only to resolve a host name' nothing calls 'pthread_create|thrd_create' resolve
ok 'once loaded it stays, for such a thread may still be in it' stays_loaded
ok 'it calls nothing that is shared between threads' nothing calls \
	'strtok|gethostby(name|addr)|inet_ntoa|localtime|gmtime|asctime|ctime|s?rand|random|srandom|drand48|readdir_r|getpwuid|getpwnam'
if [ -n "$PYTHON" ]; then
	ok 'the extension shows its init function only' nothing shown_by_extension
else
	skip 'the extension shows its init function only' 'configured without Python'
fi
