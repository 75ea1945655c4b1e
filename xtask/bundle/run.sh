#!/usr/bin/env bash
# Runs on a machine with an NVIDIA GPU what was built on one without: `run.sh [quick|tests|sanitize|bench|peers|all]...`
#
# `quick` takes 4 minutes in all (quick.sh); the other parts have longer limits, each its own, and `all` is those four.
# Needs the NVIDIA driver and NVRTC, which the library finds in a toolkit or in Python's site-packages; INSTEP_NVRTC
# names it where it lies elsewhere. Python 3 joins the results into one results.json and one results.md; without it there
# are the rows alone, in PART.jsonl. Every row is written when it is there, so a run that is killed keeps what it had. A
# part that runs again replaces its own rows and no other's.
#
# INSTEP_RESULTS: where the results go (results/ beside this file).
# INSTEP_LIMITS: seconds that parts have, where they are not the ones below: "sanitize=120 bench=90"; `test` is one device
# test in a process with others.
# INSTEP_STANDIN=1: this is a dry run on CUDA on the CPU, and the results say so; nothing is timed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=${INSTEP_RESULTS:-$here/results}
standin=${INSTEP_STANDIN:-}
asked="run.sh${*:+ $*}"
failed=0
remark=

# Seconds that each part has by its own clock, with the last call's grace before it is killed.
declare -A limits=([quick]=240 [test]=30 [tests]=240 [sanitize]=460 [bench]=460 [peers]=460)
for limit in ${INSTEP_LIMITS:-}; do
    if [[ ! ${limits[${limit%%=*}]:-} || ! ${limit#*=} =~ ^[1-9][0-9]*$ ]]; then
        echo "INSTEP_LIMITS holds $limit, but must hold PART=SECONDS with one of ${!limits[*]}" >&2
        exit 2
    fi
    limits[${limit%%=*}]=${limit#*=}
done
grace=5

# A text as a JSON string, on one line.
json() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "$(tr -s '[:cntrl:]' ' ' <<<"$text" | sed 's/ $//')"
}

have_python() {
    command -v python3 >/dev/null
}

merge() {
    ! have_python || python3 -S "$here/results.py" merge "$results" || echo "run.sh: the results were not joined" >&2
}

# The machine, as an object: asked of the driver itself, or of nvidia-smi where there is no Python.
machine() {
    if have_python; then
        python3 "$here/results.py" describe
    else
        printf '{"GPU": %s}' "$(json "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null)")"
    fi
}

# begin PART [SECONDS]: starts a part: its clock, its rows and its log.
begin() {
    again "$1" "${2:-${limits[$1]}}"
    : >"$log"
    printf '{"head": {"date": "%s", "revision": %s, "command": %s, "standin": %s, "machine": %s}}\n' \
        "$(date -u +%FT%TZ)" "$(json "$(<"$here/revision")")" "$(json "$asked")" \
        "$([[ $standin ]] && echo true || echo false)" "$(machine)" >"$results/$part.jsonl"
    echo "== $part, at most $((end - SECONDS)) s"
}

# again PART SECONDS: goes on with a part.
again() {
    part=$1
    end=$((SECONDS + $2))
    log=$results/$part.log
}

# The seconds that have passed since an $EPOCHREALTIME.
since() {
    local microseconds=$((${EPOCHREALTIME//[.,]/} - ${1//[.,]/}))
    printf '%d.%03d' $((microseconds / 1000000)) $((microseconds / 1000 % 1000))
}

# Runs a command for $1 seconds at most, and no longer than the part has; 124 or 137 when it was cut short.
limited() {
    local most=$1 left=$((end - SECONDS))
    shift
    ((left > 0)) || return 124
    timeout -k "$grace" "$((most < left ? most : left))" "$@"
}

# row NAME RESULT SECONDS NOTE
row() {
    printf '{"row": %s, "result": %s, "seconds": %s, "note": %s}\n' "$(json "$1")" "$(json "$2")" "$3" "$(json "$4")" \
        >>"$results/$part.jsonl"
    printf '%-8s %s (%s s) %s\n' "$2" "$1" "$3" "$4"
    case $2 in failed | errors | "timed out") failed=1 ;; esac
    merge
}

# Runs a command as a row: check NAME SECONDS COMMAND... What it printed is in $output and in the log; a $remark goes
# before the row's note.
check() {
    local name=$1 most=$2 start=$EPOCHREALTIME code result note=
    shift 2
    output=$(limited "$most" "$@" 2>&1 </dev/null)
    code=$?
    printf -- '--- %s: exit status %s\n%s\n' "$name" "$code" "$output" >>"$log"
    case $code in
    0)
        result=ok
        note=$(grep -m1 -o 'skipped: .*' <<<"$output") && result=skipped
        [[ $note ]] || note=$(grep -o 'accuracy=.* backend=[a-z]*' <<<"$output")
        ;;
    124 | 137) result="timed out" ;;
    *) result=failed note=$(grep -m1 -A1 'panicked at' <<<"$output" || tail -n 2 <<<"$output") ;;
    esac
    row "$name" "$result" "$(since "$start")" "$remark${remark:+${note:+; }}$note"
    return "$code"
}

# The names of the device tests; on the stand-in, of some.
device_tests() {
    if [[ $standin ]]; then
        cat "$here/sanitize.txt"
    else
        "$here/bin/device" --list --format terse | sed -n 's/: test$//p' |
            grep -vxFf <("$here/bin/device" --list --format terse --ignored | sed -n 's/: test$//p')
    fi
}

# Every device test in a process of its own: after a fault on the GPU, no context of that process works again.
run_tests() {
    begin tests
    local names
    names=$(device_tests)
    # The golden cases take longest, so they come last.
    for name in $(grep -v '^golden::' <<<"$names"); do
        check "$name" 60 "$here/bin/device" --exact "$name" --nocapture
    done
    run_examples
    for name in $(grep '^golden::' <<<"$names"); do
        check "$name" 90 "$here/bin/device" --exact "$name" --nocapture
    done
}

# The example in its forms, and the bench's answers.
run_examples() {
    local -a steps=()
    [[ $standin ]] && steps=(--steps 330)
    for schedule in cosine plateau; do
        check "digits, $schedule" 60 "$here/bin/digits" --schedule "$schedule" --picture "$results/digits-$schedule.svg" \
            "${steps[@]}" || continue
        grep -q ' backend=cuda ' <<<"$output" ||
            row "digits, $schedule, trains on the GPU" failed 0 "$(grep 'on the host' <<<"$output")"
    done
    # The bench takes no stand-in for a GPU; it brings one of its own where that is asked for, which is slower.
    local seconds=60
    [[ $standin ]] && seconds=300
    check "bench: every way gives the same bits" "$seconds" \
        env INSTEP_TEST_DEVICE="$([[ $standin ]] && echo standin || echo gpu)" "$here/bin/step"
}

find_sanitizer() {
    command -v compute-sanitizer && return
    local -a places=("${CUDA_HOME:-/usr/local/cuda}"/bin/compute-sanitizer /usr/local/cuda*/bin/compute-sanitizer
        /usr/local/cuda*/compute-sanitizer/compute-sanitizer)
    for place in "${places[@]}"; do [[ -x $place ]] && echo "$place" && return; done
    return 1
}

run_sanitize() {
    begin sanitize
    local sanitizer tool name code start note
    sanitizer=$(find_sanitizer) || sanitizer=
    for tool in memcheck racecheck initcheck synccheck; do
        if [[ ! $sanitizer ]]; then
            row "$tool" "not run" 0 "compute-sanitizer was not found"
            continue
        fi
        while read -r name; do
            start=$SECONDS
            output=$(limited 120 "$sanitizer" --tool "$tool" --error-exitcode 99 --target-processes application-only \
                "$here/bin/device" --exact "$name" --nocapture 2>&1 </dev/null)
            code=$?
            printf -- '--- %s %s: exit status %s\n%s\n' "$tool" "$name" "$code" "$output" >>"$log"
            # Its own summary decides: a tool that did not start prints none, and the program's status passes through.
            if grep -Eq 'SUMMARY: [1-9][0-9]* (error|hazard)' <<<"$output"; then
                note=$(grep -m1 -E '^========= (Invalid|Error|Uninit|Barrier|Race)' <<<"$output")
                row "$tool $name" errors $((SECONDS - start)) "$note"
            elif ((code == 124 || code == 137)); then
                row "$tool $name" "timed out" $((SECONDS - start)) ""
            elif grep -Eq 'SUMMARY: 0 (errors|hazards)' <<<"$output"; then
                if ((code == 0)); then
                    row "$tool $name" clean $((SECONDS - start)) ""
                else
                    row "$tool $name" failed $((SECONDS - start)) "the test fails under this tool: exit status $code"
                fi
            else
                note=$(grep -m1 '^=========.*[Ee]rror\|not supported' <<<"$output" || tail -n 1 <<<"$output")
                row "$tool" refused $((SECONDS - start)) "$note"
                break
            fi
        done <"$here/sanitize.txt"
    done
}

# run_bench [SECONDS SECTION...]: the bench writes its own file row by row; each line that it prints says that there is one
# more.
run_bench() {
    begin bench "${1:-}"
    local -a sections=("${@:2}")
    # The stand-in's times mean nothing: the rows then say that they were not measured.
    [[ $standin ]] && sections=(device forms builds) && export INSTEP_TEST_DEVICE=standin
    local seconds=$((end - SECONDS))
    rm -f "$results/step.json"
    # What the bench does after its time is over, where one row was long or a build compiles, has a fifth more.
    INSTEP_BENCH_RESULTS=$results INSTEP_BENCH_SECONDS=$((seconds * 4 / 5)) \
        limited "$seconds" "$here/bin/step" --bench "${sections[@]}" </dev/null 2>>"$log" |
        while IFS= read -r line; do
            printf '%s\n' "$line" | tee -a "$log"
            [[ $line == '|'* ]] && merge
        done
    local code=${PIPESTATUS[0]}
    ((code == 0)) || row "the whole bench" "$( ((code == 124 || code == 137)) && echo timed out || echo failed)" \
        $((SECONDS - end + seconds)) "exit status $code: $(tail -n 1 "$log")"
    export INSTEP_TEST_DEVICE=gpu
    merge
}

# run_peers [SECONDS VISIT]: `quick` or `all` of the peers' rows.
run_peers() {
    begin peers "${1:-}"
    if ! have_python; then
        row "peers" "not measured" 0 "python3 was not found"
        return
    fi
    local visit=${2:-all} peer seconds
    local -a peers=(torch optax)
    [[ $visit == quick ]] && peers=(torch)
    for peer in "${peers[@]}"; do
        # The last one gets what the others leave.
        seconds=$((end - SECONDS))
        [[ $peer == "${peers[-1]}" ]] || seconds=$((seconds * 2 / 3))
        limited "$seconds" python3 "$here/peers.py" "$peer" $((seconds - 2 * grace)) "$visit" </dev/null 2>>"$log" |
            while IFS= read -r line; do
                printf '%s\n' "$line" | tee -a "$results/peers.jsonl"
                merge
            done
        local code=${PIPESTATUS[0]}
        ((code == 0)) || row "$peer" "not measured" 0 "exit status $code: $(tail -n 1 "$log")"
    done
}

. "$here/quick.sh"

# Beside the library's own defaults: a GPU is required, the golden tables are those of this folder, and kernels are compiled
# anew for each visit, but for the quick ones.
export INSTEP_TEST_DEVICE=gpu INSTEP_REQUIRE=gpu INSTEP_CACHE_DIR=$results/cache INSTEP_GOLDEN=$here/golden
mkdir -p "$results" || exit 2
[[ $* == quick ]] || rm -rf "$INSTEP_CACHE_DIR"

(($#)) || set -- all
for part in "$@"; do
    case $part in
    quick | tests | sanitize | bench | peers) "run_$part" ;;
    all) for part in tests sanitize bench peers; do "run_$part"; done ;;
    *) echo "usage: run.sh [quick|tests|sanitize|bench|peers|all]..." >&2 && exit 2 ;;
    esac
done
merge
[[ $* == quick ]] || rm -rf "$INSTEP_CACHE_DIR"
echo "results: $results"
exit "$failed"
