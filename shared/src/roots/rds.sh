#!/bin/sh
# Makes rds.pem from Amazon's bundle of certificates for RDS:
#
#   curl -O https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem
#   sh rds.sh global-bundle.pem > rds.pem
#
# More files may be given: the bundles of China and GovCloud are separate. Kept are the certificates that are not
# expired and belong to one region, under a line `# region`; those of Amazon's test environments are left out.
set -eu
export LC_ALL=C # one order everywhere
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat "$@" | awk -v folder="$work" '
    /-----BEGIN CERTIFICATE-----/ { file = sprintf("%s/%04d.pem", folder, ++count) }
    file { print > file }
    /-----END CERTIFICATE-----/ { close(file); file = "" }'
for file in "$work"/*.pem; do
    openssl x509 -in "$file" -noout -checkend 0 > /dev/null || continue
    name=$(openssl x509 -in "$file" -noout -subject -nameopt multiline | sed -n 's/^ *commonName *= //p')
    region=$(printf '%s\n' "$name" | sed -n 's/^Amazon RDS \([a-z]\{2,\}-[a-z-]*-[0-9]\) .*/\1/p')
    [ -n "$region" ] || continue
    printf '%s|%s|%s\n' "$region" "$name" "$file"
done | sort -u > "$work/list"
echo "# What instances of RDS and Aurora are signed by, region by region. Made by rds.sh, which says how, on $(date -u +%Y-%m-%d)."
region=
while IFS='|' read -r of name file; do
    [ "$of" = "$region" ] || printf '# %s\n' "$of"
    region=$of
    # Written anew: one form for whatever the bundle contains.
    openssl x509 -in "$file"
done < "$work/list"
