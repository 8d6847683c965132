#!/bin/sh
# Packs what was built into what install.sh fetches: sh deploy/archive.sh PROGRAMS MACHINE VERSION OUTPUT
#
# PROGRAMS is the folder of the four programs, such as target/x86_64-unknown-linux-musl/release, MACHINE x86_64 or aarch64.
# The archive is the same for the same programs, whoever packs it.
set -eu
[ $# = 4 ] || { sed -n 2,5p "$0" >&2; exit 2; }
programs=$1 machine=$2 version=$3 output=$4
here=$(dirname "$0")
name=watchpost-$version-$machine-linux
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mkdir -p "$room/$name/systemd" "$output"
for program in watchpost watchpost-exporter watchpost-receiver watchpost-blackbox; do
  cp "$programs/$program" "$room/$name/"
done
cp "$here"/systemd/*.service "$room/$name/systemd/"
cp "$here/../LICENSE" "$room/$name/"
(
  cd "$room"
  find "$name" -type d -exec chmod 755 {} +
  chmod 755 "$name"/watchpost*
  chmod 644 "$name/LICENSE" "$name"/systemd/*
)
tar -C "$room" --sort=name --mtime='2026-01-01 00:00Z' --owner=0 --group=0 --numeric-owner -cf - "$name" |
  gzip -9n >"$output/$name.tar.gz"
cd "$output"
touch SHA256SUMS
# A line for each archive in the folder.
grep -v " $name.tar.gz\$" SHA256SUMS >"$room/sums" || true
sha256sum "$name.tar.gz" >>"$room/sums"
sort -k 2 "$room/sums" >SHA256SUMS
