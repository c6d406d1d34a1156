# Installs the Debian packages named as arguments, and starts nothing on this machine:
# the lab runs its own routers and proxies, in its own namespaces.
set -eu
export DEBIAN_FRONTEND=noninteractive

# While it exists, package scripts start no service (Debian policy 9.3.3.1).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

enabled_before() { systemctl is-enabled --quiet "$1" 2>/dev/null; }
disable_after=
if command -v systemctl >/dev/null; then
    for unit in bird frr haproxy mariadb nginx postgresql rabbitmq-server redis-server; do
        unit=$unit.service
        enabled_before "$unit" || disable_after="$disable_after $unit"
    done
fi

# No package lists, or lists that are too old to have the packages, or to have them where the mirror has.
install() { apt-get install --yes --no-install-recommends "$@"; }
if apt-get install --simulate "$@" >/dev/null 2>&1; then
    install "$@" || { apt-get update && install "$@"; }
else
    apt-get update
    install "$@"
fi

for unit in $disable_after; do
    if systemctl is-enabled --quiet "$unit" 2>/dev/null; then
        systemctl disable --quiet "$unit" || echo "could not disable $unit: it may start at the next boot" >&2
    fi
done
