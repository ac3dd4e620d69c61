#!/bin/sh
# Each public header can be included alone, in C and in C++.

. "$srcdir/tests/tap.sh"

alone() {
	printf '#include "%s"\nextern int not_empty;\n' "$2" | $1 -I"$srcdir/schema" -I"$srcdir/backend" -Wall -Wextra -Wpedantic \
		-Wconversion -Wshadow -Werror -fsyntax-only -
}

for header in "$srcdir"/schema/coat_*.h "$srcdir"/backend/coat*.h; do
	name=$(basename "$header")
	ok "$name alone, as C11" alone "$CC -std=c11 -x c" "$name"
	if command -v c++ >/dev/null 2>&1; then
		ok "$name alone, as C++11" alone 'c++ -std=c++11 -x c++' "$name"
	else
		skip "$name alone, as C++11" 'no C++ compiler (c++)'
	fi
done
