package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// engine is one of those under test, with a directory of its own.
type engine struct {
	name   string
	dir    string   // <dir>/disk is a new ext4
	client []string // the command line's first words
	env    []string // of the client, besides this process's
	serve  []string // of the daemon; nil for none
	socket string
	daemon *exec.Cmd
	ended  chan error

	targets map[string]string // container names that cases have prepared
	samples map[string][]sample
}

// sample is one measurement: a time, or a size.
type sample struct {
	wall, cpu time.Duration
	bytes     int64
}

// hull, docker and podman with directories below dir.
func hull(dir, bin string) *engine {
	socket := filepath.Join(dir, "run", "hull.sock")
	return &engine{name: "hull", dir: dir, socket: socket, client: []string{filepath.Join(bin, "hull"), "-H", "unix://" + socket},
		serve: []string{filepath.Join(bin, "hulld"), "--data-root", filepath.Join(dir, "disk", "data"), "--state-dir", filepath.Join(dir, "run"), "--log-file", "-", "--config", os.DevNull}}
}

func docker(dir string) (*engine, error) {
	socket := filepath.Join(dir, "sock")
	config := filepath.Join(dir, "daemon.json")
	text := fmt.Sprintf(`{"data-root": %q, "exec-root": %q, "pidfile": %q, "hosts": [%q], "storage-driver": "overlay2", "shutdown-timeout": 5}`,
		filepath.Join(dir, "disk", "data"), filepath.Join(dir, "run"), filepath.Join(dir, "pid"), "unix://"+socket)
	return &engine{name: "docker", dir: dir, socket: socket, client: []string{"/usr/bin/docker", "-H", "unix://" + socket},
		serve: []string{find("dockerd"), "--config-file", config}}, os.WriteFile(config, []byte(text), 0o600)
}

// podman would raise the limit of open files, which a host without CAP_SYS_RESOURCE does not allow, and use crun,
// which refuses hosts with both cgroup versions: it gets limits of its own, and runc.
func podman(dir string) (*engine, error) {
	config := filepath.Join(dir, "containers.conf")
	text := "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n"
	return &engine{name: "podman", dir: dir, env: []string{"CONTAINERS_CONF=" + config}, client: []string{find("podman"), "--root", filepath.Join(dir, "disk", "data"), "--runroot", filepath.Join(dir, "run"),
		"--storage-driver", "overlay", "--runtime", find("runc"), "--cgroup-manager", "cgroupfs", "--events-backend", "none"}}, os.WriteFile(config, []byte(text), 0o600)
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

// start mounts the engine's disk, runs its daemon, and gives it the image.
func (e *engine) start(image []byte) error {
	e.targets, e.samples = map[string]string{}, map[string][]sample{}
	disk, file := filepath.Join(e.dir, "disk"), filepath.Join(e.dir, "image")
	for _, d := range []string{disk, filepath.Join(e.dir, "run")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{{"truncate", "-s", "2G", file}, {"mkfs.ext4", "-q", "-F", file}, {"mount", "-o", "loop", file, disk}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
		}
	}
	if e.serve != nil {
		log, err := os.Create(filepath.Join(e.dir, "log"))
		if err != nil {
			return err
		}
		defer log.Close()
		e.daemon = exec.Command(e.serve[0], e.serve[1:]...)
		e.daemon.Stdout, e.daemon.Stderr = log, log
		e.daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
		if err := e.daemon.Start(); err != nil {
			return fmt.Errorf("starting %s: %w", e.name, err)
		}
		e.ended = make(chan error, 1)
		go func() { e.ended <- e.daemon.Wait() }()
		if err := e.answers(); err != nil {
			return err
		}
	}
	cmd := exec.Command(e.client[0], append(e.client[1:], "import", "-", "busybox")...)
	cmd.Stdin, cmd.Env = bytes.NewReader(image), append(os.Environ(), e.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: importing the image: %w: %s%s", e.name, err, out, e.log())
	}
	return nil
}

// answers waits for the daemon's socket.
func (e *engine) answers() error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("unix", e.socket); err == nil {
			c.Close()
			return nil
		}
		select {
		case err := <-e.ended:
			e.daemon = nil
			return fmt.Errorf("%s ended: %v\n%s", e.name, err, e.log())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer\n%s", e.name, e.log())
		}
	}
}

func (e *engine) log() string {
	data, _ := os.ReadFile(filepath.Join(e.dir, "log"))
	return string(data[max(0, len(data)-1500):])
}

// run is one command of the client. It returns what it printed.
func (e *engine) run(args ...string) (string, sample, error) {
	cmd := exec.Command(e.client[0], append(e.client[1:len(e.client):len(e.client)], args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, append(os.Environ(), e.env...)
	begun := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(begun)}
	if err != nil {
		return "", s, fmt.Errorf("%s %s: %w: %s", e.name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return strings.TrimSpace(out.String()), s, nil
}

// stop removes the containers, ends the daemon and unmounts the disk.
func (e *engine) stop() error {
	out, _, err := e.run("ps", "-aq")
	if ids := strings.Fields(out); err == nil && len(ids) > 0 {
		_, _, err = e.run(append([]string{"rm", "-f"}, ids...)...)
	}
	if e.daemon != nil {
		_ = e.daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-e.ended:
		case <-time.After(30 * time.Second):
			_ = e.daemon.Process.Kill()
			<-e.ended
		}
	}
	disk := filepath.Join(e.dir, "disk")
	_ = syscall.Unmount(filepath.Join(disk, "data", "overlay"), syscall.MNT_DETACH) // podman's, EINVAL for others
	return errors.Join(err, syscall.Unmount(disk, syscall.MNT_DETACH))
}
