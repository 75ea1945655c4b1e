#!/usr/bin/env bash
# Runs on a machine with an NVIDIA GPU what was built on one without: `run.sh [tests|sanitize|bench|peers|all]...`
#
# Needs the NVIDIA driver and NVRTC, which the library finds in a toolkit or in Python's site-packages; INSTEP_NVRTC
# names it where it lies elsewhere. Python 3 joins the results into one results.json and one results.md; without it there
# are the rows alone, in PART.jsonl. Every row is written when it is there, so a run that is killed keeps what it had. A
# part that runs again replaces its own rows and no other's.
#
# INSTEP_RESULTS: where the results go (results/ beside this file).
# INSTEP_LIMITS: seconds that parts have, where they are not the ones below: "sanitize=120 bench=90".
# INSTEP_STANDIN=1: this is a dry run on CUDA on the CPU, and the results say so; nothing is timed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=${INSTEP_RESULTS:-$here/results}
standin=${INSTEP_STANDIN:-}
failed=0

# Seconds that each part has by its own clock, with the last call's grace before it is killed.
declare -A limits=([tests]=240 [sanitize]=460 [bench]=460 [peers]=460)
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
    ! have_python || python3 "$here/results.py" merge "$results" || echo "run.sh: the results were not joined" >&2
}

# The machine, as an object: asked of the driver itself, or of nvidia-smi where there is no Python.
machine() {
    if have_python; then
        python3 "$here/results.py" describe
    else
        printf '{"GPU": %s}' "$(json "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null)")"
    fi
}

# Starts a part: its clock, its rows and its log.
begin() {
    part=$1
    end=$((SECONDS + limits[$part]))
    log=$results/$part.log
    : >"$log"
    printf '{"head": {"date": "%s", "revision": %s, "standin": %s, "machine": %s}}\n' "$(date -u +%FT%TZ)" \
        "$(json "$(<"$here/revision")")" "$([[ $standin ]] && echo true || echo false)" "$(machine)" \
        >"$results/$part.jsonl"
    echo "== $part, at most ${limits[$part]} s"
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

# Runs a command as a row: check NAME SECONDS COMMAND... What it printed is in $output and in the log.
check() {
    local name=$1 most=$2 start=$EPOCHREALTIME code result note=
    shift 2
    output=$(limited "$most" "$@" 2>&1 </dev/null)
    code=$?
    printf -- '--- %s: exit status %s\n%s\n' "$name" "$code" "$output" >>"$log"
    local microseconds=$((${EPOCHREALTIME//[.,]/} - ${start//[.,]/}))
    case $code in
    0)
        result=ok
        note=$(grep -m1 -o 'skipped: .*' <<<"$output") && result=skipped
        [[ $note ]] || note=$(grep -o 'accuracy=.* backend=[a-z]*' <<<"$output")
        ;;
    124 | 137) result="timed out" ;;
    *) result=failed note=$(grep -m1 -A1 'panicked at' <<<"$output" || tail -n 2 <<<"$output") ;;
    esac
    row "$name" "$result" "$((microseconds / 1000000)).$(printf %03d $((microseconds / 1000 % 1000)))" "$note"
    return "$code"
}

# Every device test in a process of its own: after a fault on the GPU, no context of that process works again.
run_tests() {
    begin tests
    local names
    if [[ $standin ]]; then
        names=$(<"$here/sanitize.txt")
    else
        names=$("$here/bin/device" --list --format terse | sed -n 's/: test$//p' |
            grep -vxFf <("$here/bin/device" --list --format terse --ignored | sed -n 's/: test$//p'))
    fi
    # The golden cases take longest, so they come last.
    for name in $(grep -v '^golden::' <<<"$names"); do
        check "$name" 60 "$here/bin/device" --exact "$name" --nocapture
    done
    # The bench takes no stand-in for a GPU; it brings one of its own where that is asked for.
    check "bench: every way gives the same bits" 60 \
        env INSTEP_TEST_DEVICE="$([[ $standin ]] && echo standin || echo gpu)" "$here/bin/step"
    local -a steps=()
    [[ $standin ]] && steps=(--steps 330)
    for schedule in cosine plateau; do
        check "digits, $schedule" 60 "$here/bin/digits" --schedule "$schedule" --picture "$results/digits-$schedule.svg" \
            "${steps[@]}" || continue
        grep -q ' backend=cuda ' <<<"$output" ||
            row "digits, $schedule, trains on the GPU" failed 0 "$(grep 'on the host' <<<"$output")"
    done
    for name in $(grep '^golden::' <<<"$names"); do
        check "$name" 90 "$here/bin/device" --exact "$name" --nocapture
    done
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

# The bench writes its own file row by row; each line that it prints says that there is one more.
run_bench() {
    begin bench
    local -a sections=()
    # The stand-in's times mean nothing: the rows then say that they were not measured.
    [[ $standin ]] && sections=(device builds) && export INSTEP_TEST_DEVICE=standin
    rm -f "$results/step.json"
    INSTEP_BENCH_RESULTS=$results INSTEP_BENCH_SECONDS=$((limits[bench] * 3 / 4)) \
        limited "${limits[bench]}" "$here/bin/step" --bench "${sections[@]}" </dev/null 2>>"$log" |
        while IFS= read -r line; do
            printf '%s\n' "$line" | tee -a "$log"
            [[ $line == '|'* ]] && merge
        done
    local code=${PIPESTATUS[0]}
    ((code == 0)) || row "the whole bench" "$( ((code == 124 || code == 137)) && echo timed out || echo failed)" \
        $((SECONDS - end + limits[bench])) "exit status $code: $(tail -n 1 "$log")"
    export INSTEP_TEST_DEVICE=gpu
    merge
}

run_peers() {
    begin peers
    if ! have_python; then
        row "peers" "not measured" 0 "python3 was not found"
        return
    fi
    local peer seconds
    for peer in torch optax; do
        # The second one gets what the first one leaves.
        seconds=$((end - SECONDS))
        [[ $peer == torch ]] && seconds=$((seconds * 2 / 3))
        limited "$seconds" python3 "$here/peers.py" "$peer" $((seconds - 2 * grace)) </dev/null 2>>"$log" |
            while IFS= read -r line; do
                printf '%s\n' "$line" | tee -a "$results/peers.jsonl"
                merge
            done
        local code=${PIPESTATUS[0]}
        ((code == 0)) || row "$peer" "not measured" 0 "exit status $code: $(tail -n 1 "$log")"
    done
}

# Beside the library's own defaults: kernels are compiled anew for each visit, a GPU is required, and the golden tables are
# those of this folder.
export INSTEP_TEST_DEVICE=gpu INSTEP_REQUIRE=gpu INSTEP_CACHE_DIR=$results/cache INSTEP_GOLDEN=$here/golden
mkdir -p "$results" && rm -rf "$INSTEP_CACHE_DIR" || exit 2

(($#)) || set -- all
for part in "$@"; do
    case $part in
    tests | sanitize | bench | peers) "run_$part" ;;
    all) for part in tests sanitize bench peers; do "run_$part"; done ;;
    *) echo "usage: run.sh [tests|sanitize|bench|peers|all]..." >&2 && exit 2 ;;
    esac
done
merge
rm -rf "$INSTEP_CACHE_DIR"
echo "results: $results"
exit "$failed"
