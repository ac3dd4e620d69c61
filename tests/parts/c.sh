# The tests in C: as they are, under the sanitizers, under valgrind. Read by tests/run.

have_compiler() {
	echo 'int main(void) { return 0; }' | "$@" -x c -o /dev/null - 2>/dev/null
}

have_cmocka() {
	printf '%s\n' '#include <stdarg.h>' '#include <stddef.h>' '#include <setjmp.h>' \
		'#include <stdint.h>' '#include <cmocka.h>' 'int main(void) { return 0; }' |
		$CC -x c -o /dev/null - -lcmocka 2>/dev/null
}

# build FOLDER MAKE-ARGUMENTS CONFIGURE-ARGUMENT...: a build of its own in build/FOLDER.
build() {
	folder=build/$1
	goal=$2
	shift 2
	case $srcdir in
	/*) sources=$srcdir ;;
	*) sources=../../$srcdir ;;
	esac
	mkdir -p "$folder"
	(
		unset CC CFLAGS CPPFLAGS LDFLAGS LIBS
		# shellcheck disable=SC2086
		cd "$folder" && "$sources/configure" -q "$@" && $MAKE -j2 -k $goal
	)
}

compiles_quietly() {
	if [ -n "$PYTHON" ]; then
		set -- "$1" --python="$PYTHON"
	else
		set -- "$1" --without-python
	fi
	once "$1 builds it without a warning" build "warn-$1" all CC="$1" --enable-werror "$2"
}

# c_program PROGRAM [WRAPPER...]: each of its tests counted.
c_program() {
	program=$1
	shift
	echo "# $program"
	if [ ! -x "$program" ]; then
		echo "not ok - $program was not built"
		return
	fi
	CMOCKA_MESSAGE_OUTPUT=TAP timeout "${patience:-900}" "$@" "$program" >$logs/program 2>&1
	status=$?
	cat $logs/program
	if [ $status -ne 0 ] && ! grep -q '^not ok' $logs/program; then
		echo "not ok - $program ended with status $status"
	elif ! grep -qE '^(not )?ok' $logs/program; then
		echo "ok - $program"
	fi
	rm -f $logs/program
}

# c_tests BUILD-FOLDER KIND [WRAPPER...]: each program of tests/KIND, but for those in $without.
c_tests() {
	folder=$1
	kind=$2
	shift 2
	for source in "$srcdir/tests/$kind"/test_*.c; do
		program=$folder/tests/$kind/$(basename "$source" .c)
		case " $without " in *" ${program##*/} "*) continue ;; esac
		c_program "$program" "$@"
	done
}

# c_parts NAME BUILD-FOLDER KIND... -- [WRAPPER...]
c_parts() {
	title=$1
	folder=$2
	shift 2
	kinds=
	while [ "$1" != -- ]; do
		kinds="$kinds $1"
		shift
	done
	shift
	for kind in $kinds; do
		if [ -n "$(find "$srcdir/tests/$kind" -name 'test_*.c' 2>/dev/null)" ]; then
			part "$title, $kind" c_tests "$folder" "$kind" "$@"
		fi
	done
}

c_suite() {
	if ! have_cmocka; then
		leave_out 'C tests' 'cmocka is missing (libcmocka-dev, libcmocka-devel)'
		return
	fi
	kinds='unit fault'
	if [ -n "$SERVER" ]; then
		kinds="$kinds live"
	elif [ -d "$srcdir/tests/live" ]; then
		leave_out 'C, live' 'no redis-server and no valkey-server'
	fi
	$MAKE -k -j2 test-programs >$logs/build.log 2>&1 || tail -n 40 $logs/build.log
	# shellcheck disable=SC2086
	c_parts C build $kinds --
	if [ "$mode" = test ]; then
		leave_out 'C under ASan and UBSan, and valgrind' 'make check runs them'
		return
	fi
	build asan test-programs CC="$CC" --enable-sanitizers --without-python >$logs/build-asan.log 2>&1 ||
		tail -n 40 $logs/build-asan.log
	# shellcheck disable=SC2086
	c_parts 'C under ASan and UBSan' build/asan/build $kinds --
	if [ -z "$SERVER" ]; then
		: # said above
	elif have_compiler clang -fsanitize=thread; then
		build tsan test-programs CC=clang CFLAGS='-O1 -g -fsanitize=thread' --enable-debug \
			--without-python >$logs/build-tsan.log 2>&1 || tail -n 40 $logs/build-tsan.log
		without='test_wiped test_tls_wiped' # one thread, which searches all memory
		c_parts 'C under TSan' build/tsan/build live --
		without=
	else
		leave_out 'C under TSan' 'clang cannot link with -fsanitize=thread (libclang-rt-dev, compiler-rt)'
	fi
	# Slow, so with fewer rounds where a test has rounds.
	build valgrind test-programs CC="$CC" CFLAGS='-O1 -g' --enable-debug --without-python \
		>$logs/build-valgrind.log 2>&1 || tail -n 40 $logs/build-valgrind.log
	c_parts 'C under valgrind' build/valgrind/build unit -- env COAT_TEST_SEEDS=20 \
		valgrind -q --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=99
}

long_storm() {
	(
		patience=3600
		c_program build/tsan/build/tests/live/test_threads env COAT_TEST_OPERATIONS=100000
	)
}
