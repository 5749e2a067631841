package spec

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var record = flag.Bool("record", false, "have a private dockerd make testdata/docker anew")

// recording is what testdata/docker/NAME.json holds: dockerd's document without the calls of the
// seccomp profile, or its refusal.
type recording struct {
	Config  json.RawMessage `json:"config,omitempty"`
	Refused string          `json:"refused,omitempty"`
}

// TestRootRecordDocker asks a dockerd for each case. Its runtime is a script that keeps the document and
// then fails, so no container is ever started.
func TestRootRecordDocker(t *testing.T) {
	if !*record {
		t.Skip("only with -record")
	}
	dir := t.TempDir()
	kept := filepath.Join(dir, "config.json")
	script := filepath.Join(dir, "runtime")
	text := "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --bundle ] && cp \"$2/config.json\" " + kept + "\nshift\ndone\nexit 1\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	const block = "/tmp/hull-spec-block"
	_ = os.Remove(block)
	if err := unix.Mknod(block, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(block)
	d := startDocker(t, dir, script)
	if err := os.MkdirAll("testdata/docker", 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := ReadFacts()
	if err != nil {
		t.Fatal(err)
	}
	writeJSON(t, "testdata/docker/facts.json", f)
	for _, c := range dockerCases() {
		_ = os.Remove(kept)
		body := map[string]any{}
		merge(t, body, c.config)
		body["HostConfig"] = c.host
		status, answer := d.post(t, "/v1.41/containers/create", body)
		r := recording{}
		if status != http.StatusCreated {
			r.Refused = fmt.Sprintf("%d %s", status, answer["message"])
		} else {
			d.post(t, fmt.Sprintf("/v1.41/containers/%s/start", answer["Id"]), nil)
			b, err := os.ReadFile(kept)
			if err != nil {
				t.Fatalf("%s: dockerd did not get as far as the runtime: %v", c.name, err)
			}
			r.Config = anonymous(t, b, fmt.Sprint(answer["Id"]), dir)
		}
		writeJSON(t, "testdata/docker/"+c.name+".json", r)
	}
}

// anonymous takes out of a document what is different each time, and the seccomp profile's calls.
func anonymous(t *testing.T, b []byte, id, dir string) json.RawMessage {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	linux := doc["linux"].(map[string]any)
	if s, ok := linux["seccomp"].(map[string]any); ok {
		if calls, ok := s["syscalls"].([]any); ok && len(calls) > 1 {
			delete(s, "syscalls")
		}
	}
	delete(doc, "hooks") // of its networks
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(out), id, "ID")
	return json.RawMessage(strings.ReplaceAll(text, dir, "DIR"))
}

func merge(t *testing.T, into map[string]any, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, append(b, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type docker struct{ client *http.Client }

// startDocker starts a dockerd with directories of its own, without a bridge, in a mount namespace of its own.
func startDocker(t *testing.T, dir, runtime string) docker {
	t.Helper()
	socket := filepath.Join(dir, "docker.sock")
	cmd := exec.Command("dockerd", "-H", "unix://"+socket, "--data-root", dir+"/data", "--exec-root", dir+"/exec", "--pidfile", dir+"/pid",
		"--bridge", "none", "--ip-forward=false", "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs", "--add-runtime", "kept="+runtime, "--default-runtime", "kept")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("dockerd:\n%s", log.String())
		}
	})
	d := docker{&http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var nd net.Dialer
		return nd.DialContext(ctx, "unix", socket)
	}}}}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		r, err := d.client.Get("http://docker/_ping")
		if err == nil {
			r.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("dockerd does not answer: %v\n%s", err, log.String())
		}
	}
	tar := exec.Command("sh", "-c", "cd $(mktemp -d) && mkdir bin && cp /bin/busybox bin/sh && cp /bin/busybox bin/sleep && tar c .")
	image, err := tar.Output()
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.client.Post("http://docker/v1.41/images/create?fromSrc=-&repo=recorded", "application/x-tar", bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	return d
}

func (d docker) post(t *testing.T, path string, body any) (int, map[string]any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.client.Post("http://docker"+path, "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	answer := make(map[string]any)
	_ = json.NewDecoder(r.Body).Decode(&answer)
	return r.StatusCode, answer
}
