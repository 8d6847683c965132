#!/bin/sh
# Packs what was built into Debian packages, one for each program: sh deploy/deb.sh PROGRAMS ARCHITECTURE VERSION OUTPUT
#
# PROGRAMS is the folder of the four programs, ARCHITECTURE Debian's word for the machine (amd64, arm64). The programs are
# best linked with musl: then the packages need nothing and install on any release. Needs dpkg-deb.
set -eu
[ $# = 4 ] || { sed -n 2,5p "$0" >&2; exit 2; }
programs=$1 architecture=$2 version=$3 output=$4
here=$(dirname "$0")
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mkdir -p "$output"

# script NAME PACKAGE: one of the maintainer's scripts, with the package's name in it.
script() {
  user=b
  [ "$2" = watchpost ] || user='/# The user/,/^  fi/d'
  sed -e "s/@PACKAGE@/$2/g" -e "$user" "$here/debian/$1" >"$room/$2/DEBIAN/$1"
  chmod 755 "$room/$2/DEBIAN/$1"
}

# package NAME SUMMARY: the long description is what comes on standard input.
package() {
  folder=$room/$1
  mkdir -p "$folder/DEBIAN" "$folder/usr/bin" "$folder/usr/lib/systemd/system" "$folder/etc/default" \
    "$folder/usr/share/doc/$1"
  cp "$programs/$1" "$folder/usr/bin/"
  cp "$here/systemd/$1.service" "$folder/usr/lib/systemd/system/"
  cp "$here/debian/default" "$folder/etc/default/$1"
  if [ "$1" = watchpost-receiver ]; then
    echo '#DATABASE_URL=postgres://watchpost:password@localhost:5432/watchpost' >>"$folder/etc/default/$1"
  fi
  cp "$here/debian/copyright" "$folder/usr/share/doc/$1/"
  printf '%s (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- Watchpost <watchpost@users.noreply.github.com>  Thu, 01 Jan 2026 00:00:00 +0000\n' \
    "$1" "$version" | gzip -9n >"$folder/usr/share/doc/$1/changelog.gz"
  find "$folder" -type d -exec chmod 755 {} +
  find "$folder" -type f -exec chmod 644 {} +
  chmod 755 "$folder/usr/bin/$1"
  chmod 640 "$folder/etc/default/$1"
  echo "/etc/default/$1" >"$folder/DEBIAN/conffiles"
  for name in postinst prerm postrm; do script $name "$1"; done
  {
    cat <<CONTROL
Package: $1
Version: $version
Architecture: $architecture
Maintainer: Watchpost <watchpost@users.noreply.github.com>
Installed-Size: $(du -ks "$folder" | cut -f 1)
Section: net
Priority: optional
Homepage: https://github.com/watchpost/watchpost
CONTROL
    if [ "$1" = watchpost ]; then
      echo 'Depends: adduser'
      echo 'Recommends: postgresql'
    fi
    echo "Description: $2"
    sed -e 's/^$/./' -e 's/^/ /'
  } >"$folder/DEBIAN/control"
  (cd "$folder" && find usr -type f -exec md5sum {} + | sort -k 2) >"$folder/DEBIAN/md5sums"
  # The same packages for the same programs, all of one time.
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600} dpkg-deb --root-owner-group -Zxz --build "$folder" "$output/${1}_${version}_$architecture.deb" >/dev/null
  echo "$output/${1}_${version}_$architecture.deb"
}

package watchpost 'monitoring on a PostgreSQL of its own, in one process' <<'TEXT'
Metrics of this machine and probes of others, kept in PostgreSQL and shown in
a browser: the exporter, the blackbox exporter and the receiver together.
TEXT
package watchpost-exporter 'metrics of this machine for Prometheus' <<'TEXT'
A drop-in for node_exporter: the same flags, names and port.
TEXT
package watchpost-receiver 'remote write of Prometheus into PostgreSQL' <<'TEXT'
Keeps the samples of Prometheus in a plain PostgreSQL and answers SQL and
PromQL.
TEXT
package watchpost-blackbox 'probes of HTTP and other endpoints for Prometheus' <<'TEXT'
A drop-in for blackbox_exporter that tells why a probe failed.
TEXT
