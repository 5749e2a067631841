package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the kernel's USER_HZ.
const tick = 10 * time.Millisecond

// cpuOf is the CPU time of a process and of children that it waited for.
func cpuOf(pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	f := strings.Fields(rest)
	if len(f) < 15 {
		return 0
	}
	var sum int64
	for _, v := range f[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.ParseInt(v, 10, 64)
		sum += n
	}
	return time.Duration(sum) * tick
}

// peakOf is the largest resident set that a process had, in bytes.
func peakOf(pid int) int64 { return kib(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:") }

// pssOf is the proportional set of a process now, in bytes.
func pssOf(pid int) int64 { return kib(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:") }

func kib(file, name string) int64 {
	data, _ := os.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// command runs a client to its end, with an empty standard input or a file.
func command(argv []string, env []string, stdin string) (out string, s sample, err error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if stdin != "" {
		f, err := os.Open(stdin)
		if err != nil {
			return "", s, err
		}
		defer f.Close()
		cmd.Stdin = f
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	start := time.Now()
	err = cmd.Run()
	s.wall = time.Since(start)
	if st := cmd.ProcessState; st != nil {
		s.cpu = st.UserTime() + st.SystemTime()
		s.peak = st.SysUsage().(*syscall.Rusage).Maxrss << 10
	}
	if err != nil {
		text := strings.TrimSpace(stderr.String())
		return "", s, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text[max(0, len(text)-400):])
	}
	return stdout.String(), s, nil
}

// daemon is a server that runs until stop.
type daemon struct {
	cmd   *exec.Cmd
	ended chan error
	log   string
}

func startDaemon(argv []string, log string, ready func() bool) (*daemon, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	d := &daemon{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan error, 1), log: log}
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.ended <- d.cmd.Wait() }()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if ready() {
			return d, nil
		}
		select {
		case err := <-d.ended:
			d.ended <- err
			return nil, fmt.Errorf("%s ended: %w: %s", argv[0], err, d.tail())
		default:
		}
		if time.Now().After(deadline) {
			d.stop()
			return nil, fmt.Errorf("%s does not answer: %s", argv[0], d.tail())
		}
	}
}

func (d *daemon) tail() string {
	data, _ := os.ReadFile(d.log)
	return string(data[max(0, len(data)-1000):])
}

// stop ends the daemon: SIGTERM, and SIGKILL after a while.
func (d *daemon) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
}

// host describes the machine in a line.
func host() string {
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	model := ""
	for line := range strings.Lines(string(cpus)) {
		if rest, ok := strings.CutPrefix(line, "model name"); ok {
			model = strings.TrimLeft(strings.TrimSpace(rest), ": ")
			break
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("Linux %s, %d × %s, load at the end %s", strings.TrimSpace(string(release)),
		strings.Count(string(cpus), "processor\t"), model, strings.Join(strings.Fields(string(load))[:3], " "))
}

// find is the path of a program, "" when it is not installed.
func find(name string) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}
