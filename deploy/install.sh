#!/bin/sh
# Installs Watchpost, or one of its programs, from a release; again to update. Everything: sh install.sh --help
#
# Does the same however often it runs, and changes nothing before the checksum of what was fetched is right. The checksum
# comes from where the archive comes from: it finds what broke on the way. Settings and data are never overwritten.
set -eu

version=0.1.0
releases=https://github.com/watchpost/watchpost/releases/download
part=all-in-one
from=
root=
start=yes
action=install
purge=no

usage() {
  cat <<'USAGE'
usage: sh install.sh [--part PART] [--version VERSION] [--from PLACE] [--no-start]
       sh install.sh --uninstall [--part PART] [--purge]

  --part PART        all-in-one (the default), exporter, receiver or blackbox
  --version VERSION  which release (the one this script belongs to)
  --from PLACE       a folder or a URL with the archive and SHA256SUMS, instead of the project's releases
  --no-start         neither start nor enable the service
  --uninstall        stop the service and remove program and unit; settings and data stay
  --purge            with --uninstall: remove settings and data as well
  --root FOLDER      work below FOLDER and leave users and services alone, to build an image
USAGE
}

say() { printf '%s\n' "$*"; }
fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

while [ $# -gt 0 ]; do
  case $1 in
    --part | --version | --from | --root)
      [ $# -ge 2 ] || fail "$1 wants a value"
      case $1 in
        --part) part=$2 ;;
        --version) version=${2#v} ;;
        --from) from=$2 ;;
        --root) root=${2%/} ;;
      esac
      shift
      ;;
    --no-start) start=no ;;
    --uninstall) action=uninstall ;;
    --purge) purge=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  shift
done

case $part in
  all-in-one) program=watchpost ;;
  exporter | receiver | blackbox) program=watchpost-$part ;;
  *) fail "there is no part '$part': all-in-one, exporter, receiver or blackbox" ;;
esac
if [ "$action" = install ] && [ $purge = yes ]; then fail '--purge belongs to --uninstall'; fi
[ "$(uname -s)" = Linux ] || fail 'releases are for Linux; build from source elsewhere'
if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then fail 'run it as root, such as with sudo'; fi

bin=$root/usr/local/bin/$program
unit=$root/etc/systemd/system/$program.service
settings=$root/etc/default/$program
# Whether there are services to look after.
systemd=no
if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemd=yes; fi

uninstall() {
  if [ $systemd = yes ] && [ -e "$unit" ]; then systemctl disable --now "$program.service"; fi
  rm -f "$bin" "$unit"
  if [ $systemd = yes ]; then systemctl daemon-reload; fi
  if [ $purge = yes ]; then
    rm -f "$settings"
    # Of a dynamic user, the first is a link to the second.
    rm -rf "$root/var/lib/$program" "$root/var/lib/private/$program"
    say "$program, its settings and its data are gone"
  else
    say "$program is gone; $settings and data are still there (--purge removes them)"
  fi
}

# fetch NAME: puts it into the folder $room.
fetch() {
  place=${from:-$releases/v$version}
  case $place in
    http://* | https://*)
      if has curl; then
        curl --fail --silent --show-error --location --retry 3 --output "$room/$1" "$place/$1" ||
          fail "$place/$1 could not be fetched"
      elif has wget; then
        wget --quiet --tries=3 --output-document="$room/$1" "$place/$1" || fail "$place/$1 could not be fetched"
      else
        fail 'curl or wget is needed'
      fi
      ;;
    *) cp "$place/$1" "$room/$1" || fail "$place/$1 is not there" ;;
  esac
}

# put MODE FILE PLACE: whole or not at all, and says so by its exit code if nothing had to change.
put() {
  if [ -e "$3" ] && cmp -s "$2" "$3"; then return 1; fi
  # Nothing ends a script by itself within the condition of an `if`, where this is called.
  { mkdir -p "$(dirname "$3")" && cp "$2" "$3.new" && chmod "$1" "$3.new" && mv "$3.new" "$3"; } ||
    fail "$3 could not be written"
}

make_user() {
  if [ -n "$root" ] || id watchpost >/dev/null 2>&1; then return 0; fi
  if has useradd; then
    useradd --system --user-group --home-dir /var/lib/watchpost --no-create-home --shell /usr/sbin/nologin watchpost
  elif has adduser; then
    adduser -S -D -H -h /var/lib/watchpost -s /sbin/nologin watchpost
  else
    fail 'neither useradd nor adduser is there: make a system user watchpost and run this again'
  fi
}

install() {
  case $(uname -m) in
    x86_64 | amd64) machine=x86_64 ;;
    aarch64 | arm64) machine=aarch64 ;;
    *) fail "there is no release for $(uname -m); build from source" ;;
  esac
  for tool in sha256sum tar cmp; do has $tool || fail "$tool is needed"; done
  room=$(mktemp -d)
  trap 'rm -rf "$room"' EXIT
  trap 'exit 1' HUP INT TERM
  name=watchpost-$version-$machine-linux
  fetch SHA256SUMS
  fetch "$name.tar.gz"
  # The line of this archive only, and exactly one.
  awk -v file="$name.tar.gz" '$2 == file || $2 == "*" file' "$room/SHA256SUMS" >"$room/sum"
  [ "$(wc -l <"$room/sum")" -eq 1 ] || fail "SHA256SUMS has no line for $name.tar.gz"
  (cd "$room" && sha256sum -c sum >/dev/null 2>&1) ||
    fail "the checksum of $name.tar.gz is wrong: nothing was installed; fetch it again"
  tar -xzf "$room/$name.tar.gz" -C "$room"
  [ -x "$room/$name/$program" ] || fail "$name.tar.gz has no $program"

  changed=no
  if [ "$part" = all-in-one ]; then make_user; fi
  if put 755 "$room/$name/$program" "$bin"; then changed=yes; fi
  sed 's#^ExecStart=/usr/bin/#ExecStart=/usr/local/bin/#' "$room/$name/systemd/$program.service" >"$room/unit"
  if put 644 "$room/unit" "$unit"; then changed=yes; fi
  if [ ! -e "$settings" ]; then
    printf '%s\n' "# Settings of $program as variables: --web.listen-address is WATCHPOST_WEB_LISTEN_ADDRESS." >"$room/settings"
    if [ "$part" = receiver ]; then
      printf '%s\n' '#DATABASE_URL=postgres://watchpost:password@localhost:5432/watchpost' >>"$room/settings"
    fi
    # Secrets may stand in it.
    put 600 "$room/settings" "$settings" || true
  fi

  if [ $changed = no ]; then say "$program $version is installed already"; else say "$program $version is installed as $bin"; fi
  if [ $systemd = no ]; then
    if [ -z "$root" ]; then say "There is no systemd here: start $bin yourself."; fi
    return 0
  fi
  systemctl daemon-reload
  if [ $start = no ]; then return 0; fi
  if [ "$part" = receiver ] && ! grep -q '^DATABASE_URL=' "$settings"; then
    say "Write DATABASE_URL into $settings, then: systemctl enable --now $program"
    return 0
  fi
  systemctl --quiet enable "$program.service"
  if [ $changed = yes ]; then systemctl restart "$program.service"; else systemctl start "$program.service"; fi
  say "It runs: systemctl status $program"
}

$action
