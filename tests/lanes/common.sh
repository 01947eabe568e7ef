# For the lanes beside it, which source it: each lane is one script, exits 0 (clean), 77 (a tool is
# missing) or 1, and prints what it found. tests/run --long runs them all; any runs alone, too.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

need() { # need TOOL...
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || {
            echo "$tool is not installed: deploy/deps --test"
            exit 77
        }
    done
}

# configure DIR OPTION...: as tests/run does.
configure() {
    local dir=$1
    shift
    mkdir -p build
    if [ -e "$dir/build.ninja" ]; then
        meson configure "$dir" "$@" >"$dir.log" 2>&1
    else
        meson setup "$dir" "$@" >"$dir.log" 2>&1
    fi || {
        tail -n 20 "$dir.log"
        exit 1
    }
}

# compile DIR TARGET...
compile() {
    local dir=$1
    shift
    ninja -C "$dir" "$@" >>"$dir.log" 2>&1 || {
        grep -E 'error|undefined|FAILED' "$dir.log" | tail -n 20
        exit 1
    }
}

# known FILE: passes standard input through without what FILE explains: an extended regular
# expression a line, each under a comment that says why.
known() {
    grep -vE -f <(grep -vE '^(#|$)' "$1") || true
}

# each FUNCTION ITEM...: FUNCTION of each, as many at a time as there are processors. 1 if any failed.
each() {
    local function=$1
    shift
    export -f "${function?}"
    export dir
    printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -uo pipefail -c "$function {}" || return 1
}

# all_passed LOG: the last line of a program of tests says so. One that died says nothing.
all_passed() {
    grep -qE '^[1-9][0-9]* passed, 0 failed, ' <(tail -n 1 "$1")
}

# passed_or_again LOG COMMAND...: LOG is COMMAND's output. Tests that failed run once more, alone: the
# tools make all many times slower, and others were running. 1 if one fails again, or nothing was said.
passed_or_again() {
    local log=$1 names
    shift
    all_passed "$log" && return
    mapfile -t names < <(sed -n 's/^FAILED \([^ ]*\) .*/\1/p' "$log")
    [ "${#names[@]}" -gt 0 ] && tail -n 1 "$log" | grep -qE '^[0-9]+ passed, ' || return 1
    "$@" "${names[@]}" >"$log.again" 2>&1 </dev/null || true
    printf '%-28s again: %s\n' '' "$(tail -n 1 "$log.again")"
    all_passed "$log.again"
}
export -f all_passed passed_or_again
