package binaries

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// meterTime is how often progress is printed.
	meterTime = 15 * time.Second
	// maxComplaints in bytes bounds what is kept of a compiler's complaints.
	maxComplaints = 16 << 10
)

// meter turns what `go build -v` prints, a line for each package, into lines
// for people, and keeps the rest.
type meter struct {
	out      io.Writer
	module   string
	total    int // packages at most; 0: not known
	compiled int
	began    time.Time
	told     time.Time
	partial  []byte
	rest     strings.Builder
}

func newMeter(out io.Writer, module string, total int) *meter {
	now := time.Now()
	return &meter{out: out, module: module, total: total, began: now, told: now}
}

// Write implements io.Writer.
func (m *meter) Write(text []byte) (int, error) {
	m.partial = append(m.partial, text...)
	for {
		line, rest, complete := bytes.Cut(m.partial, []byte("\n"))
		if !complete {
			return len(text), nil
		}
		m.line(string(line))
		m.partial = append(m.partial[:0], rest...)
	}
}

func (m *meter) line(line string) {
	if strings.HasPrefix(line, "#") || strings.Contains(line, " ") {
		if m.rest.Len() < maxComplaints && !strings.HasPrefix(line, "go: downloading ") {
			fmt.Fprintln(&m.rest, line)
		}
		return
	}
	m.compiled++
	if now := time.Now(); now.Sub(m.told) >= meterTime {
		m.told = now
		of := ""
		if m.total > 0 {
			of = fmt.Sprintf(" of %d", m.total)
		}
		fmt.Fprintf(m.out, "%s: %d%s packages compiled after %v\n", m.module, m.compiled, of, now.Sub(m.began).Round(time.Second))
	}
}

// complaints are the lines that were no packages.
func (m *meter) complaints() string { return m.rest.String() + string(m.partial) }
