# The quick visit, read by run.sh: device tests in one process, the example, the bench's rows and the peers' rows within
# 240 seconds of wall-clock in all (INSTEP_LIMITS: quick=SECONDS).
#
# What a part does not use is the next one's. Kernels come from a cache on disk that stays from call to call of a visit.

# Percent of the visit that each part is sure of; the rest is for joining results and for the grace of a process.
declare -A shares=([tests]=54 [bench]=20 [peers]=23)

# As long as all the rest: it gets what they leave, if that is enough.
slow_test=golden::every_golden_schedule_is_applied_as_the_host_says_at_every_step
slow_test_seconds=80

# What `together` leaves to `alone_again`.
declare -A broken=()
declare -a open=()

# Seconds that a part has now: all that is left of the visit, but for the shares of the parts named after it.
left_before() {
    local left=$((visit_end - SECONDS - grace)) later
    for later in "$@"; do left=$((left - limits[quick] * shares[$later] / 100)); done
    echo $((left > 0 ? left : 0))
}

run_quick() {
    visit_end=$((SECONDS + limits[quick]))
    begin tests "$(left_before bench peers)"
    local -a names
    mapfile -t names < <(device_tests | grep -vxF "$slow_test")
    together "${names[@]}"
    run_examples
    alone_again
    run_bench "$(left_before peers)" device forms builds
    run_peers "$(left_before)" quick
    run_slow_test
}

# Runs device tests in one process and prints a row for each as its result comes. After a fault on the GPU no context of
# that process works again, so a failure is settled by `alone_again`: it goes into `broken`, with what was said, and into
# `open` like all that did not run.
together() {
    local -A settled=()
    local lines reader line said name= why= skip= start=$EPOCHREALTIME code
    broken=() open=()
    # The example and what is to be repeated come after it.
    exec {lines}< <(exec timeout -k "$grace" $((end - SECONDS - limits[quick] / 8)) "$here/bin/device" --exact "$@" \
        --nocapture --test-threads 1 2>&1 </dev/null)
    reader=$!
    while :; do
        IFS= read -r -t "${limits[test]}" -u "$lines" line
        code=$?
        # A test that crashes or hangs leaves its name, without the end of the line.
        ((code == 0)) || [[ $line ]] || break
        printf '%s\n' "$line" >>"$log"
        said=$line
        if [[ $line =~ ^test\ ([[:alnum:]_:]+)\ \.\.\.\ ?(.*)$ ]]; then
            name=${BASH_REMATCH[1]} said=${BASH_REMATCH[2]} why= skip= start=$EPOCHREALTIME
        fi
        case ${name:+$said} in
        ok)
            row "$name" "$([[ $skip ]] && echo skipped || echo ok)" "$(since "$start")" "$skip"
            settled[$name]=1 name=
            ;;
        FAILED)
            broken[$name]=${why:-failed}
            row "$name" "to be repeated" "$(since "$start")" "${broken[$name]}"
            name=
            ;;
        skipped:*) skip=${skip:-$said} ;;
        *'panicked at'*) why=${why:-$said} ;;
        ?*) [[ $why != *: ]] || why+=" $said" ;;
        esac
        ((code == 0)) || break
    done
    if [[ $name ]]; then
        if ((code > 128)); then
            # Not a line for as long as one test may take.
            kill "$reader" 2>/dev/null
            row "$name" "timed out" "$(since "$start")" "among the others"
            settled[$name]=1
        else
            broken[$name]=${why:-"the process ended in it"}
            row "$name" "to be repeated" "$(since "$start")" "${broken[$name]}"
        fi
    fi
    exec {lines}<&-
    wait "$reader"
    printf -- '--- the process of all tests: exit status %s\n' "$?" >>"$log"
    for name in "$@"; do [[ ${settled[$name]:-} ]] || open+=("$name"); done
}

# One process for each test that `together` left open, as far as the time goes.
alone_again() {
    local name
    for name in "${open[@]}"; do
        if ((end - SECONDS > 1)); then
            remark=${broken[$name]:+among the others: ${broken[$name]}}
            check "$name" "${limits[test]}" "$here/bin/device" --exact "$name" --nocapture
            remark=
        elif [[ ${broken[$name]:-} ]]; then
            row "$name" failed 0 "among the others: ${broken[$name]}; no time was left to repeat it alone"
        else
            row "$name" "timed out" 0 "the process of all tests ended before it, and no time was left"
        fi
    done
}

run_slow_test() {
    local left
    left=$(left_before)
    again tests "$left"
    if [[ $standin ]] || ((left < slow_test_seconds)); then
        row "$slow_test" "not run" 0 "left out of a quick visit with less than $slow_test_seconds s to go: \`run.sh tests\` runs it"
    else
        check "$slow_test" "$left" "$here/bin/device" --exact "$slow_test" --nocapture
    fi
}
