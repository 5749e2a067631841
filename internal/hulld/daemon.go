package hulld

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	containerdlog "github.com/containerd/log"

	"github.com/hull-dev/hull/internal/events"
	"github.com/hull-dev/hull/internal/server"
)

const (
	headerTime = 10 * time.Second // for a request's headers (slow clients hold nothing longer)
	maxHeader  = 1 << 20          // bytes; credentials are in a header
	inUse      = 3                // exit status when another hulld has the data root; hull knows it
	// gcPercent: buffers are most of the heap and are used again, so collecting more often costs
	// little, and the peak of a pull is a fourth less.
	gcPercent = 50
	stopTime  = 20 * time.Second // for requests to end after SIGTERM
)

// Main is the program. It returns the exit status.
func Main(args []string, version, commit string, stdout, stderr io.Writer) int {
	config, err := parse(args, stderr)
	switch {
	case errors.Is(err, errVersion):
		fmt.Fprintf(stdout, "hulld version %s, commit %s\n", version, commit)
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "hulld:", err)
		return 2
	}
	stopProfile, err := profile()
	if err != nil {
		fmt.Fprintln(stderr, "hulld:", err)
		return 1
	}
	defer stopProfile()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err = run(ctx, config, version, commit, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "hulld:", err)
	}
	switch {
	case err == nil:
		return 0
	case errdefs.IsUnavailable(err):
		return inUse
	}
	return 1
}

// run is the daemon from start to stop. ctx ends it.
func run(ctx context.Context, c Config, version, commit string, stderr io.Writer) (err error) {
	// containerd's packages write to a log of their own, on standard error.
	if err := containerdlog.SetLevel("error"); err != nil {
		return err
	}
	// Two calls: MkdirAll leaves a directory that is there as it is, and the umask counts.
	for _, dir := range []string{c.DataRoot, c.StateDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making a directory: %w", err)
		}
	}
	if err := os.Chmod(c.DataRoot, 0o700); err != nil {
		return fmt.Errorf("closing the data root to others: %w", err)
	}
	log, closeLog, err := openLog(c, stderr)
	if err != nil {
		return err
	}
	defer closeLog()
	defer func() {
		if err != nil {
			log.Error("hulld ends", "error", err)
		}
	}()

	bus := new(events.Bus)
	st, err := openStore(ctx, c, bus, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	engine, err := openEngine(ctx, c, st, bus, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.closeAll()) }()
	builds := openBuilds(c, st, engine, version)
	defer func() { err = errors.Join(err, builds.Close()) }()
	st.meta.Start() // the containers hold their layers
	id, err := rootID(c.DataRoot)
	if err != nil {
		return err
	}
	level, _ := c.level()
	handler := server.New(st.images, engine, st.volumes, bus, server.Facts{
		ID: id, Version: version, Commit: commit, Snapshotter: st.driver, DataRoot: c.DataRoot, Debug: level <= slog.LevelDebug,
		Mirrors: c.Mirrors, Insecure: c.Insecure, Info: engine.info,
	}, log).WithBuilds(builds)
	var listeners []net.Listener
	for _, h := range c.Hosts {
		l, err := listen(h)
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return err
		}
		listeners = append(listeners, l)
	}
	log.Info("hulld listens", "hosts", c.Hosts, "version", version, "data-root", c.DataRoot, "snapshotter", st.driver)
	return serve(ctx, handler, listeners, log)
}

// serve answers until ctx ends, then ends what runs.
func serve(ctx context.Context, handler http.Handler, listeners []net.Listener, log *slog.Logger) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: headerTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- s.Serve(l) }()
	}
	select {
	case <-ctx.Done():
	case err := <-ended:
		s.Close()
		return fmt.Errorf("serving: %w", err)
	}
	log.Info("hulld stops")
	cancel() // pulls end here; their bytes stay for the next one
	grace, done := context.WithTimeout(context.Background(), stopTime)
	defer done()
	if err := s.Shutdown(grace); err != nil {
		log.Warn("requests did not end in time", "error", err)
		s.Close()
	}
	return nil
}

// rootID is the identity of a data root, made with it.
func rootID(dataRoot string) (string, error) {
	path := filepath.Join(dataRoot, "id")
	if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
		return strings.TrimSpace(string(data)), nil
	}
	id := rand.Text()
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("writing the identity of the data root: %w", err)
	}
	return id, nil
}

// openLog opens the log, for appending.
func openLog(c Config, stderr io.Writer) (*slog.Logger, func(), error) {
	level, err := c.level()
	if err != nil {
		return nil, nil, err
	}
	out, done := stderr, func() {}
	if c.LogFile != "-" {
		f, err := os.OpenFile(c.LogFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the log: %w", err)
		}
		out, done = f, func() { f.Close() }
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})), done, nil
}
