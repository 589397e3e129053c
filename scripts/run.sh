# Sourced by scripts of several steps: run COMMAND... runs one of them so that a signal to the script ends it too, with
# all that it started, and the script with it. Without this bash would end and leave the step running behind it.

run() {
    local code=0 signal
    set -m    # a process group of its own
    "$@" &
    _step=$!
    set +m
    for signal in INT TERM HUP; do
        # shellcheck disable=SC2064
        trap "kill -$signal -- -$_step 2>/dev/null || true" "$signal"
    done
    wait "$_step" || code=$?
    while kill -0 "$_step" 2>/dev/null; do    # a signal ends the waiting before the step has ended
        code=0
        wait "$_step" || code=$?
    done
    trap - INT TERM HUP
    return "$code"
}
