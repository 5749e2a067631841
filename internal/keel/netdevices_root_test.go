package keel

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// inNetns runs a shell script with $KEEL and $BUNDLE in a network namespace of its own, the
// "host" of linux.netDevices.
func (b *box) inNetns(script string) (string, error) {
	cmd := exec.Command("unshare", "--net", "sh", "-c", script)
	cmd.Env = append(os.Environ(), "KEEL="+b.keel+" --root "+b.state, "BUNDLE="+b.bundle)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// hostDevices makes veth pairs on the "host": one with addresses that move and addresses that do
// not, one that is down.
const hostDevices = `set -e
sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0 2>/dev/null || :
ip link add eth7 type veth peer name peer7
ip link add eth8 type veth peer name peer8
ip link set eth7 mtu 1400 up; ip link set peer7 up
ip addr add 192.0.2.1/24 dev eth7
ip addr add 192.0.2.9 peer 198.51.100.7/32 dev eth7
ip addr add 169.254.7.7/16 scope link dev eth7
ip addr add 192.0.2.77/24 valid_lft 1000 preferred_lft 1000 dev eth7
[ ! -e /proc/net/if_inet6 ] || ip -6 addr add 2001:db8::1/64 nodad dev eth7
set +e
`

func netDevices(m map[string]string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.NetDevices = map[string]specs.LinuxNetDevice{}
		for host, name := range m {
			s.Linux.NetDevices[host] = specs.LinuxNetDevice{Name: name}
		}
	}
}

// TestRootNetDevices: devices are in the container's namespace, renamed, up, with their permanent
// addresses of global scope and their other attributes, and no longer on the host.
func TestRootNetDevices(t *testing.T) {
	b := newBox(t, netDevices(map[string]string{"eth7": "inside", "eth8": "net%d"}), "ip", "addr")
	out, err := b.inNetns(hostDevices + `$KEEL run -b "$BUNDLE" c; echo host; ip -o link`)
	inside, host, _ := strings.Cut(out, "\nhost\n")
	if err != nil || strings.Contains(host, "eth7") || strings.Contains(host, "eth8") {
		t.Errorf("on the host: %q, %v", host, err)
	}
	for _, want := range []string{"inside", "net0", "mtu 1400", "192.0.2.1/24", "192.0.2.9 peer 198.51.100.7/32", ",UP"} {
		if !strings.Contains(inside, want) {
			t.Errorf("no %q in the container: %s", want, inside)
		}
	}
	if strings.Count(inside, ",UP") != 3 {
		t.Errorf("want lo, inside and net0 up: %s", inside)
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil && !strings.Contains(inside, "2001:db8::1/64") {
		t.Errorf("no IPv6 address in the container: %s", inside)
	}
	for _, not := range []string{"169.254.7.7", "192.0.2.77"} {
		if strings.Contains(inside, not) {
			t.Errorf("%s, which is not permanent and global, is in the container: %s", not, inside)
		}
	}
}

// TestRootNetDevicesNamespace: the namespace is there before the devices are moved, be it made by
// clone3, and not by the child in its own time, or another's.
func TestRootNetDevicesNamespace(t *testing.T) {
	b := newBox(t, netDevices(map[string]string{"eth7": "inside"}), "ip", "-o", "link")
	b.config(func(s *specs.Spec) { // of default namespaces, the child makes uts and ipc itself
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.IPCNamespace })
	})
	if plan := b.ok("run", "--print-plan", "-b", b.bundle, "c"); !strings.Contains(plan, "unshare(0x4000000)") {
		t.Errorf("the child does not make just its uts namespace: %s", plan)
	}
	out, err := b.inNetns(hostDevices + `unshare --net sleep 100 & pid=$!
while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
sed -i "s|{\"type\":\"network\"}|{\"type\":\"network\",\"path\":\"/proc/$pid/ns/net\"}|" "$BUNDLE/config.json"
$KEEL run -b "$BUNDLE" c; echo there; nsenter --net=/proc/$pid/ns/net ip -o link; kill $pid`)
	inside, there, _ := strings.Cut(out, "there")
	if err != nil || !strings.Contains(inside, "inside") || !strings.Contains(there, "inside") {
		t.Errorf("joined: %q, %v", out, err)
	}
}

// TestRootNetDevicesFail: what cannot be moved is an error that names it, and everything is where
// and as it was.
func TestRootNetDevicesFail(t *testing.T) {
	for _, c := range []struct {
		devices map[string]string
		script  string
		want    string
	}{
		{map[string]string{"eth7": "inside", "nosuch": ""}, "", "linux.netDevices: find network device nosuch: no such device"},
		{map[string]string{"eth7": "lo"}, "", "linux.netDevices: move network device eth7: file exists"},
		{map[string]string{"eth7": "x", "lo": "lo7"}, "", "linux.netDevices: move network device lo: invalid argument"},
		// A later step of the creation fails.
		{map[string]string{"eth7": "inside"}, `ln -s nowhere "$BUNDLE/rootfs/sys/x" && rm -rf "$BUNDLE/rootfs/proc" && ln -s nowhere "$BUNDLE/rootfs/proc" &&`, "mount proc on /proc"},
	} {
		b := newBox(t, netDevices(c.devices), "true")
		out, err := b.inNetns(hostDevices + `look() { ip -o link show dev eth7 | sed 's/^[0-9]*//; s/@[^:]*//; s/qdisc [^ ]*//'; ip -o addr show dev eth7 permanent scope global | sed 's/^[0-9]*//'; }
before=$(look); ` + c.script + ` $KEEL run -b "$BUNDLE" c; echo; sleep 0.1; after=$(look); [ "$before" = "$after" ] || echo "CHANGED from $before to $after"`)
		if err != nil || !strings.Contains(out, c.want) || strings.Contains(out, "CHANGED") {
			t.Errorf("%v: %q, %v; want %q", c.devices, out, err, c.want)
		}
	}
}
