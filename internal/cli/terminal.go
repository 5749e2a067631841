package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// defaultDetachKeys are ctrl-p, ctrl-q.
const defaultDetachKeys = "\x10\x11"

// isTerminal says whether a stream of hull is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// windowSize is the size of the terminal that hull writes to; zero without one.
func (a *App) windowSize() (height, width uint) {
	f, ok := a.Out.(*os.File)
	if !ok {
		return 0, 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return uint(size.Row), uint(size.Col)
}

// checkTTY refuses to attach what is no terminal as one.
func (a *App) checkTTY(stdin, tty bool) error {
	if stdin && tty && !isTerminal(a.In) {
		return errors.New("the input device is not a TTY")
	}
	return nil
}

// rawTerminal hands keys on one by one, unseen; the function that it returns undoes it, and may
// be called more than once.
func (a *App) rawTerminal() (restore func(), err error) {
	f, ok := a.In.(*os.File)
	if !ok || !isTerminal(f) {
		return func() {}, nil
	}
	fd := int(f.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	raw := *old
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }), nil
}

// detachKeys are the bytes of a sequence such as "ctrl-p,q"; the option's, else the user's, else
// the default.
func (a *App) detachKeys(option string) (text string, keys []byte, err error) {
	text = option
	if text == "" {
		text = a.settings().DetachKeys
	}
	if text == "" {
		return "", []byte(defaultDetachKeys), nil
	}
	if keys, err = parseKeys(text); err != nil {
		return "", nil, fmt.Errorf("invalid detach keys (%s): %w", text, err)
	}
	return text, keys, nil
}

// parseKeys reads "a", "ctrl-a", "DEL", "ctrl-@" and their like, with commas between.
func parseKeys(s string) ([]byte, error) {
	var keys []byte
	for key := range strings.SplitSeq(s, ",") {
		switch control, ok := strings.CutPrefix(strings.ToLower(key), "ctrl-"); {
		case len(key) == 1:
			keys = append(keys, key[0])
		case ok && len(control) == 1 && control[0] >= 'a' && control[0] <= 'z':
			keys = append(keys, control[0]-'a'+1)
		case ok && len(control) == 1 && strings.Contains(`@[\]^_`, control):
			keys = append(keys, control[0]&0x1f)
		case key == "DEL":
			keys = append(keys, 127)
		default:
			return nil, fmt.Errorf("unknown character: '%s'", key)
		}
	}
	return keys, nil
}

// followSize keeps the size of a container's or exec's terminal that of hull's, until ctx ends.
func (a *App) followSize(ctx context.Context, object string) {
	resize := func() error {
		h, w := a.windowSize()
		if h == 0 && w == 0 {
			return nil
		}
		return a.resizeTo(ctx, object, h, w)
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		defer signal.Stop(changed)
		// A terminal that is not there yet comes with the process.
		for try := 1; resize() != nil; try++ {
			if try > 10 {
				fmt.Fprintln(a.Err, "failed to resize tty, using default size")
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Duration(try) * 10 * time.Millisecond):
			}
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				_ = resize() // the next change tries again
			}
		}
	}()
}

func (a *App) resizeTo(ctx context.Context, object string, height, width uint) error {
	q := url.Values{"h": {strconv.Itoa(int(height))}, "w": {strconv.Itoa(int(width))}}
	return a.client.post(ctx, object+"/resize", q, nil, nil)
}

// forwardSignals sends each signal that hull gets to a container; stop ends it.
func (a *App) forwardSignals(ctx context.Context, id string, tty bool) (stop func()) {
	got := make(chan os.Signal, 128)
	signal.Notify(got)
	done := make(chan struct{})
	ctx = context.WithoutCancel(ctx) // the signal that ends hull's context is to be sent, too
	go func() {
		defer close(done)
		for s := range got {
			name := signalName(s.(syscall.Signal))
			if name == "" || tty && name == "WINCH" {
				continue // followSize sends the size, and the terminal the signal
			}
			_ = a.client.post(ctx, "/containers/"+id+"/kill", url.Values{"signal": {name}}, nil, nil)
		}
	}()
	return func() {
		signal.Stop(got)
		close(got)
		<-done
	}
}

// signalName is a signal's name without SIG; empty for those that are hull's own affair: its
// children, its pipes, and what the Go runtime preempts with.
func signalName(s syscall.Signal) string {
	switch {
	case s == syscall.SIGCHLD || s == syscall.SIGPIPE || s == syscall.SIGURG:
		return ""
	case s >= 34 && s <= 64:
		return rtName(int(s))
	}
	return strings.TrimPrefix(unix.SignalName(s), "SIG")
}

func rtName(n int) string {
	switch {
	case n == 34:
		return "RTMIN"
	case n == 64:
		return "RTMAX"
	case n <= 49:
		return "RTMIN+" + strconv.Itoa(n-34)
	}
	return "RTMAX-" + strconv.Itoa(64-n)
}

// outputs are where a container's output goes.
func (a *App) outputs(stdout, stderr, tty bool) (out, errOut io.Writer) {
	if stdout {
		out = a.Out
	}
	if stderr {
		errOut = a.Err
		if tty {
			errOut = a.Out
		}
	}
	if tty && out == nil {
		out = errOut
	}
	return out, errOut
}
