# Requests REQUEST_PATH from SERVER:${PORT:-80}, AT_A_TIME at a time, until the file /tmp/end (or END) exists.
# Each of these loops prints at its end: answered N lost M. It needs only bash, because the image has no curl.
end=${END:-/tmp/end}

ask() {
  local version status rest
  exec 3<>"/dev/tcp/$SERVER/${PORT:-80}" || return 1
  printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$REQUEST_PATH" "$SERVER" >&3 || return 1
  IFS=' ' read -r -t 30 version status rest <&3 || return 1
  [[ $status == 200 ]] || return 1
  IFS= read -r -d '' -t 30 rest <&3  # up to the end, without a process for it
  return 0
}

asking() {
  local answered=0 lost=0
  while [[ ! -e $end ]]; do
    if ask; then answered=$((answered + 1)); else lost=$((lost + 1)); fi
    exec 3>&-
  done 2>/dev/null
  echo "answered $answered lost $lost"
}

for ((number = 0; number < AT_A_TIME; number++)); do asking & done
wait
