package keel

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hull-dev/hull/internal/ociruntime"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func jsonString(s string) string { b, _ := json.Marshal(s); return string(b) }

func createOptions(f flags) (o ociruntime.CreateOptions, err error) {
	o = ociruntime.CreateOptions{Bundle: f.get("bundle"), ConsoleSocket: f.get("console-socket"), PidFile: f.get("pid-file"), PidfdSocket: f.get("pidfd-socket"),
		NoPivot: f.is2("no-pivot"), NoNewKeyring: f.is2("no-new-keyring"), Detach: f.is2("detach"), Keep: f.is2("keep")}
	if f.is2("print-plan") {
		o.PrintPlan = os.Stdout
	}
	o.PreserveFDs, err = f.number("preserve-fds")
	return o, err
}

func create(r *ociruntime.Runtime, f flags, args []string) (int, error) {
	o, err := createOptions(f)
	if err == nil {
		_, err = r.Create(args[0], o)
	}
	return 0, err
}

func run(r *ociruntime.Runtime, f flags, args []string) (int, error) {
	o, err := createOptions(f)
	if err != nil {
		return 0, err
	}
	o.Run = true
	p, err := r.Create(args[0], o)
	if err != nil || p == nil {
		return 0, err
	}
	return p.Wait()
}

func start(r *ociruntime.Runtime, _ flags, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err == nil {
		err = c.Start()
	}
	return 0, err
}

func pid(c *ociruntime.Container, status string) int {
	if status == "stopped" {
		return 0
	}
	return c.InitPid
}

// stateJSON has the fields, and their order, of runc's.
type stateJSON struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"`
	Status      string            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

func describe(c *ociruntime.Container) stateJSON {
	s := c.Status()
	return stateJSON{c.OCIVersion, c.ID, pid(c, s), s, c.Bundle, c.Rootfs, c.Created, c.Annotations, ""}
}

func state(r *ociruntime.Runtime, _ flags, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	b, err := json.MarshalIndent(describe(c), "", "  ")
	fmt.Println(string(b))
	return 0, err
}

func list(r *ociruntime.Runtime, f flags, _ []string) (int, error) {
	all, err := r.List()
	if err != nil {
		return 0, err
	}
	switch {
	case f.is2("quiet"):
		for _, c := range all {
			fmt.Println(c.ID)
		}
	case f.get("format") == "json":
		out := []stateJSON{}
		for _, c := range all {
			s := describe(c)
			s.Owner = c.Owner
			out = append(out, s)
		}
		return 0, json.NewEncoder(os.Stdout).Encode(out)
	case f.get("format") == "" || f.get("format") == "table":
		w := len("ID")
		for _, c := range all {
			w = max(w, len(c.ID))
		}
		fmt.Printf("%-*s   %-9s   %-8s   %-30s   %s\n", w, "ID", "PID", "STATUS", "CREATED", "BUNDLE")
		for _, c := range all {
			s := c.Status()
			fmt.Printf("%-*s   %-9d   %-8s   %-30s   %s\n", w, c.ID, pid(c, s), s, c.Created.Format(time.RFC3339Nano), c.Bundle)
		}
	default:
		return 0, fmt.Errorf("invalid format option %q: want table or json", f.get("format"))
	}
	return 0, nil
}

func signal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > 64 {
			return 0, fmt.Errorf("invalid signal %s", s)
		}
		return unix.Signal(n), nil
	}
	if n := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")); n != 0 {
		return n, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

func kill(r *ociruntime.Runtime, f flags, args []string) (int, error) {
	name := "SIGTERM"
	if len(args) > 1 {
		name = args[1]
	}
	sig, err := signal(name)
	if err != nil {
		return 0, err
	}
	c, err := r.Load(args[0])
	if err == nil {
		err = c.Kill(sig, f.is2("all"))
	}
	return 0, err
}

func remove(r *ociruntime.Runtime, f flags, args []string) (int, error) {
	c, err := r.Load(args[0])
	if errors.Is(err, ociruntime.ErrNotExist) && f.is2("force") {
		return 0, nil
	}
	if err == nil {
		err = c.Delete(f.is2("force"))
	}
	return 0, err
}

func exec(r *ociruntime.Runtime, f flags, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	switch s := c.Status(); {
	case s == "stopped":
		return 255, errors.New("cannot exec in a stopped container")
	case s == "paused" && !f.is2("ignore-paused"):
		return 255, errors.New("cannot exec in a paused container (use --ignore-paused to override)")
	}
	p, err := execProcess(c, f, args[1:])
	if err != nil {
		return 255, err
	}
	o := ociruntime.ExecOptions{Process: p, ConsoleSocket: f.get("console-socket"), PidFile: f.get("pid-file"), PidfdSocket: f.get("pidfd-socket"), Detach: f.is2("detach")}
	if o.PreserveFDs, err = f.number("preserve-fds"); err != nil {
		return 255, err
	}
	for _, g := range f["cgroup"] {
		if o.Cgroup == nil {
			o.Cgroup = map[string]string{}
		}
		controllers, sub, ok := strings.Cut(g, ":")
		if !ok {
			controllers, sub = "", g
		}
		for _, name := range strings.Split(controllers, ",") {
			o.Cgroup[name] = sub
		}
	}
	proc, err := c.Exec(o)
	if err != nil {
		return 255, err
	}
	return proc.Wait()
}

// execProcess is process.json, or config.json's process with the options laid over it.
func execProcess(c *ociruntime.Container, f flags, args []string) (*specs.Process, error) {
	if name := f.get("process"); name != "" {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		return ociruntime.DecodeProcess(b)
	}
	s, err := c.Config()
	if err != nil {
		return nil, err
	}
	p := *s.Process
	p.Args, p.Terminal = args, f.is2("tty")
	if len(args) == 0 {
		return nil, errors.New("exec: a command is missing")
	}
	if cwd := f.get("cwd"); cwd != "" {
		p.Cwd = cwd
	}
	p.Env = append(slices.Clone(p.Env), f["env"]...)
	if f.get("apparmor") != "" || f.get("process-label") != "" {
		return nil, errors.New("exec: --apparmor and --process-label are not supported yet")
	}
	if f.is2("no-new-privs") {
		p.NoNewPrivileges = true
	}
	for _, name := range f["cap"] {
		caps := specs.LinuxCapabilities{}
		if p.Capabilities != nil {
			caps = *p.Capabilities
		}
		caps.Bounding, caps.Effective, caps.Permitted = append(slices.Clone(caps.Bounding), name), append(slices.Clone(caps.Effective), name), append(slices.Clone(caps.Permitted), name)
		p.Capabilities = &caps
	}
	if u := f.get("user"); u != "" {
		uid, gid, has := strings.Cut(u, ":")
		n, err := number32(uid)
		if err != nil {
			return nil, fmt.Errorf("--user %q: %w", u, err)
		}
		p.User.UID = n
		if has {
			if p.User.GID, err = number32(gid); err != nil {
				return nil, fmt.Errorf("--user %q: %w", u, err)
			}
		}
	}
	for _, g := range f["additional-gids"] {
		n, err := number32(g)
		if err != nil {
			return nil, fmt.Errorf("--additional-gids %q: %w", g, err)
		}
		p.User.AdditionalGids = append(slices.Clone(p.User.AdditionalGids), n)
	}
	return &p, nil
}

// number32 takes digits only, up to 2^32-2: no sign, space or name (CVE-2026-30892, CVE-2024-40635).
func number32(s string) (uint32, error) {
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, errors.New("want digits")
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, errors.New("want a number from 0 to 4294967294")
	}
	return uint32(n), nil
}

func pause(r *ociruntime.Runtime, _ flags, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	if s := c.Status(); s != "running" && s != "created" {
		return 0, fmt.Errorf("container %s not running or created: %s", c.ID, s)
	}
	g, err := c.Group()
	if err == nil {
		err = g.Freeze(10 * time.Second)
	}
	return 0, err
}

func resume(r *ociruntime.Runtime, _ flags, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	if s := c.Status(); s != "paused" {
		return 0, fmt.Errorf("container %s not paused: %s", c.ID, s)
	}
	g, err := c.Group()
	if err == nil {
		err = g.Thaw()
	}
	return 0, err
}

func ps(r *ociruntime.Runtime, f flags, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	g, err := c.Group()
	if err != nil {
		return 0, err
	}
	pids, err := g.Pids()
	if err != nil {
		return 0, err
	}
	if f.get("format") == "json" {
		return 0, json.NewEncoder(os.Stdout).Encode(pids)
	}
	fmt.Println("PID")
	for _, p := range pids {
		fmt.Println(p)
	}
	return 0, nil
}

func events(r *ociruntime.Runtime, f flags, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	if !f.is2("stats") {
		return 0, errors.New("events without --stats is not supported yet")
	}
	g, err := c.Group()
	if err != nil {
		return 0, err
	}
	s, err := g.Stats()
	if err != nil {
		return 0, err
	}
	fmt.Printf("{\"type\":\"stats\",\"id\":%s,\"data\":%s}\n", jsonString(c.ID), s.AppendJSON(nil))
	return 0, nil
}

const updateFlags = "resources: r=resources blkio-weight: cpu-period: cpu-quota: cpu-burst: cpu-rt-period: cpu-rt-runtime: cpu-share: cpu-idle: cpuset-cpus: cpuset-mems: memory: memory-reservation: memory-swap: pids-limit: kernel-memory: kernel-memory-tcp:"

func update(r *ociruntime.Runtime, f flags, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	res, err := updateResources(f)
	if err != nil {
		return 0, err
	}
	g, err := c.Group()
	if err == nil {
		err = g.Apply(res)
	}
	return 0, err
}
