package keel

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
)

func eventsCommand() command {
	return command{
		name: "events", brief: "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
		args: containerID, min: 1, max: 1,
		about: "Prints one JSON object a line: the statistics at every interval, and each shortage of memory when it happens,\nuntil the container is deleted.",
		options: []option{
			{name: "interval", value: true, usage: "set the stats collection interval (default: 5s)"},
			{name: "stats", usage: "display the container's stats then exit"},
		},
		run: events,
	}
}

func events(r *ociruntime.Runtime, o options, args []string) (int, error) {
	interval := 5 * time.Second
	if v := o.get("interval"); v != "" {
		var err error
		if interval, err = time.ParseDuration(v); err != nil {
			return 0, fmt.Errorf("--interval: %q is not a duration such as 5s", v)
		}
	}
	if interval <= 0 {
		return 0, errors.New("duration interval must be greater than 0")
	}
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	tell := func(e ociruntime.Event) error {
		_, err := os.Stdout.Write(eventJSON(c.ID, e))
		return err
	}
	if !o.is("stats") {
		return 0, c.Events(interval, tell)
	}
	s, err := c.Stats()
	if err == nil {
		err = tell(ociruntime.Event{Stats: s})
	}
	return 0, err
}

// eventJSON is a line as runc's types.Event.
func eventJSON(id string, e ociruntime.Event) []byte {
	w := &ocispec.Writer{}
	w.Open('{')
	w.Name("type")
	if e.Stats == nil {
		w.String("oom")
	} else {
		w.String("stats")
	}
	w.Name("id")
	w.String(id)
	if e.Stats != nil {
		w.Name("data")
		w.B = e.Stats.AppendJSON(w.B)
	}
	w.Close('}')
	return append(w.B, '\n')
}
