package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
)

// registry is a docker-registry on loopback whose data is on a tmpfs.
type registry struct {
	dir, addr string
	daemon    *daemon
}

// host is how images of the registry are named: "localhost" is plain HTTP for all engines.
func (r *registry) host() string {
	_, port, _ := net.SplitHostPort(r.addr)
	return "localhost:" + port
}

func startRegistry(dir string) (*registry, error) {
	path := find("docker-registry")
	if path == "" {
		return nil, fmt.Errorf("docker-registry is not installed (Debian's package of that name)")
	}
	r := &registry{dir: dir}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size=6g"); err != nil {
		return nil, fmt.Errorf("mounting a tmpfs: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.addr = l.Addr().String()
	l.Close()
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), r.addr)
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	r.daemon, err = startDaemon([]string{path, "serve", file}, filepath.Join(dir, "log"), func() bool {
		resp, err := http.Get("http://" + r.addr + "/v2/")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return true
	})
	return r, err
}

func (r *registry) close() {
	if r.daemon != nil {
		r.daemon.stop()
	}
	_ = syscall.Unmount(r.dir, syscall.MNT_DETACH)
	os.Remove(r.dir)
}

// request sends one request and wants one status.
func (r *registry) request(method, url, contentType string, body io.Reader, size int64, want int) (*http.Response, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	resp.Body.Close()
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return resp, nil
}

// upload puts an image into a repository, with the tag latest.
func (r *registry) upload(repo string, i *picture) error {
	for _, b := range append(i.layers, i.config) {
		resp, err := r.request(http.MethodPost, "http://"+r.addr+"/v2/"+repo+"/blobs/uploads/", "", nil, 0, http.StatusAccepted)
		if err != nil {
			return err
		}
		to, err := resp.Location()
		if err != nil {
			return err
		}
		q := to.Query()
		q.Set("digest", b.digest)
		to.RawQuery = q.Encode()
		body, err := b.open()
		if err != nil {
			return err
		}
		_, err = r.request(http.MethodPut, to.String(), "application/octet-stream", body, b.size, http.StatusCreated)
		body.Close()
		if err != nil {
			return err
		}
	}
	m := i.manifest()
	_, err := r.request(http.MethodPut, "http://"+r.addr+"/v2/"+repo+"/manifests/latest", mediaManifest, bytes.NewReader(m), int64(len(m)), http.StatusCreated)
	return err
}
