#!/bin/sh
# The main job, end to end: a Debian base made by mmdebstrap becomes an image, a container of it
# installs nginx from Debian's packages (its network is behind NAT), is made an image, and is run with
# a published port that answers. Then what one does with a running container.
#
#   test/demo.sh [BIN]     BIN is bin by default; needs root, Debian or Ubuntu
#
# HULL_DEMO_BASE names a tar of a Debian root file system to begin with; without it, one is made by
# mmdebstrap and kept in HULL_CACHE (/var/cache/hull) for the next time. Nothing else is left behind.
set -eu
bin=$(cd "${1:-bin}" && pwd)
cache=${HULL_CACHE:-/var/cache/hull}
base=${HULL_DEMO_BASE:-$cache/debian.tar}
port=${HULL_DEMO_PORT:-8080}
[ "$(id -u)" = 0 ] || { echo "demo: needs root" >&2; exit 1; }

need=
command -v curl >/dev/null || need="$need curl"
[ -s "$base" ] || command -v mmdebstrap >/dev/null || need="$need mmdebstrap"
if [ -n "$need" ]; then
	echo "demo: apt-get install$need"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086 # words
	apt-get install -y -qq --no-install-recommends $need >/dev/null
fi

dir=$(mktemp -d /var/tmp/hull-demo-XXXXXX)
daemon=
hull() { "$bin/hull" -H "unix://$dir/run/hull.sock" "$@"; }
cleanup() {
	status=$?
	[ -z "$daemon" ] || {
		ids=$(hull ps -aq 2>/dev/null) || ids=
		# shellcheck disable=SC2086
		[ -z "$ids" ] || hull rm -f $ids >/dev/null 2>&1 || true
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" 2>/dev/null || true
	}
	[ $status = 0 ] || { echo "demo: failed; the end of hulld's log:" >&2; tail -20 "$dir/run/hulld.log" >&2 2>/dev/null || true; }
	# Networks outlive hulld; this one's data root does not come back.
	ip link del "${instance}0" 2>/dev/null || true
	nft delete table inet "$instance" 2>/dev/null || true
	nft delete table bridge "$instance" 2>/dev/null || true
	rm -rf "$dir"
}
step() { printf '\ndemo: %s\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }
instance=hull-$(printf '%s' "$dir/data" | sha256sum | cut -c1-6)
trap cleanup EXIT
trap 'exit 1' INT TERM

step "hulld, with a data root and a socket of its own in $dir"
mkdir -p "$dir/run"
"$bin/hulld" --data-root "$dir/data" --state-dir "$dir/run" &
daemon=$!
tries=0
until hull version >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || fail "hulld does not answer"
	sleep 0.1
done

if [ ! -s "$base" ]; then
	step "mmdebstrap: a Debian base, kept as $base"
	mkdir -p "$(dirname "$base")"
	sources=
	for f in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/ubuntu.sources /etc/apt/sources.list; do
		if [ -s "$f" ]; then sources=$f; break; fi
	done
	mmdebstrap --quiet --variant=minbase "" "$base.new.tar" $sources
	mv "$base.new.tar" "$base"
fi
step "hull import: $(du -h "$base" | cut -f1) become the image debian"
hull import - debian <"$base" >/dev/null
hull image ls

step "a container installs nginx from Debian's packages"
# What the packages ask of the system's init is not there in a container, and not needed.
hull run --name install --env DEBIAN_FRONTEND=noninteractive debian sh -euc '
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends nginx-light >/dev/null
	echo "Hello from nginx in a container" >/var/www/html/index.html
	nginx -v' 2>&1 | grep -v "^debconf:" || true
[ "$(hull inspect --format '{{.State.ExitCode}}' install)" = 0 ] || fail "the installation failed"
hull commit --change 'CMD ["nginx", "-g", "daemon off;"]' --change 'EXPOSE 80' install nginx >/dev/null
hull rm install >/dev/null

step "hull run -d -p $port:80 nginx"
hull run -d --name web -p "$port:80" nginx
page=
tries=0
until page=$(curl -fsS --max-time 2 --noproxy '*' "http://127.0.0.1:$port/" 2>/dev/null); do
	tries=$((tries + 1))
	[ $tries -lt 50 ] || fail "the server does not answer"
	sleep 0.1
done
[ "$page" = "Hello from nginx in a container" ] || fail "the server says: $page"
echo "demo: http://127.0.0.1:$port/ says: $page"
hull port web
hull ps

step "the same from another container, in the foreground, by the address of the first"
address=$(hull inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' web)
got=$(hull run --rm debian bash -c "exec 3<>/dev/tcp/$address/80; printf 'GET / HTTP/1.0\r\n\r\n' >&3; cat <&3" | tail -1)
[ "$got" = "$page" ] || fail "the other container got: $got"
echo "$got"

step "hull exec, logs, stats, stop, rm"
hull exec web nginx -v
hull exec web sh -c 'tail -1 /var/log/nginx/access.log'
hull logs web
hull stats --no-stream web
status=0
hull run --rm debian sh -c 'echo "to standard output"; exit 3' || status=$?
[ $status = 3 ] || fail "the exit status is $status, not 3"
hull stop web
hull rm web
[ -z "$(hull ps -aq)" ] || fail "a container is left"
echo
echo "demo: nginx answered; nothing is left"
