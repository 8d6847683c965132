#!/usr/bin/env bash
# The Windows program under Wine: bash exporter/tests/wine.sh
#
# Builds the program for Windows, starts it, scrapes it, and asks promtool about what it says; then does the same as a
# service. It wants the Rust target x86_64-pc-windows-gnu, MinGW's linker (gcc-mingw-w64-x86-64) and Wine (wine64), and
# says loudly what is missing. The first build takes minutes, so that no other test runs this.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly TARGET=x86_64-pc-windows-gnu
folder=$(mktemp -d)
readonly folder

skip() {
  echo "SKIPPED: $1; the Windows program is NOT tested"
  rm -rf "$folder"
  exit 0
}

fail() {
  echo "FAILED: $1" >&2
  [ ! -e "$folder/log" ] || tail -n 20 "$folder/log" >&2
  exit 1
}

# first NAME...: the first of these programs that is there.
first() {
  local name
  for name in "$@"; do
    command -v "$name" && return 0
  done
  return 1
}

# Debian has them beside the path.
wine=$(first wine64 wine /usr/lib/wine/wine64) || skip 'Wine is not installed'
server=$(first wineserver /usr/lib/wine/wineserver64 /usr/lib/wine/wineserver) || skip 'wineserver is not installed'
command -v x86_64-w64-mingw32-gcc >/dev/null || skip 'gcc-mingw-w64-x86-64 is not installed'
command -v curl >/dev/null || skip 'curl is not installed'
rustup target list --installed 2>/dev/null | grep -qx "$TARGET" ||
  skip "the Rust target is not there: rustup target add $TARGET"

cargo build --locked --target "$TARGET" -p exporter
program="$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/$TARGET/debug/watchpost-exporter.exe"

exporter=
cleanup() {
  [ -z "$exporter" ] || kill "$exporter" 2>/dev/null || true
  # Ends what Wine started for this prefix, and nothing else.
  "$server" -k 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT
export WINEPREFIX="$folder/wine" WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml=' DISPLAY=

# Wine before 8.3 lacks one library that every Rust program asks for random numbers: here it is, from its older name.
home=$WINEPREFIX/drive_c/watchpost
mkdir -p "$home"
cp "$program" "$home/"
program=$home/watchpost-exporter.exe
x86_64-w64-mingw32-gcc -shared -o "$home/bcryptprimitives.dll" -x c - -ladvapi32 <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID data, ULONG length);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length) {
  return SystemFunction036(data, (ULONG)length);
}
C
"$wine" wineboot --init
"$wine" winecfg -v win10

# scrape PORT FILE: asks the program, as soon as it answers.
scrape() {
  local port=$1 file=$2
  for _ in $(seq 100); do
    curl --silent --fail --max-time 20 --output "$file" "http://127.0.0.1:$port/metrics" && return 0
    sleep 0.3
  done
  return 1
}

# has FILE LINE...: whether each regular expression matches a line.
has() {
  local file=$1 line
  shift
  for line in "$@"; do
    grep -qE "^$line" "$file" || fail "no line begins with $line"
  done
}

port=$((20000 + RANDOM % 10000))
"$wine" "$program" --version
"$wine" "$program" "--web.listen-address=127.0.0.1:$port" --collector.cs --collector.time --collector.systemd \
  >"$folder/log" 2>&1 &
exporter=$!
scrape "$port" "$folder/metrics" || fail 'it does not answer'
has "$folder/metrics" \
  'windows_cpu_time_total\{core="0,0",mode="idle"\} ' \
  'windows_cpu_logical_processor [1-9]' \
  'windows_memory_physical_total_bytes [1-9]' \
  'windows_os_info\{product="' \
  'windows_cs_logical_processors [1-9]' \
  'windows_service_state\{name="[^"]*",state="running"\} ' \
  'windows_system_processes [1-9]' \
  'windows_time_current_timestamp_seconds [1-9]' \
  'process_resident_memory_bytes [1-9]' \
  'windows_exporter_collector_success\{collector="cpu"\} 1$'
grep -q 'collector.systemd' "$folder/log" || fail 'nothing is said about a flag of Linux'
echo "$(grep -c '^# TYPE' "$folder/metrics") families, $(grep -vc '^#' "$folder/metrics") samples"
grep -E '^watchpost_exporter_collector_failure_info' "$folder/metrics" || true
if command -v promtool >/dev/null; then
  # 3 is what it says about names that are a contract.
  promtool check metrics <"$folder/metrics" || [ $? = 3 ] || fail 'promtool does not accept it'
else
  echo 'SKIPPED: promtool is not installed, so the format is not checked'
fi
kill "$exporter"
exporter=
# Until Wine has ended, too.
"$server" -w

port=$((port + 1))
"$wine" sc create watchpost-exporter start= demand \
  binPath= "C:\\watchpost\\watchpost-exporter.exe --web.listen-address=127.0.0.1:$port" >/dev/null || fail 'make the service'
"$wine" net start watchpost-exporter || fail 'start the service'
scrape "$port" "$folder/metrics" || fail 'the service does not answer'
has "$folder/metrics" 'windows_service_state\{name="watchpost-exporter",state="running"\} 1$'
"$wine" net stop watchpost-exporter || fail 'stop the service'
for _ in $(seq 100); do
  curl --silent --max-time 2 --output /dev/null "http://127.0.0.1:$port/" || break
  sleep 0.3
done
! curl --silent --max-time 2 --output /dev/null "http://127.0.0.1:$port/" || fail 'the service does not stop'
echo 'the Windows program works under Wine, in a terminal and as a service'
