# Sends one request with bash alone, because the image has no curl: METHOD, SERVER, PORT, REQUEST_HOST, REQUEST_PATH, TIMEOUT in
# seconds, SUCCESS (a pattern of the status), KEY_FILE or nothing.
set -euo pipefail
key=""
if [[ -n ${KEY_FILE:-} ]]; then
  key="X-API-Key: $(<"$KEY_FILE")"$'\r\n'
fi
exec 3<>"/dev/tcp/$SERVER/$PORT"
printf '%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n' \
  "$METHOD" "$REQUEST_PATH" "$REQUEST_HOST" "$key" >&3
IFS=' ' read -r -t "$TIMEOUT" version status reason <&3 || { echo "no answer within $TIMEOUT s"; exit 1; }
echo "$METHOD $REQUEST_PATH: $status ${reason%$'\r'}"
[[ $version == HTTP/1.* && $status =~ ^$SUCCESS$ ]]
