#!/bin/sh
# The three layers, seen in what each file includes: schema, above it backend, above that pybind.

. "$srcdir/tests/tap.sh"
cd "$srcdir" || exit 1

# includes PATTERN FOLDER...: the lines of C files in these folders that include what matches.
includes() {
	pattern=$1
	shift
	find "$@" -name '*.[ch]' -exec grep -HE "^[[:space:]]*#[[:space:]]*include[[:space:]]*$pattern" {} +
}

# Quoted includes of a folder's files, but for those of the headers that its layer may include.
strangers() {
	folder=$1
	shift
	includes '"' "$folder" | while IFS= read -r line; do
		name=$(printf '%s\n' "$line" | sed 's/.*"\(.*\)".*/\1/')
		allowed=
		for header in "$@" "$folder/$name"; do
			case $header in
			*/"$name") [ -e "$header" ] && allowed=1 ;;
			esac
		done
		if [ -z "$allowed" ] && [ "$name" != config.h ]; then
			echo "$line"
		fi
	done
}

# A header name that is in two folders would be found in the first.
same_names() {
	find schema backend -maxdepth 2 -name '*.h' |
		sed -e 's|^[a-z]*/api/|api/|' -e 's|^schema/||' -e 's|^backend/||' | sort | uniq -d
}

not_in_manual() {
	for header in schema/coat_*.h backend/coat_*.h; do
		grep -q "#include \"$(basename "$header")\"" backend/coatcheck.h || echo "$header"
	done
}

others_at_top() {
	# Whose checkout it is does not matter here, as it does to git.
	if tracked=$(git -c safe.directory='*' ls-files 2>/dev/null) && [ -d .git ]; then
		printf '%s\n' "$tracked" | sed 's|/.*||' | sort -u
	else
		ls
	fi | grep -vxE '(backend|pybind|schema|tests|docs|configure|Makefile|README\.md|pyproject\.toml|LICENSE|CHANGELOG\.md|CONTRIBUTING\.md|SECURITY\.md|BENCHMARKS\.md|build|PKG-INFO|setup\.cfg|.*\.egg-info|MANIFEST\.in|\..*)'
}

ok 'only backend knows hiredis' nothing includes '<hiredis/' schema pybind
ok 'only schema knows msgpack-c' nothing includes '<msgpack' backend pybind
ok 'only pybind/core knows Python' nothing includes '<(Python|structmember|frameobject)\.h>' schema backend
ok 'only backend knows OpenSSL' nothing includes '<openssl/' schema pybind
ok 'schema includes of the system only what is pure' \
	nothing sh -c "find schema -name '*.[ch]' -exec grep -HE '^ *# *include *<' {} + |
		grep -vE '<(assert|float|inttypes|limits|math|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|msgpack/[a-z_]+)\.h>'"
ok 'schema includes only schema' nothing strangers schema schema/api/*.h
ok 'schema/api includes only schema' nothing strangers schema/api schema/api/*.h schema/coat_*.h
ok 'backend includes, beside its own, only what schema shows' \
	nothing strangers backend backend/api/*.h schema/api/*.h schema/coat_*.h
ok 'backend/api includes only what is shown' nothing strangers backend/api backend/api/*.h \
	schema/api/*.h backend/coat_*.h schema/coat_*.h
ok 'pybind includes, beside its own, only what backend and schema show' \
	nothing strangers pybind/core backend/api/*.h schema/api/*.h backend/coat*.h schema/coat_*.h
ok 'public headers include only public headers' nothing sh -c \
	"grep -H '#include \"' schema/coat_*.h backend/coat*.h | grep -v '\"coat_[a-z]*\.h\"'"
ok 'only backend/clock.h reads a clock' nothing find schema backend -name '*.[ch]' \
	! -name clock.h -exec grep -HE '(\<time|clock_gettime|gettimeofday)\(' {} +
ok 'no two headers have one name' nothing same_names
ok 'coatcheck.h includes every public header' nothing not_in_manual
ok 'the top level holds nothing else' nothing others_at_top
