# For test scripts in sh: `ok WHAT COMMAND...` is one test, in the Test Anything Protocol.
# Sourced with $srcdir set.

scratch=$(mktemp -d "${TMPDIR:-/tmp}/coatcheck-test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

ok() {
	what=$1
	shift
	if "$@" >"$scratch/ok.log" 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what"
		sed 's/^/# /' "$scratch/ok.log"
	fi
}

skip() {
	echo "ok - $1 # SKIP $2"
}

# nothing COMMAND...: passes if the command prints nothing.
nothing() {
	found=$("$@" 2>&1)
	printf '%s\n' "$found"
	[ -z "$found" ]
}

# says TEXT COMMAND...: passes if the command fails and its output has the text.
says() {
	text=$1
	shift
	if output=$("$@" 2>&1); then
		printf 'it should have failed, but said:\n%s\n' "$output"
		return 1
	fi
	printf '%s\n' "$output"
	case $output in
	*"$text"*) ;;
	*) echo "which does not have: $text" && return 1 ;;
	esac
}
