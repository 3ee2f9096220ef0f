# Sourced by the server scripts of this folder: starting and stopping processes of one folder, and failing so that one sees why.
# A script defines `start_server` (uses $dir and $port) and ends with `main "$@"`.

server=$(basename "$0")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/br-tests"
bucket=br-test
start_limit=60 # seconds from the first process to the bucket

fail() { # MESSAGE [LOG]: ends the script; the trap of `main` stops what runs
  echo "error: $server: $1" >&2
  if [[ -s "${2:-}" ]]; then
    echo "the end of $2:" >&2
    grep -v '^$' "$2" | tail -n 20 | cut -c1-400 >&2
  fi
  exit 1
}

# The number of a process alone could by now be another's; with the time it started it is unique.
started() { # PID: prints when it started; fails when it has ended, also when nobody has collected it yet (in containers nobody may)
  local stat fields
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  read -ra fields <<<"${stat##*) }"
  [[ "${fields[0]}" != [ZX] ]] && echo "${fields[19]}"
}

runs() { # PID STARTED
  [[ "$(started "$1")" == "$2" ]]
}

record() { # PID NAME
  echo "$1 $(started "$1" || echo 0) $2" >>"$dir/pids"
}

launch() { # NAME COMMAND...: starts a process, detached, its output in the log of that name
  local name=$1
  shift
  setsid "$@" </dev/null >"$dir/log/$name.log" 2>&1 &
  record $! "$name"
}

launched_runs() { # NAME
  local pid since name
  while read -r pid since name; do
    if [[ "$name" == "$1" ]]; then
      runs "$pid" "$since"
      return
    fi
  done <"$dir/pids"
  return 1
}

wait_for() { # NAME WHAT COMMAND...: until COMMAND succeeds, as long as the process NAME runs and there is time
  local name=$1 what=$2
  shift 2
  until "$@"; do
    launched_runs "$name" || fail "$name ended before $what" "$dir/log/$name.log"
    ((SECONDS < deadline)) || fail "$start_limit s passed before $what" "$dir/log/$name.log"
    sleep 0.05
  done
}

port_answers() { # PORT
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

end_process() { # PID STARTED: returns when it has ended
  local tries=0
  runs "$1" "$2" || return 0
  kill "$1" 2>/dev/null || true
  while runs "$1" "$2"; do
    tries=$((tries + 1))
    # Nothing is worth waiting for: the data is in memory only.
    ((tries != 60)) || kill -KILL "$1" 2>/dev/null || true
    ((tries < 600)) || fail "process $1 does not end"
    sleep 0.05
  done
}

stop_all() { # Last started first: a gateway cannot end in order without what it talks to.
  local lines i pid since
  [[ -e "$dir/pids" ]] || return 0
  mapfile -t lines <"$dir/pids"
  for ((i = ${#lines[@]} - 1; i >= 0; i--)); do
    read -r pid since _ <<<"${lines[i]}"
    end_process "$pid" "$since"
  done
  rm -f "$dir/pids"
}

give_up() { # What a signal kept from being recorded, or is to end by itself, is still a job of this shell.
  local status=$? pid
  trap '' INT TERM HUP
  for pid in $(jobs -p); do
    record "$pid" job
  done
  stop_all
  exit "$status"
}

start() {
  local pid since name
  [[ "$port" =~ ^[0-9]{1,5}$ ]] || fail "not a port: $port"
  mkdir -p "$dir/log"
  dir=$(cd -- "$dir" >/dev/null && pwd)
  if [[ -e "$dir/pids" ]]; then
    while read -r pid since name; do
      if runs "$pid" "$since"; then
        fail "$name already runs in $dir; first: $0 stop $dir"
      fi
    done <"$dir/pids"
    rm -f "$dir/pids"
  fi
  # Otherwise the answer of a stranger would be taken for the server's.
  if port_answers "$port"; then
    fail "port $port is in use"
  fi
  trap give_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  start_server
  trap - EXIT INT TERM HUP
}

print_variables() { # KEY SECRET REGION
  echo "BR_TEST_S3_ENDPOINT=http://127.0.0.1:$port"
  echo "BR_TEST_S3_ACCESS_KEY_ID=$1"
  echo "BR_TEST_S3_SECRET_ACCESS_KEY=$2"
  echo "BR_TEST_S3_BUCKET=$bucket"
  echo "BR_TEST_S3_REGION=$3"
}

main() {
  case "${1:-} $#" in
    "start 3")
      dir=$2 port=$3
      start
      ;;
    "stop 2")
      dir=$2
      [[ -e "$dir/pids" ]] || echo "$server: nothing runs in $dir" >&2
      stop_all
      ;;
    *)
      echo "usage: $0 start DIR PORT | $0 stop DIR" >&2
      exit 2
      ;;
  esac
}
