# packages.sh: sourced by the scripts that build. Debian packages by need.

# A tool that is there counts, wherever it came from; the rest is asked of dpkg.
package_present() {
    case $1 in
        ninja-build) command -v ninja >/dev/null 2>&1 && return 0 ;;
        nodejs) command -v node >/dev/null 2>&1 && return 0 ;;
        lib*) ;;
        *) command -v "$1" >/dev/null 2>&1 && return 0 ;;
    esac
    dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed$'
}

# Installing redis-server starts and enables a service; the tests start servers
# of their own. The guard is the one of Debian policy: 101 forbids every start.
install_without_services() (
    guard=/usr/sbin/policy-rc.d
    if [ ! -e "$guard" ]; then
        trap '$as_root rm -f "$guard"' EXIT
        trap 'exit 1' INT TERM
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$guard" >/dev/null
        $as_root chmod 755 "$guard"
    fi
    get="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300"
    known=yes
    for package; do
        apt-cache show "$package" >/dev/null 2>&1 || known=no
    done
    [ $known = yes ] || $get update || return 1
    # A list that is older than the archive fails at the download: once more.
    $get install -y --no-install-recommends "$@" ||
        { $get update && $get install -y --no-install-recommends "$@"; } || return 1
    case " $* " in
        *' redis-server '*)
            [ ! -d /run/systemd/system ] || $as_root systemctl disable --quiet redis-server ;;
    esac
)

# need_packages NAME...: install those that are missing; exits if it cannot.
need_packages() {
    if ! command -v dpkg-query >/dev/null 2>&1; then
        echo "not a Debian system: going on with what is installed" >&2
        return 0
    fi
    missing=
    for package; do
        package_present "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1; then
        as_root=sudo
    else
        echo "missing packages, and neither root nor sudo to install them; run as root:" >&2
        echo "  apt-get install$missing" >&2
        exit 1
    fi
    echo "installing:$missing" >&2
    # shellcheck disable=SC2086 # a list
    install_without_services $missing >&2 || {
        echo "could not install:$missing" >&2
        exit 1
    }
}

# shellcheck disable=SC2034 # for those who source this
BUILD_PACKAGES="gcc libc6-dev meson ninja-build pkg-config python3 libwebsockets-dev
    libwebsockets-evlib-uv libuv1-dev libjansson-dev liburing-dev libssl-dev
    libhiredis-dev"
# shellcheck disable=SC2034
TEST_PACKAGES="g++ libcmocka-dev openssl redis-server iproute2 nftables
    nodejs npm chromium fonts-dejavu-core"
