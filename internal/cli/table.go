package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
)

// table prints rows in columns as Docker's tables are.
func table(w io.Writer, header []string, rows [][]string) error {
	b := bufio.NewWriterSize(w, 64<<10) // tabwriter writes cell by cell
	t := tabwriter.NewWriter(b, 10, 1, 3, ' ', 0)
	for _, r := range append([][]string{header}, rows...) {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return errors.Join(t.Flush(), b.Flush())
}

// size is a number of bytes with three digits: "77.8MB".
func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

// ago is "3 days ago"; "N/A" for an image that does not say.
func ago(seconds int64) string {
	t := time.Unix(seconds, 0)
	if t.Year() <= 1 {
		return "N/A"
	}
	return units.HumanDuration(time.Since(t)) + " ago"
}

// shortID is the twelve digits of an ID that people see.
func shortID(id string) string {
	_, hex, ok := strings.Cut(id, ":")
	if !ok {
		hex = id
	}
	return hex[:min(12, len(hex))]
}
