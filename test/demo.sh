#!/bin/sh
# The main job, end to end: a bundle made of busybox-static, a web server in a container of its
# own (own root file system, processes, network), and a page fetched from it across a veth.
#
#   test/demo.sh [RUNTIME]     RUNTIME is bin/keel by default; needs root, busybox, iproute2, curl
set -eu
runtime=${1:-bin/keel}
case $runtime in */*) runtime=$(cd "$(dirname "$runtime")" && pwd)/$(basename "$runtime") ;; esac
[ "$(id -u)" = 0 ] || { echo "demo: needs root" >&2; exit 1; }
for p in busybox ip curl; do
	command -v $p >/dev/null || { echo "demo: $p is not installed (apt-get install busybox-static iproute2 curl)" >&2; exit 1; }
done

dir=$(mktemp -d /var/tmp/hull-demo-XXXXXX)
id=hull-demo-$$
ns=hull-demo-$$
link=hd$$
cleanup() {
	"$runtime" --root "$dir/state" delete --force "$id" 2>/dev/null || true
	ip netns del "$ns" 2>/dev/null || true
	ip link del "$link" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

echo "demo: bundle $dir: busybox and a page"
mkdir -p "$dir/state" "$dir/rootfs/bin" "$dir/rootfs/www" "$dir/rootfs/proc" "$dir/rootfs/dev" "$dir/rootfs/sys" "$dir/rootfs/tmp"
cp "$(command -v busybox)" "$dir/rootfs/bin/busybox"
for a in sh httpd hostname ps; do ln -s busybox "$dir/rootfs/bin/$a"; done
echo "Hello from a container" >"$dir/rootfs/www/index.html"

# The network is the caller's to make: a namespace with one end of a veth, given by path.
ip netns add "$ns"
ip link add "$link" type veth peer name eth0 netns "$ns"
ip addr add 198.18.77.1/30 dev "$link"
ip link set "$link" up
ip -n "$ns" addr add 198.18.77.2/30 dev eth0
ip -n "$ns" link set eth0 up
ip -n "$ns" link set lo up

(cd "$dir" && "$runtime" spec)
# The specification that the runtime itself writes, changed in four places.
awk -v ns="/run/netns/$ns" -v cg="/$id" '
	/"terminal": true/ { sub(/true/, "false") }
	/"args": \[/ { print "\t\t\"args\": [\"/bin/httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"],"; skip = 1 }
	skip { if (/\]/) skip = 0; next }
	/"type": "network"/ { print "\t\t\t\t\"type\": \"network\", \"path\": \"" ns "\""; next }
	/"linux": \{/ { print; print "\t\t\"cgroupsPath\": \"" cg "\","; next }
	{ print }' "$dir/config.json" >"$dir/config.new"
mv "$dir/config.new" "$dir/config.json"

echo "demo: $runtime run --detach $id"
"$runtime" --root "$dir/state" run --detach --bundle "$dir" --pid-file "$dir/pid" "$id" </dev/null >"$dir/out" 2>&1 || { cat "$dir/out" >&2; exit 1; }
"$runtime" --root "$dir/state" list

page=
for _ in 1 2 3 4 5 6 7 8 9 10; do
	page=$(curl -fsS --max-time 2 --noproxy "*" http://198.18.77.2/ 2>/dev/null) && break
	sleep 0.1
done
[ "$page" = "Hello from a container" ] || { echo "demo: the server does not answer: '$page'" >&2; cat "$dir/out" >&2; exit 1; }
echo "demo: http://198.18.77.2/ says: $page"
echo "demo: processes in the container:"
"$runtime" --root "$dir/state" exec "$id" /bin/ps
"$runtime" --root "$dir/state" kill "$id" KILL
for _ in 1 2 3 4 5 6 7 8 9 10; do
	"$runtime" --root "$dir/state" delete "$id" 2>/dev/null && break
	sleep 0.1
done
echo "demo: deleted; $("$runtime" --root "$dir/state" list -q | wc -l) containers left"
