package engines

import (
	"strings"
	"time"
)

// ioCases: exit codes, standard streams, terminals.
var ioCases = []testCase{
	{name: "exit code 0", run: func(p *probe) { p.run("--", "true") }},
	{name: "exit code 1", run: func(p *probe) { p.runExits(1, "--", "false") }},
	{name: "exit code 37", run: func(p *probe) { p.runExits(37, "--", "sh", "-c", "exit 37") }},
	{name: "exit code 125: a flag that the engine does not know", run: func(p *probe) { p.runExits(125, "--no-such-flag", "--", "true") }},
	{name: "exit code 126: not executable", run: func(p *probe) { p.runExits(126, "--", "/etc/plain") }},
	{name: "exit code 126: a directory", run: func(p *probe) { p.runExits(126, "--", "/etc") }},
	{name: "exit code 127: no such file", run: func(p *probe) { p.runExits(127, "--", "/no/such/program") }},
	{name: "exit code 127: not in PATH", run: func(p *probe) { p.runExits(127, "--", "no-such-program") }},
	{name: "exit code 137: killed by a signal", run: func(p *probe) { p.runExits(137, "--init", "--", "sh", "-c", "kill -9 $$") }},
	{name: "exit code 143: killed by TERM", run: func(p *probe) { p.runExits(143, "--init", "--", "sh", "-c", "kill -TERM $$") }},
	{name: "output and error output are apart", run: func(p *probe) {
		r := p.e.do("", p.flags([]string{"run", "--rm", "--", "sh", "-c", "echo out; echo err >&2"})...)
		p.equal("standard output", r.out, "out")
		p.contains("standard error", r.err, "err")
		if strings.Contains(r.out, "err") {
			p.Errorf("standard output has what went to standard error: %q", r.out)
		}
	}},
	{name: "much output arrives whole", run: func(p *probe) {
		out := p.run("--", "sh", "-c", "seq 1 100000")
		if n := strings.Count(out, "\n") + 1; n != 100000 {
			p.Errorf("got %d lines, want 100000", n)
		}
	}},
	{name: "input by -i", run: func(p *probe) {
		r := p.e.do("one\ntwo\n", p.flags([]string{"run", "--rm", "-i", "--", "sh", "-c", "wc -l; echo end"})...)
		p.equal("output", r.out, "2\nend")
	}},
	{name: "without -i the input is empty", run: func(p *probe) {
		r := p.e.do("one\n", p.flags([]string{"run", "--rm", "--", "wc", "-c"})...)
		p.equal("output", r.out, "0")
	}},
	{name: "-t gives a terminal", run: func(p *probe) {
		p.equal("tty", p.run("-t", "--", "tty"), "/dev/pts/0")
		p.equal("is a terminal", p.run("-t", "--", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo yes"), "yes")
		p.equal("no terminal without -t", p.run("--", "sh", "-c", "test -t 1 || echo none"), "none")
	}},
	{name: "-t: /dev/console and job control", run: func(p *probe) {
		p.equal("console", p.run("-t", "--", "sh", "-c", "test -c /dev/console && echo yes"), "yes")
		p.equal("the terminal is the controlling one", p.run("-t", "--", "sh", "-c", "echo yes >/dev/tty"), "yes")
	}},
	{name: "-it: a session on a terminal with size and resize", run: func(p *probe) {
		s := openTerminal(p, 90, 33, p.flags([]string{"run", "--rm", "-it", "--", "sh"})...)
		// The client sets the size after the start: wait until there is one.
		s.send("until stty size 2>/dev/null | grep 90; do sleep 0.1; done\n")
		s.expect("33 90")
		s.resize(101, 44)
		s.send("until stty size | grep 101; do sleep 0.1; done; exit 5\n")
		s.expect("44 101")
		if code := s.wait(20 * time.Second); code != 5 {
			p.Errorf("exit code %d, want 5", code)
		}
	}},
	{name: "-it: the interrupt key reaches the program", run: func(p *probe) {
		s := openTerminal(p, 80, 24, p.flags([]string{"run", "--rm", "-it", "--", "sh", "-c", "trap 'echo caught; exit 9' INT; echo ready; while true; do sleep 0.1; done"})...)
		s.expect("ready")
		s.send("\x03")
		s.expect("caught")
		if code := s.wait(20 * time.Second); code != 9 {
			p.Errorf("exit code %d, want 9", code)
		}
	}},
	{name: "environment and working directory", run: func(p *probe) {
		p.equal("env", p.run("-e", "A=b c", "--", "sh", "-c", `echo "$A"`), "b c")
		p.equal("cwd", p.run("-w", "/home/alice", "--", "pwd"), "/home/alice")
		if p.e.name == "docker" { // podman refuses it
			p.equal("a working directory that is made", p.run("-w", "/made/for/it", "--", "pwd"), "/made/for/it")
		}
		p.equal("HOME", p.run("--user", "alice", "--", "sh", "-c", "echo $HOME"), "/home/alice")
	}},
}
