# The fuzzers. Read by tests/run.

# The inputs that a fuzzer begins with: those made by hand, those found before, and the bytes of the
# tables in tests/data.
seeds() {
	for folder in "$srcdir/tests/fuzz/$1" "build/fuzz/seeds/$1"; do
		if [ -d "$folder" ]; then
			echo "$folder"
		fi
	done
	case $1 in
	check) echo build/fuzz/seeds/values ;;
	decode) echo build/fuzz/seeds/values build/fuzz/seeds/check ;;
	record) echo build/fuzz/seeds/records ;;
	esac
}

# write_seeds NAME TABLE...: a file for each row.
write_seeds() {
	folder=build/fuzz/seeds/$1
	shift
	mkdir -p "$folder" && build/fuzz/write-seeds "$folder" "$@"
}

write_all_seeds() {
	data=$srcdir/tests/data
	mkdir -p build/fuzz &&
		$CC -o build/fuzz/write-seeds "$srcdir/tests/fuzz/seeds.c" &&
		write_seeds values "$data/good.txt" "$data/long.txt" "$data/bad.txt" "$data/limits.txt" \
			"$data/equal_keys.txt" &&
		write_seeds records "$data/good_records.txt" "$data/bad_records.txt" || return
	for table in "$srcdir"/tests/fuzz/*.txt; do
		write_seeds "$(basename "$table" .txt)" "$table" || return
	done
}

# newest FILE...: the one that was changed last, if there is any.
newest() {
	ls -t "$@" 2>/dev/null | head -n 1
}

# One fuzzer for some seconds, from its seeds and from what it found before. An input that fails is
# kept, and tried first the next time.
fuzz_one() {
	fuzzer=$1
	program=build/fuzz/build/tests/fuzz/fuzz_$fuzzer
	mkdir -p "build/fuzz/found/$fuzzer" "build/fuzz/failed/$fuzzer"
	# shellcheck disable=SC2046
	timeout $(($2 + 60)) "$program" -max_total_time="$2" -max_len=2048 -timeout=10 \
		-rss_limit_mb=1024 -print_final_stats=1 -dict="$srcdir/tests/fuzz/values.dict" \
		-artifact_prefix="build/fuzz/failed/$fuzzer/" "build/fuzz/found/$fuzzer" \
		"build/fuzz/failed/$fuzzer" $(seeds "$fuzzer")
	status=$?
	input=$(newest "build/fuzz/failed/$fuzzer"/*)
	if [ $status -eq 0 ]; then
		echo "ok - fuzz_$fuzzer for $2 s"
	elif [ -n "$input" ]; then
		echo "not ok - fuzz_$fuzzer fails; again: PYTHONPATH=build/fuzz/build/python $program $input"
	else
		echo "not ok - fuzz_$fuzzer ended with status $status"
	fi
}

# Where no compiler can fuzz, or to see that it does not matter which one built it.
replay_one() {
	# shellcheck disable=SC2046
	once "fuzz_$1 on its seeds" find $(seeds "$1") -type f -exec "build/tests/fuzz/fuzz_$1" {} +
}

# each_fuzzer COMMAND ARGUMENT...: with the name of each behind the command.
each_fuzzer() {
	command=$1
	shift
	for source in "$srcdir"/tests/fuzz/fuzz_*.c; do
		fuzzer=$(basename "$source" .c)
		if [ "$fuzzer" = fuzz_decode ] && [ -z "$with_python" ]; then
			echo "ok - $fuzzer # SKIP without Python"
		else
			"$command" "${fuzzer#fuzz_}" "$@"
		fi
	done
}

fuzz_all() {
	with_python=$PYTHON
	write_all_seeds || return
	if have_compiler clang -fsanitize=fuzzer-no-link,address; then
		build fuzz 'all fuzz-programs fuzz_driver=-fsanitize=fuzzer' CC=clang --enable-sanitizers \
			'CFLAGS=-O1 -g -fsanitize=fuzzer-no-link' "--with-python=${PYTHON:-no}"
		(
			PYTHONPATH=$PWD/build/fuzz/build/python
			export PYTHONPATH
			each_fuzzer fuzz_one "$1"
		)
	else
		$MAKE -k all fuzz-programs
		(
			PYTHONPATH=$PWD/build/python
			export PYTHONPATH
			each_fuzzer replay_one
		)
	fi
}

fuzz_suite() {
	part "fuzzers, $1 s each" fuzz_all "$1"
}

# The same with AFL++. It has no eye on what Python loads, so without that.
afl_one() {
	fuzzer=$1
	program=build/afl/build/tests/fuzz/fuzz_$fuzzer
	found=build/afl/found/$fuzzer
	inputs=build/afl/seeds/$fuzzer
	mkdir -p "$found" "$inputs"
	# shellcheck disable=SC2046
	find $(seeds "$fuzzer") -type f -size -3 -exec cp {} "$inputs" \;
	timeout $(($2 + 120)) afl-fuzz -V "$2" -t 1000 -i "$inputs" -o "$found" \
		-x "$srcdir/tests/fuzz/values.dict" -- "$program"
	status=$?
	grep -E '^(run_time|execs_done|execs_per_sec|corpus_count|bitmap_cvg|saved_)' \
		"$found/default/fuzzer_stats"
	input=$(newest "$found/default/crashes"/id* "$found/default/hangs"/id*)
	if [ -n "$input" ]; then
		echo "not ok - fuzz_$fuzzer fails; again: $program $input"
	elif [ $status -ne 0 ]; then
		echo "not ok - afl-fuzz of fuzz_$fuzzer ended with status $status"
	else
		echo "ok - fuzz_$fuzzer for $2 s"
	fi
}

afl_all() {
	with_python=
	write_all_seeds || return
	build afl 'fuzz-programs fuzz_driver=-fsanitize=fuzzer' CC=afl-clang-fast \
		'CFLAGS=-O1 -g' --enable-sanitizers --without-python
	AFL_NO_UI=1
	AFL_SKIP_CPUFREQ=1
	AFL_NO_AFFINITY=1
	AFL_AUTORESUME=1
	AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1
	export AFL_NO_UI AFL_SKIP_CPUFREQ AFL_NO_AFFINITY AFL_AUTORESUME
	export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES
	each_fuzzer afl_one "$1"
}
