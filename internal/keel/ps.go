package keel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/ociruntime"
)

func psCommand() command {
	return command{
		name: "ps", brief: "ps displays the processes running inside a container", args: containerID + " [ps options]", min: 1, max: -1, inOrder: true,
		about:   "The table is the output of the host's ps with the given options (default: -ef), the container's lines only.",
		options: []option{{name: "format", short: "f", value: true, usage: "table or json, an array of process ids (default: table)"}},
		run:     ps,
	}
}

func ps(r *ociruntime.Runtime, o options, args []string) (int, error) {
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	pids, err := c.Processes()
	if err != nil {
		return 0, err
	}
	switch o.get("format") {
	case "", "table":
	case "json":
		_, err = os.Stdout.Write(pidsJSON(pids))
		return 0, err
	default:
		return 0, errors.New("invalid format option")
	}
	psArgs := args[1:]
	if len(psArgs) == 0 {
		psArgs = []string{"-ef"}
	}
	table, err := hostPS(psArgs)
	if err != nil {
		return 0, err
	}
	lines, err := filterPS(table, pids)
	if err == nil {
		_, err = os.Stdout.WriteString(lines)
	}
	return 0, err
}

func pidsJSON(pids []int) []byte {
	b := []byte{'['}
	for i, p := range pids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(p), 10)
	}
	return append(b, "]\n"...)
}

// hostPS runs ps from where hosts keep it, not from where the caller's PATH leads.
func hostPS(args []string) (string, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("run ps: %w", err)
	}
	defer out.Close()
	defer in.Close()
	var p *os.Process
	for _, name := range []string{"/usr/bin/ps", "/bin/ps"} {
		p, err = os.StartProcess(name, append([]string{"ps"}, args...), &os.ProcAttr{Files: []*os.File{os.Stdin, in, in}})
		if !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("run ps: %w; --format json needs none", err)
	}
	in.Close()
	b, err := io.ReadAll(io.LimitReader(out, maxInput))
	out.Close()
	state, waitErr := p.Wait()
	if err = errors.Join(err, waitErr); err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	if err != nil {
		return "", fmt.Errorf("run ps: %w: %s", err, strings.TrimSpace(string(b)))
	}
	return string(b), nil
}

// filterPS keeps the title and the lines of the given processes.
func filterPS(table string, pids []int) (string, error) {
	title, rest, _ := strings.Cut(table, "\n")
	column := slices.Index(strings.Fields(title), "PID")
	if column < 0 {
		return "", errors.New("couldn't find PID field in ps output")
	}
	out := title + "\n"
	for line := range strings.SplitSeq(rest, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if column >= len(f) {
			return "", fmt.Errorf("unable to parse pid: the line %q of ps is short", line)
		}
		pid, err := strconv.Atoi(f[column])
		if err != nil {
			return "", fmt.Errorf("unable to parse pid: %w", err)
		}
		if slices.Contains(pids, pid) {
			out += line + "\n"
		}
	}
	return out, nil
}
