# Shared by the scripts that run real ticketing systems for the tests. Source it.
# Everything lies below SYSTEMS_ROOT; ports lie below those that outgoing connections are given.
SYSTEMS_ROOT="${SYSTEMS_ROOT:-${TMPDIR:-/tmp}/ticketgate-systems}"
mkdir -p "$SYSTEMS_ROOT"
export DEBIAN_FRONTEND=noninteractive

# need PACKAGE... : installs what is missing, waiting for whoever else installs
need() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "installing: ${missing[*]}" >&2
    local install=(apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends)
    # A first try without asking for new lists: they are often there, and asking takes long.
    "${install[@]}" "${missing[@]}" >"$SYSTEMS_ROOT/install.log" 2>&1 && return 0
    apt-get -o DPkg::Lock::Timeout=600 update -qq >>"$SYSTEMS_ROOT/install.log" 2>&1
    "${install[@]}" "${missing[@]}" >>"$SYSTEMS_ROOT/install.log" 2>&1 || { tail "$SYSTEMS_ROOT/install.log" >&2; return 1; }
}

# spawn PIDFILE LOG COMMAND... : in a session of its own, whose number is kept
spawn() {
    local pidfile=$1 log=$2
    shift 2
    setsid "$@" >>"$log" 2>&1 </dev/null &
    echo $! >"$pidfile"
}

# stop PIDFILE : ends that session, and nothing else
stop() {
    local pidfile=$1 pid
    [ -s "$pidfile" ] || return 0
    pid=$(cat "$pidfile")
    kill -TERM -- "-$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -0 "$pid" 2>/dev/null && { kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid"; }
    rm -f "$pidfile"
}

# answers URL SECONDS : until somebody answers anything at all
answers() {
    local code
    for _ in $(seq $(($2 * 5))); do
        code=$(curl -s -o /dev/null -m 5 -w '%{http_code}' "$1") && [ "$code" != 000 ] && return 0
        sleep 0.2
    done
    echo "no answer from $1 in $2 s" >&2
    return 1
}
