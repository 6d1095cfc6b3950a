#!/bin/sh
# A worker over REST in POSIX sh, with curl only. It runs a command on each task: the payload comes
# on its stdin, and what it prints, one JSON value or nothing, is the result.
#
#     HMS_API=http://127.0.0.1:8470 HMS_TOKEN=hms_... QUEUE=passport.photo sh worker.sh ./validate
#
# The command's exit code says what became of the task:
#     0   done
#     65  failed for good, for the reason that it wrote to stderr
#     else it is tried again, as the queue's settings say
# It gets SIGTERM when the task is cancelled or this worker stops or is killed. TASK_ID, TASK_TOKEN
# and TASK_ATTEMPT are in its environment, and TRACEPARENT if the task belongs to a trace. Without a
# command there is a small one for trying it out.

set -u
umask 077

api=${HMS_API:-http://127.0.0.1:8470}
api=${api%/}/oms
queue=${QUEUE:-passport.photo}
worker=sh-$$
incarnation=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
seq=0
stopping=
nap=

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'stopping=1' TERM INT
printf 'Content-Type: application/json\n' >"$dir/headers"
[ -z "${HMS_TOKEN:-}" ] || printf 'Authorization: Bearer %s\n' "$HMS_TOKEN" >>"$dir/headers"

log() {
    printf '[worker.sh] %s\n' "$*" >&2
}

validate() { # what is run without a command
    if grep -q '\.jpg"'; then
        echo '{"note": "Photo OK"}'
    else
        echo 'Not a JPEG' >&2
        return 65
    fi
}

# JSON, as little of it as is needed.

json() { # json PATH <document: the JSON text of the value there, such as tasks.0.payload, or nothing
    LC_ALL=C awk -v want=".$1" '
        function skip() { while (substr(s, i, 1) ~ /[ \t\r\n]/) i++ }
        function text(   begin, c) {
            begin = i++
            while (i <= length(s) && (c = substr(s, i, 1)) != "\"") i += c == "\\" ? 2 : 1
            i++
            return substr(s, begin + 1, i - begin - 2)
        }
        function value(path,   begin, n, key, open) {
            skip(); begin = i; open = substr(s, i, 1)
            if (open == "{" || open == "[") {
                i++; n = 0; skip()
                while (i <= length(s) && substr(s, i, 1) !~ /[]}]/) {
                    if (open == "{") { key = text(); skip(); i++ } else key = n++
                    value(path "." key)
                    skip(); if (substr(s, i, 1) == ",") i++
                    skip()
                }
                i++
            }
            else if (open == "\"") text()
            else while (i <= length(s) && substr(s, i, 1) !~ /[]},: \t\r\n]/) i++
            if (path == want) { print substr(s, begin, i - begin); exit }
        }
        { s = s $0 "\n" }
        END { i = 1; value("") }'
}

word() { # the same for a text in which nothing is escaped, such as an id, without its quotes
    json "$1" | tr -d '"'
}

quoted() { # quoted <text: it as a JSON text, its last 2,000 bytes
    tail -c 2000 | iconv -c -f UTF-8 -t UTF-8 | LC_ALL=C awk '
        BEGIN {
            for (n = 1; n < 32; n++) as[sprintf("%c", n)] = sprintf("\\u%04x", n)
            as["\""] = "\\\""; as["\\"] = "\\\\"
            printf "\""
        }
        NR > 1 { printf "\\n" }
        { for (i = 1; i <= length($0); i++) { c = substr($0, i, 1); printf "%s", c in as ? as[c] : c } }
        END { printf "\"" }'
}

# HTTP.

post() { # post PATH FILE SECONDS <body: the answer is in FILE, and its status is printed
    : >"$2"
    # It is called in subshells only, and takes their place, so that a signal to one ends it.
    exec curl --silent --output "$2" --write-out '%{http_code}' --max-time "$3" \
        --header "@$dir/headers" --data-binary @- "$api/$1"
}

refused() { # whether a status is an answer that asking again would not change
    case $1 in
        408 | 425 | 429) return 1 ;;
        4??) return 0 ;;
        *) return 1 ;;
    esac
}

take() { # take SECONDS: pop one task into $dir/popped, or none if we are told to stop
    while :; do
        printf '{"queue":"%s","max":1,"wait":%s,"worker":"%s","incarnation":"%s","lane":1,"seq":%s}' \
            "$queue" "$1" "$worker" "$incarnation" "$seq" >"$dir/pop"
        # In the background: a trap does not wait for its end.
        post pop "$dir/popped" $(($1 + 10)) <"$dir/pop" >"$dir/status" &
        asking=$!
        wait "$asking"
        if [ -n "$stopping" ] && [ "$1" -gt 0 ]; then
            kill "$asking" 2>/dev/null
            wait "$asking" 2>/dev/null
            set -- 0 # the same number again: what we were given meanwhile, to hand it back
            continue
        fi
        status=$(cat "$dir/status")
        [ "$status" = 200 ] && return 0
        log "pop: status $status $(json detail <"$dir/popped" 2>/dev/null)"
        if refused "$status" || [ -n "$stopping" ]; then return 1; fi
        pause 1
    done
}

settle() { # settle HOW <the members of the body beside id and token
    { printf '{"id":"%s","token":"%s"' "$id" "$token"; cat; printf '}'; } >"$dir/body"
    tries=0
    while :; do
        status=$(post "$1" "$dir/settled" 10 <"$dir/body")
        case $status in
            200) log "task $id is $(word state <"$dir/settled")"; return 0 ;;
            404 | 409) log "task $id: $1 came too late"; return 0 ;;
        esac
        log "$1 of $id: status $status $(json detail <"$dir/settled" 2>/dev/null)"
        refused "$status" && return 1
        tries=$((tries + 1))
        # Nobody answers, and we are to stop: its lease ends by itself.
        [ -n "$stopping" ] && [ "$tries" -gt 10 ] && return 0
        pause 1
    done
}

pause() { # sleep, but not through a signal
    sleep "$1" &
    nap=$!
    wait "$nap"
    nap=
}

# Work.

keep_lease() { # keep_lease PID SECONDS: renew the lease; stop the command if the task is to be left
    # Not when either is gone: nobody would ever settle the task, or it is settled. (A signal that
    # comes while this process begins is lost, so it may not end when it is told to.)
    trap '[ -z "$nap" ] || kill "$nap"; exit 0' TERM
    printf '{"id":"%s","token":"%s","worker":"%s"}' "$id" "$token" "$worker" >"$dir/lease.$1"
    while :; do
        pause "$2"
        kill -0 "$1" 2>/dev/null || exit 0
        kill -0 $$ 2>/dev/null || { kill "$1"; exit 0; }
        status=$(post heartbeat "$dir/beat.$1" 10 <"$dir/lease.$1")
        answer=
        [ "$status" != 200 ] || answer=$(word answer <"$dir/beat.$1")
        case $answer in
            cancel | lost)
                : >"$dir/left.$1"
                kill "$1" 2>/dev/null
                ;;
        esac
    done
}

work() { # work COMMAND...: run it on the task in $dir/popped, and settle
    id=$(word tasks.0.id <"$dir/popped")
    token=$(word tasks.0.token <"$dir/popped")
    lease_ms=$(json tasks.0.lease_ms <"$dir/popped")
    json tasks.0.payload <"$dir/popped" >"$dir/payload"
    rm -f "$dir/left".* "$dir/beat".* "$dir/lease".*
    if [ -n "$stopping" ]; then
        settle release </dev/null
        return
    fi

    TASK_ID=$id TASK_TOKEN=$token TASK_ATTEMPT=$(json tasks.0.attempt <"$dir/popped")
    TRACEPARENT=$(word tasks.0.traceparent <"$dir/popped")
    export TASK_ID TASK_TOKEN TASK_ATTEMPT TRACEPARENT
    [ "$TRACEPARENT" != null ] || unset TRACEPARENT
    "$@" <"$dir/payload" >"$dir/result" 2>"$dir/error" &
    command=$!
    keep_lease "$command" $((lease_ms / 3000)) &
    keeper=$!
    while :; do
        wait "$command" 2>/dev/null
        code=$?
        kill -0 "$command" 2>/dev/null || break
        [ -z "$stopping" ] || kill "$command" 2>/dev/null # it was a signal that ended the wait
    done
    kill "$keeper" 2>/dev/null

    # `settle` reads from files, as at the end of a pipe it would be a process that a signal ends.
    if [ "$code" = 0 ]; then
        [ -s "$dir/result" ] || echo null >"$dir/result"
        { printf ',"result":'; cat "$dir/result"; } >"$dir/outcome"
        settle complete <"$dir/outcome" && return
        echo 'its result was refused' >"$dir/error"
        code=65
    fi
    if [ "$code" != 65 ] && { [ -e "$dir/left.$command" ] || [ -n "$stopping" ]; }; then
        settle release </dev/null
    else
        [ -s "$dir/error" ] || echo "exit code $code" >"$dir/error"
        [ "$code" = 65 ] && retryable=false || retryable=true
        printf ',"type":"CommandFailed","reason":%s,"retryable":%s' \
            "$(quoted <"$dir/error")" "$retryable" >"$dir/outcome"
        settle fail <"$dir/outcome"
    fi
}

[ $# -gt 0 ] || set -- validate
log "works for $queue at $api"
while [ -z "$stopping" ]; do
    seq=$((seq + 1))
    if take 20; then
        if [ -n "$(json tasks.0.id <"$dir/popped")" ]; then
            work "$@"
        elif [ "$(json drain <"$dir/popped")" = true ]; then
            pause 1 # this server is about to end: ask again, maybe another one
        fi
    elif [ -z "$stopping" ]; then
        exit 1
    fi
done
