package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/sim/pki"
)

// Request asks a worker for one run: of a seed's plan, or of the plan itself.
type Request struct {
	Seed  uint64 `json:",omitempty"`
	Plan  *Plan  `json:",omitempty"`
	Trace bool   `json:",omitempty"`
}

// Reply is a worker's answer to one request.
type Reply struct {
	Report
	Trace string `json:",omitempty"`
}

const (
	// stuckAfter is how long a run may take in real time, even with a race detector on a busy machine. A run that takes longer
	// waits for something that is not in the bubble, such as a mutex that a sleeping goroutine holds.
	stuckAfter = 2 * time.Minute
	// StuckExit is the exit code of a worker whose run is stuck.
	StuckExit = 3
	// garbage is GOGC for runs: they are short, and live on little.
	garbage = 400
)

// Work answers requests, one JSON value after the other, until there are no more.
func Work(t *testing.T, in io.Reader, out io.Writer) error {
	t.Helper()
	debug.SetGCPercent(garbage)
	keys, requests, replies := pki.New(), json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for {
		var r Request
		switch err := requests.Decode(&r); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("sim: read a request: %w", err)
		}
		if r.Plan == nil {
			r.Plan = NewPlan(r.Seed)
		}
		var trace bytes.Buffer
		var to io.Writer
		if r.Trace {
			to = &trace
		}
		stuck := time.AfterFunc(stuckAfter, func() {
			_, _ = fmt.Fprintf(os.Stderr, "seed %d is stuck\n%s\n", r.Plan.Seed, waiting())
			os.Exit(StuckExit) //nolint:forbidigo // the bubble can be ended by nothing else
		})
		reply := Reply{Report: *Run(t, r.Plan, keys, to), Trace: trace.String()}
		stuck.Stop()
		if err := replies.Encode(&reply); err != nil {
			return fmt.Errorf("sim: write a reply: %w", err)
		}
	}
}

// waiting are the goroutines that keep virtual time from passing.
func waiting() string {
	buf := make([]byte, 16<<20)
	var out []string
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if header, _, _ := strings.Cut(g, "\n"); strings.Contains(header, "bubble") && !strings.Contains(header, "durable") {
			out = append(out, g)
		}
	}
	return strings.Join(out, "\n\n")
}
