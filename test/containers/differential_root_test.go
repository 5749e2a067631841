package containers

import (
	"regexp"
	"strings"
	"testing"
)

// invocation is one client command with what may be different on purpose.
type invocation struct {
	args string // words; '…' keeps blanks
	in   string
	// errors are compared too. Docker 20.10's words around the runtime's are taken off.
	errors  bool
	differs string // why Hull's answer is another one; then only the exit code counts
}

// script is run against both daemons in this order, so that later ones see what earlier ones did.
var script = []invocation{
	{args: "run --rm busybox true"},
	{args: "run --rm busybox false"},
	{args: "run --rm busybox sh -c 'exit 42'"},
	{args: "run --rm busybox sh -c 'kill -9 $$'"},
	{args: "run --rm busybox sh -c 'kill -15 $$; echo still here'"},
	{args: "run --rm busybox nosuchprogram"},
	{args: "run --rm busybox /etc/plain"},
	{args: "run --rm busybox /etc"},
	{args: "run --rm -w /nowhere busybox pwd"},
	{args: "run --rm -w relative busybox pwd", errors: true},
	{args: "run --rm -u alice busybox id -u"},
	{args: "run --rm -u 1000:50 busybox id"},
	{args: "run --rm -u alice:staff busybox id"},
	{args: "run --rm -u 4711 busybox id -u"},
	{args: "run --rm -u nobodyhere busybox id"},
	{args: "run --rm --group-add staff busybox id -G"},
	{args: "run --rm -e A=1 -e B busybox sh -c 'echo $A:$B'"},
	{args: "run --rm busybox printenv PATH HOME"},
	{args: "run --rm -h myhost busybox hostname"},
	{args: "run --rm -h myhost --domainname example.org busybox hostname"},
	{args: "run --rm --entrypoint /bin/echo busybox a b"},
	{args: "run --rm --entrypoint '' busybox echo x"},
	{args: "run --rm -i busybox cat", in: "some input\n"},
	{args: "run --rm -i busybox wc -c", in: strings.Repeat("x", 100000)},
	{args: "run --rm --read-only busybox touch /x"},
	{args: "run --rm --read-only --tmpfs /t busybox touch /t/x"},
	{args: "run --rm --tmpfs /t:size=1m busybox sh -c 'dd if=/dev/zero of=/t/x bs=1024 count=2048 2>/dev/null; stat -c %s /t/x'"},
	{args: "run --rm --cap-drop ALL busybox grep CapEff /proc/self/status"},
	{args: "run --rm --cap-add NOSUCH busybox true"},
	{args: "run --rm --ulimit nofile=100:200 busybox sh -c 'ulimit -n; ulimit -Hn'"},
	{args: "run --rm --sysctl net.ipv4.ip_unprivileged_port_start=80 busybox cat /proc/sys/net/ipv4/ip_unprivileged_port_start"},
	{args: "run --rm --memory 4m busybox true", errors: true},
	{args: "run --rm --memory 64m busybox true"},
	{args: "run --rm --pids-limit 5 busybox sh -c 'sleep 1 & sleep 1 & sleep 1 & sleep 1 & sleep 1 & sleep 1 & wait'", differs: "the shell's words for a fork that failed depend on when it was"},
	{args: "run --rm --init busybox sh -c 'echo $$ | grep -qv ^1$ && echo child'"},
	{args: "run --rm --pid host busybox sh -c 'test -d /proc/2 && echo host'"},
	{args: "run --rm --ipc none busybox true"},
	{args: "run --rm --shm-size 1m busybox sh -c 'stat -f -c %b /dev/shm'"},
	{args: "run --rm --restart always busybox true", errors: true},
	{args: "run --rm --stop-signal NOSUCH busybox true", errors: true},
	{args: "run --rm -v relative/path:/x busybox true", errors: true},
	{args: "run --rm -v /x:relative busybox true", errors: true},
	{args: "run --rm -v /:/ busybox true"},
	{args: "run --rm --mount type=bind,src=/no/such/dir,dst=/x busybox true", errors: true},
	{args: "run --rm --mount type=tmpfs,dst=/x,tmpfs-size=1m busybox sh -c 'touch /x/y; ls /x'"},
	{args: "run --name vol -v data:/data busybox sh -c 'echo kept > /data/f'"},
	{args: "run --rm -v data:/data busybox cat /data/f"},
	{args: "run --rm --volumes-from vol busybox cat /data/f"},
	{args: "run --rm --volumes-from vol:ro busybox touch /data/g"},
	{args: "run --rm -v data:/data:ro busybox touch /data/g"},
	{args: "volume rm data"},
	{args: "rm vol"},
	{args: "volume rm data", errors: true},
	{args: "volume rm data", errors: true},
	{args: "volume inspect nothere", errors: true},
	{args: "volume create --label a=b named", errors: true},
	{args: "volume ls -q", errors: true},
	{args: "volume rm named"},
	{args: "create --name made busybox echo made"},
	{args: "start -a made"},
	{args: "start made", errors: true},
	{args: "logs made"},
	{args: "logs --tail 1 made"},
	{args: "inspect -f {{.Path}}:{{.Args}}:{{.Name}}:{{.State.ExitCode}}:{{.RestartCount}} made"},
	{args: "inspect -f '{{json .Config.Cmd}} {{json .Config.Entrypoint}} {{json .Config.Env}} {{.Config.Image}} {{json .Config.Labels}} {{.Config.WorkingDir}}' made"},
	{args: "inspect -f '{{json .HostConfig.RestartPolicy}} {{.HostConfig.NetworkMode}} {{.HostConfig.AutoRemove}} {{json .HostConfig.Binds}} {{.HostConfig.ShmSize}}' made"},
	{args: "create --name made busybox true"},
	{args: "ps -a --format {{.Names}}:{{.Command}}:{{.Image}}"},
	{args: "ps -aq --filter name=nothing"},
	{args: "ps -a --filter status=nosuch"},
	{args: "ps -a --filter exited=0 --format {{.Names}}"},
	{args: "ps -a --filter ancestor=busybox --format {{.Names}}"},
	{args: "ps -a --filter nosuch=1"},
	{args: "stop made", errors: true},
	{args: "kill made"},
	{args: "pause made"},
	{args: "unpause made"},
	{args: "exec made true"},
	{args: "attach made", errors: true},
	{args: "wait made"},
	{args: "rename made remade"},
	{args: "rename remade remade", errors: true},
	{args: "rename nothere x1", errors: true},
	{args: "cp remade:/etc/plain -", differs: "tar with the times of the image's import"},
	{args: "cp remade:/nothing -"},
	{args: "diff remade"},
	{args: "rm remade"},
	{args: "rm remade", errors: true},
	{args: "start remade"},
	{args: "stop remade", errors: true},
	{args: "inspect remade", errors: true},
	{args: "logs remade", errors: true},
	{args: "run -d --name long busybox sleep 1000", differs: "IDs"},
	{args: "exec long echo in"},
	{args: "exec -w /etc long pwd"},
	{args: "exec -u alice long id -u"},
	{args: "exec -e X=y long printenv X"},
	{args: "exec long sh -c 'exit 7'"},
	{args: "exec -i long cat", in: "through exec\n"},
	{args: "exec -d long true"},
	{args: "run --rm --pid container:long busybox ps -o args"},
	{args: "run --rm --network container:long busybox true"},
	{args: "run --rm --network container:nothere busybox true"},
	{args: "rm long"},
	{args: "pause long"},
	{args: "pause long"},
	{args: "exec long true"},
	{args: "unpause long"},
	{args: "unpause long"},
	{args: "update --restart always long"},
	{args: "inspect -f {{.HostConfig.RestartPolicy.Name}} long"},
	{args: "update --restart no long"},
	{args: "kill -s NOSUCH long"},
	{args: "kill -s USR1 long"},
	{args: "restart -t 0 long"},
	{args: "stop -t 1 long"},
	{args: "inspect -f {{.State.Status}}:{{.State.ExitCode}} long"},
	{args: "run --rm --network container:long busybox true"},
	{args: "rm -f long"},
	{args: "rm -f nothere", differs: "20.10 calls it an error, later ones do not: the client decides"},
	{args: "run --name a busybox true"},
	{args: "run --name 'a b' busybox true"},
	{args: "run --rm nosuchimage:tag true", differs: "pulling"},
	{args: "container prune -f", differs: "bytes of disk"},
	{args: "ps -aq"},
}

// words splits a command at blanks that are not between '…'.
func words(s string) (out []string) {
	var word strings.Builder
	quoted, begun := false, false
	for _, c := range s {
		switch {
		case c == '\'':
			quoted, begun = !quoted, true
		case c == ' ' && !quoted:
			if begun {
				out = append(out, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if begun {
		out = append(out, word.String())
	}
	return out
}

var (
	longID  = regexp.MustCompile(`[0-9a-f]{64}`)
	runtime = regexp.MustCompile(`(?m)^See 'docker.*$|\n+$`)
)

func plain(s string) string {
	s = longID.ReplaceAllString(s, "ID")
	return strings.TrimSpace(runtime.ReplaceAllString(s, ""))
}

// TestRootDifferential: a table of commands does the same with both.
func TestRootDifferential(t *testing.T) {
	requires(t)
	hull := startHulld(t, workDir(t, "hulld")).withImage(t)
	t.Cleanup(func() { hull.removeAll(t) })
	docker := startDocker(t, workDir(t, "dockerd")).withImage(t)
	t.Cleanup(func() { docker.do("rm", "-f", "long") })
	same := 0
	for _, c := range script {
		args := words(c.args)
		if (args[0] == "run" || args[0] == "create") && !strings.Contains(c.args, "--network") {
			args = append([]string{args[0], "--network", "none"}, args[1:]...)
		}
		h, d := hull.feed([]byte(c.in), args...), docker.feed([]byte(c.in), args...)
		bad := h.code != d.code
		if c.differs == "" {
			bad = bad || plain(h.out) != plain(d.out) || c.errors && plain(h.err) != plain(d.err)
		}
		if bad {
			t.Errorf("docker %s\n  hulld:   %d %q %q\n  dockerd: %d %q %q", c.args, h.code, plain(h.out), plain(h.err), d.code, plain(d.out), plain(d.err))
			continue
		}
		same++
	}
	t.Logf("%d of %d commands do the same", same, len(script))
}
