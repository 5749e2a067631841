package networks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const web = "httpd -f -vv -p 80 -h /"

func (w *world) server(name string, options ...string) {
	w.t.Helper()
	args := append([]string{"run", "-d", "--name", name}, options...)
	w.hull(append(append(args, "box"), strings.Fields(web)...)...)
}

// Two services find each other by name, whatever becomes of them.
func TestRootNames(t *testing.T) {
	w := newWorld(t)
	w.hull("network", "create", "--subnet", "10.77.0.0/24", "app")
	w.hull("network", "create", "other")
	w.server("sa", "--network", "app", "--network-alias", "www")
	w.server("sb", "--network", "app", "--ip", "10.77.0.50")
	w.server("sc", "--network", "other")
	for _, p := range [][2]string{{"sa", "sb"}, {"sb", "sa"}, {"sb", "www"}} {
		if !w.reaches(p[0], p[1]) {
			t.Errorf("%s does not reach %s", p[0], p[1])
		}
	}
	address := func(name string) string {
		return w.hull("inspect", "-f", "{{(index .NetworkSettings.Networks \"app\").IPAddress}}", name)
	}
	if w.reaches("sc", "sa") || w.reaches("sc", address("sa")) {
		t.Error("a container of another network reaches a")
	}
	was := address("sa")
	w.hull("restart", "-t", "0", "sa")
	if now := address("sa"); now != was {
		t.Errorf("restarted, a has %s, and had %s", now, was)
	}
	w.soon(time.Second, "b reaches a after a restart", func() bool { return w.reaches("sb", "sa") })
	w.hull("network", "connect", "--alias", "third", "app", "sc")
	if !w.reaches("sa", "third") || !w.reaches("sc", "sa") {
		t.Error("c was connected, and they do not reach each other")
	}
	hosts := w.hull("exec", "sc", "cat", "/etc/hosts")
	w.hull("network", "disconnect", "app", "sc")
	if w.reaches("sa", "third") || w.reaches("sc", "sa") {
		t.Error("c was disconnected, and they reach each other")
	}
	if after := w.hull("exec", "sc", "cat", "/etc/hosts"); strings.Count(hosts, "\n") != strings.Count(after, "\n")+1 {
		t.Errorf("/etc/hosts of c, connected and not:\n%s\n%s", hosts, after)
	}
	w.hull("network", "disconnect", "app", "sb")
	w.hull("network", "connect", "--ip", "10.77.0.50", "app", "sb")
	if !w.reaches("sa", "sb") || address("sb") != "10.77.0.50" {
		t.Error("b was disconnected and connected again, and a does not reach it")
	}
	w.hull("rename", "sa", "renamed")
	if !w.reaches("sb", "renamed") || w.reaches("sb", "sa") {
		t.Error("a has another name, and is not known by it alone")
	}
}

// What a machine outside reaches, and as whom.
func TestRootOutside(t *testing.T) {
	w := newWorld(t)
	w.hull("network", "create", "--subnet", "10.78.0.0/24", "app")
	w.server("open", "--network", "app", "-p", "8080:80")
	w.server("shut", "-p", "127.0.0.1:8081:80")
	if !w.get(w.outside, "http://"+hostIP+":8080/page") {
		t.Error("outside does not reach the published port")
	}
	w.soon(time.Second, "the server's log has the client's own address", func() bool {
		out, _ := exec.Command(bin("hull"), "-H", "unix://"+filepath.Join(w.dir, "run", "hull.sock"), "logs", "open").CombinedOutput()
		return strings.Contains(string(out), outsideIP)
	})
	if !w.get(w.host, "http://127.0.0.1:8081/page") {
		t.Error("the host does not reach the port on its loopback address")
	}
	for _, url := range []string{"http://" + hostIP + ":8081/page", "http://10.78.0.2/page", "http://" + w.hull("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "shut") + "/page"} {
		if w.get(w.outside, url) {
			t.Errorf("outside reaches %s", url)
		}
	}
	// A port comes and goes while the container runs; so does the network that it is on.
	w.hull("update", "--publish-add", "8082:80", "open")
	if !w.get(w.outside, "http://"+hostIP+":8082/page") {
		t.Error("outside does not reach the port that was added")
	}
	w.hull("network", "create", "aaa")
	w.hull("network", "connect", "aaa", "open") // its default route goes there now
	if !w.get(w.outside, "http://"+hostIP+":8080/page") {
		t.Error("outside does not reach the port after the default route moved")
	}
	w.hull("network", "disconnect", "aaa", "open")
	if !w.get(w.outside, "http://"+hostIP+":8080/page") {
		t.Error("outside does not reach the port after the default route moved back")
	}
	w.hull("update", "--publish-rm", "8082:80", "open")
	if w.get(w.outside, "http://"+hostIP+":8082/page") {
		t.Error("outside reaches the port that was taken back")
	}
	if audit := w.hull("port", "audit"); !strings.Contains(audit, "0.0.0.0:8080") || !strings.Contains(audit, "this host") {
		t.Errorf("port audit:\n%s", audit)
	}
	if out, err := w.in(w.host, "nft", "flush", "ruleset"); err != nil && !strings.Contains(out, "not permitted") {
		t.Fatalf("nft flush ruleset: %v %s", err, out)
	}
	w.soon(time.Second, "the published port is back after a flush", func() bool { return w.get(w.outside, "http://"+hostIP+":8080/page") })
	if w.get(w.outside, "http://10.78.0.2/page") {
		t.Error("after a flush outside reaches the container itself")
	}
}

// hulld is killed while networks, endpoints and ports come and go.
func TestRootKilled(t *testing.T) {
	w := newWorld(t)
	w.hull("network", "create", "app")
	w.server("stays", "--network", "app", "-p", "8080:80")
	w.server("peer", "--network", "app")
	state := func() string {
		links, err := w.in(w.host, "sh", "-c", "ip -o link | sed 's/^[0-9]*: //; s/@.*//; s/: .*//' | sort; nft -s list ruleset | grep -c elements; ls "+filepath.Join(w.dir, "data/network/networks"))
		if err != nil {
			t.Fatal(err, links)
		}
		return links
	}
	before := state()
	for round := range 4 {
		stop := make(chan struct{})
		var busy sync.WaitGroup
		for _, x := range []string{"x", "y"} {
			busy.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					_, _ = w.try("network", "create", "net-"+x)
					_, _ = w.try("run", "-d", "--name", x, "--network", "net-"+x, "-p", "80", "box", "sleep", "100")
					_, _ = w.try("network", "connect", "app", x)
					_, _ = w.try("rm", "-f", x)
					_, _ = w.try("network", "rm", "net-"+x)
				}
			})
		}
		time.Sleep(time.Duration(150+70*round) * time.Millisecond)
		w.kill()
		if !w.get(w.outside, "http://"+hostIP+":8080/page") {
			t.Error("without hulld the published port does not answer")
		}
		close(stop)
		busy.Wait()
		w.start()
		defer func() {
			if t.Failed() {
				out, err := w.try("exec", "peer", "nslookup", "stays")
				log, _ := os.ReadFile(filepath.Join(w.dir, "run", "hulld.log"))
				t.Logf("%s %v\n%s", out, err, log[max(0, len(log)-1500):])
			}
		}()
		w.soon(time.Second, "names are answered after a start of hulld", func() bool { return w.reaches("peer", "stays") })
		for _, x := range []string{"x", "y"} {
			_, _ = w.try("rm", "-f", x)
			_, _ = w.try("network", "rm", "net-"+x)
		}
	}
	var after string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if after = state(); after == before {
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(w.dir, "run", "hulld.log"))
	t.Errorf("something is left: before\n%s\nafter\n%s\n%s", before, after, log[max(0, len(log)-1500):])
}

// What a container prints does not become the seccomp filter of its next exec.
func TestRootExecAfterOutput(t *testing.T) {
	w := newWorld(t)
	w.hull("run", "-d", "--name", "cc", "box", "sleep", "100")
	if n := len(w.hull("exec", "cc", "cat", "/bin/busybox")); n < 1<<20 {
		t.Fatalf("%d bytes came", n)
	}
	if id := w.hull("exec", "cc", "id", "-u"); id != "0" {
		t.Errorf("id -u says %q", id)
	}
}
